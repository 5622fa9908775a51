"""`ganserve translate` and `ganserve upscale`: images sent in, one or folders full of them."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.asking import check_model, summary
from service.cli.options import (
    DEFAULT_URL,
    FileFormat,
    Folder,
    Format,
    Model,
    Overwrite,
    Quality,
    Sign,
    Url,
    Wait,
)

if TYPE_CHECKING:
    from service.cli.sending import Send
    from service.client import AsyncClient, File

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class FitOption(str, Enum):
    """How an image meets the model."""

    native = "native"
    resize = "resize"
    pad = "pad"
    crop = "crop"


class AlphaOption(str, Enum):
    """What becomes of transparency."""

    flatten = "flatten"
    keep = "keep"
    drop = "drop"


Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUTS...", help="Image files, folders of them, and globs.", show_default=False),
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders of folders too.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Images under way at a time.", min=1, max=64)]
FrameNumber = Annotated[
    int | None, typer.Option(help="Which frame or page of files that have several, from 0.", min=0)
]
KeepExif = Annotated[bool, typer.Option("--keep-exif", help="Copy the images' EXIF into the results.")]


def translate(
    inputs: Inputs,
    model: Model,
    out: Folder,
    fit: Annotated[
        FitOption,
        typer.Option(help="`native`: at its size; the others show the model a square (see /docs)."),
    ] = FitOption.native,
    restore: Annotated[
        bool, typer.Option("--restore", help="Bring results back to the size of what was taken.")
    ] = False,
    alpha: Annotated[AlphaOption, typer.Option(help="What becomes of transparency.")] = AlphaOption.flatten,
    background: Annotated[
        str, typer.Option(help="#rrggbb below transparent pixels, and beside padded images.")
    ] = "#ffffff",
    format: FileFormat = Format.png,
    quality: Quality = None,
    frame: FrameNumber = None,
    keep_exif: KeepExif = False,
    sign: Sign = False,
    recursive: Recursive = False,
    jobs: Jobs = 3,
    overwrite: Overwrite = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Turn images into another kind, such as drawings into pictures.

    Results keep the names of the inputs, and their folders below the one that all have in common. Those
    that are there already are kept, so that a command that was stopped goes on when it is repeated.
    """
    options: dict[str, Any] = {
        "fit": fit.value,
        "restore": restore,
        "alpha": alpha.value,
        "background": background,
        **_common(format, quality, frame, keep_exif, sign, wait),
    }

    async def send(client: AsyncClient, path: Path) -> File:
        return await client.translate(model, path, **options)

    _run(url, model, "translator", inputs, out, format, recursive, jobs, overwrite, send)


def upscale(
    inputs: Inputs,
    model: Model,
    out: Folder,
    scale: Annotated[
        float | None,
        typer.Option(help="How many times larger, from 1 to the model's own.", show_default="the model's"),
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="#rrggbb below transparent pixels.", show_default="stays transparent")
    ] = None,
    format: FileFormat = Format.png,
    quality: Quality = None,
    frame: FrameNumber = None,
    keep_exif: KeepExif = False,
    sign: Sign = False,
    recursive: Recursive = False,
    jobs: Jobs = 3,
    overwrite: Overwrite = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Enlarge images.

    Results keep the names of the inputs, and their folders below the one that all have in common. Those
    that are there already are kept, so that a command that was stopped goes on when it is repeated.
    """
    options: dict[str, Any] = {
        "scale": scale,
        "background": background,
        **_common(format, quality, frame, keep_exif, sign, wait),
    }

    async def send(client: AsyncClient, path: Path) -> File:
        return await client.upscale(model, path, **options)

    _run(url, model, "upscaler", inputs, out, format, recursive, jobs, overwrite, send)


def _common(
    format: Format, quality: int | None, frame: int | None, keep_exif: bool, sign: bool, wait: float | None
) -> dict[str, Any]:
    return {
        "format": format.name_for_calls,
        "quality": quality,
        "frame": frame,
        "keep_exif": keep_exif,
        "sign": sign,
        "wait": wait,
    }


def _run(
    url: str,
    model: str,
    kind: str,
    inputs: list[str],
    out: Path,
    format: Format,
    recursive: bool,
    jobs: int,
    overwrite: bool,
    send: Send,
) -> None:
    import asyncio

    from service.cli.inputs import plan
    from service.cli.progress import print_beside, progress_bar
    from service.cli.sending import Outcome, run

    try:
        planned = plan(inputs, out, format.extension, recursive=recursive)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="INPUTS") from None
    pending = [item for item in planned if overwrite or not item.output.exists()]
    kept = len(planned) - len(pending)
    outcome = Outcome()
    if pending:
        check_model(url, model, kind)
        interrupted = False
        with progress_bar() as progress:
            task = progress.add_task(model, total=len(pending))
            try:
                asyncio.run(
                    run(
                        url,
                        pending,
                        send,
                        jobs,
                        outcome,
                        lambda message: print_beside(progress, message),
                        lambda: progress.advance(task),
                    )
                )
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            outcome.stopped = "Interrupted."
        if outcome.stopped is not None:
            left = len(pending) - len(outcome.written) - len(outcome.failed)
            print(f"{outcome.stopped} {left} left; the same command goes on.", file=sys.stderr)
        print(summary(len(outcome.written), kept, out, len(outcome.failed)))
        if interrupted:
            raise typer.Exit(_INTERRUPTED)
        if outcome.failed or outcome.stopped is not None:
            raise typer.Exit(1)
        return
    print(summary(0, kept, out))
