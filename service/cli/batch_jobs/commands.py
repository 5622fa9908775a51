"""`ganserve batch upscale`, `translate` and `generate`: what they take, and what that means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from service.cli.options import (
    DEFAULT_URL,
    Edits,
    FileFormat,
    Format,
    Label,
    Model,
    Noise,
    Overwrite,
    Quality,
    Rotation,
    Sign,
    Translation,
    Truncation,
    TruncationCutoff,
    Url,
    noise_of,
    seeds_of,
    styling_of,
    transform_of,
    variant_of,
)
from service.cli.uploads import AlphaOption, FitOption, FrameNumber, KeepExif

if TYPE_CHECKING:
    from service.cli.batch_jobs.execute import Manner

app = typer.Typer(
    help="Whole folders and buckets, as jobs of the server: nothing is lost when this computer or the server"
    " is stopped, and the same command goes on where it was.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_BUCKET = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class PriorityOption(str, Enum):
    """Among jobs that wait."""

    high = "high"
    normal = "normal"
    low = "low"


In = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="Folder of images; or a URL such as s3://bucket/photos/ that the server reads by itself.",
        show_default=False,
    ),
]
Out = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="Folder for the results; or a URL such as s3://bucket/large/ that the server writes below.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive/--no-recursive", help="Look into folders of folders too.")
]
Pattern = Annotated[
    str | None,
    typer.Option(help="Only files whose path or name matches, such as '*.jpg'.", show_default="all images"),
]
Naming = Annotated[
    str | None,
    typer.Option(
        help="What results are called, such as '{path}/{stem}-large.{ext}'; also {n}, {model}, {scale} and"
        " {seed}.",
        show_default="as the inputs",
    ),
]
Priority = Annotated[PriorityOption, typer.Option(help="Among jobs that wait.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what could not be made by an earlier run.")
]
AtATime = Annotated[
    int, typer.Option("--jobs-at-a-time", "-j", help="Jobs under way at a time.", min=1, max=16)
]
CancelOnInterrupt = Annotated[
    bool, typer.Option("--cancel-on-interrupt", help="On Ctrl-C, stop the jobs on the server as well.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but what went wrong.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print how it went as JSON, and no progress.")]
Report = Annotated[
    Path | None, typer.Option(help="File that is told what failed, and why, as JSON.", dir_okay=False)
]


def _examples(*lines: str) -> str:
    return "\n\n".join(("[bold]Examples[/bold]", *(f"  {line}" for line in lines)))


_EXIT = "\n\nExit code: 0 all is done, 1 something failed, 2 the command is wrong, 130 Ctrl-C."


@app.command(
    epilog=_examples(
        "ganserve batch upscale photos large --model photo-x4",
        "ganserve batch upscale photos large --model photo-x4 --scale 2 --pattern '*.jpg' --format webp "
        "--quality 90",
        "ganserve batch upscale s3://bucket/photos/ s3://bucket/large/ --model photo-x4 --priority low",
        "ganserve batch upscale photos large --model photo-x4 --retry-failed --report failures.json",
    )
    + _EXIT
)
def upscale(
    source: In,
    out: Out,
    model: Model,
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
    recursive: Recursive = True,
    pattern: Pattern = None,
    naming: Naming = None,
    priority: Priority = PriorityOption.normal,
    jobs_at_a_time: AtATime = 3,
    retry_failed: RetryFailed = False,
    overwrite: Overwrite = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    report: Report = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Enlarge a folder or a bucket of images.

    Results keep the names and folders of the images. The same command goes on after Ctrl-C, and sends only
    what is missing or has changed.
    """
    from service.cli.batch_jobs.execute import Manner

    parameters = {
        "scale": scale,
        "background": background,
        **_common(format, quality, frame, keep_exif, sign),
    }
    manner = Manner(
        url, jobs_at_a_time, retry_failed, overwrite, cancel_on_interrupt, dry_run, quiet, as_json, report
    )
    _images(
        "super-resolution",
        "upscaler",
        source,
        out,
        model,
        parameters,
        format,
        recursive,
        pattern,
        naming,
        priority,
        manner,
    )


@app.command(
    epilog=_examples(
        "ganserve batch translate drawings emoji --model sketch-to-emoji --fit pad",
        "ganserve batch translate drawings s3://bucket/emoji/ --model sketch-to-emoji --format webp",
    )
    + _EXIT
)
def translate(
    source: In,
    out: Out,
    model: Model,
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
    recursive: Recursive = True,
    pattern: Pattern = None,
    naming: Naming = None,
    priority: Priority = PriorityOption.normal,
    jobs_at_a_time: AtATime = 3,
    retry_failed: RetryFailed = False,
    overwrite: Overwrite = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    report: Report = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Turn a folder or a bucket of images into another kind, such as drawings into pictures.

    Results keep the names and folders of the images. The same command goes on after Ctrl-C, and sends only
    what is missing or has changed.
    """
    from service.cli.batch_jobs.execute import Manner

    parameters = {
        "fit": fit.value,
        "restore": restore or None,
        "alpha": alpha.value,
        "background": background,
        **_common(format, quality, frame, keep_exif, sign),
    }
    manner = Manner(
        url, jobs_at_a_time, retry_failed, overwrite, cancel_on_interrupt, dry_run, quiet, as_json, report
    )
    _images(
        "translate",
        "translator",
        source,
        out,
        model,
        parameters,
        format,
        recursive,
        pattern,
        naming,
        priority,
        manner,
    )


@app.command(
    epilog=_examples(
        "ganserve batch generate dataset --model terrain --seeds 0-9999",
        "ganserve batch generate s3://bucket/terrain/ --model terrain --seeds 0-99999 --truncation 0.7",
        "ganserve batch generate dataset --model emoji --label Objects --seeds 0-999 --naming "
        "'objects/{seed:06}.{ext}'",
    )
    + _EXIT
)
def generate(
    out: Out,
    model: Model,
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0-9999 or 3,7,40-44.")],
    truncation: Truncation = None,
    truncation_cutoff: TruncationCutoff = None,
    noise: Noise = "const",
    label: Label = None,
    edit: Edits = None,
    rotate: Rotation = None,
    translate: Translation = None,
    format: FileFormat = Format.png,
    quality: Quality = None,
    sign: Sign = False,
    naming: Naming = None,
    priority: Priority = PriorityOption.normal,
    jobs_at_a_time: AtATime = 3,
    retry_failed: RetryFailed = False,
    overwrite: Overwrite = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    report: Report = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Make a dataset: one image for each of many seeds.

    The same command goes on after Ctrl-C, and has made only what is missing.
    """
    from service.cli.batch_jobs.execute import Manner, Order, execute
    from service.cli.batch_jobs.units import Unit, seed_units
    from service.cli.batch_jobs.work import Recipe

    wanted = seeds_of(seeds, "--seeds")
    styling = styling_of(truncation, truncation_cutoff, label, edit)
    transform = transform_of(rotate, translate)
    parameters = {
        **styling,
        **transform,
        "noise": None if noise == "const" else noise_of(noise),
        "format": format.name_for_calls,
        "quality": quality,
        "sign": sign or None,
    }
    variant = variant_of(label, styling["edits"], **transform)
    name = f"{model}{variant}".replace("{", "{{").replace("}", "}}")
    pattern = naming or f"{name}-seed{{seed:04}}.{{ext}}"
    folder = _folder(out, "OUT")

    def find() -> list[Unit]:
        return seed_units(wanted, format.extension, naming=pattern, model=model, by_server=folder is None)

    recipe = Recipe(
        "generate",
        model,
        parameters,
        None if folder is not None else pattern,
        None if folder is not None else out,
        priority.value,
    )
    manner = Manner(
        url, jobs_at_a_time, retry_failed, overwrite, cancel_on_interrupt, dry_run, quiet, as_json, report
    )
    execute(Order("generator", recipe, "seeds", find, None, out, folder), manner)


def _images(
    operation: Literal["super-resolution", "translate"],
    kind: str,
    source: str,
    out: str,
    model: str,
    parameters: Mapping[str, Any],
    format: Format,
    recursive: bool,
    pattern: str | None,
    naming: str | None,
    priority: PriorityOption,
    manner: Manner,
) -> None:
    """A batch of images that are there: in a folder here, or below a URL."""
    from service.cli.batch_jobs.execute import Order, execute
    from service.cli.batch_jobs.prefix_work import Prefix
    from service.cli.batch_jobs.units import Unit, file_units
    from service.cli.batch_jobs.work import Recipe

    origin, folder = _folder(source, "IN"), _folder(out, "OUT")
    if origin is not None and not origin.is_dir():
        raise typer.BadParameter(f"there is no folder {source}", param_hint="IN")
    if origin is None and not recursive:
        raise typer.BadParameter(
            "what is below a URL has no folders; use --pattern", param_hint="--no-recursive"
        )

    def find() -> list[Unit]:
        assert origin is not None
        return file_units(
            origin,
            folder,
            format.extension,
            recursive=recursive,
            pattern=pattern,
            naming=naming,
            model=model,
            scale=parameters.get("scale"),
        )

    # Files that are fetched get their names here; the server names what it finds, or writes elsewhere.
    here = origin is not None and folder is not None
    recipe = Recipe(
        operation,
        model,
        parameters,
        None if here else naming,
        None if folder is not None else out,
        priority.value,
    )
    order = Order(
        kind,
        recipe,
        source if origin is None else str(origin.resolve()),
        None if origin is None else find,
        Prefix(source, pattern) if origin is None else None,
        out,
        folder,
    )
    execute(order, manner)


def _folder(text: str, argument: str) -> Path | None:
    """The folder that is meant; None for a URL."""
    if _BUCKET.match(text):
        if not text.lower().startswith(("s3://", "file://")):
            raise typer.BadParameter(
                f"{text} is neither a folder nor an s3:// or file:// URL", param_hint=argument
            )
        return None
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"{text} is a file, and this takes folders", param_hint=argument)
    return path


def _common(
    format: Format, quality: int | None, frame: int | None, keep_exif: bool, sign: bool
) -> dict[str, Any]:
    return {
        "format": format.name_for_calls,
        "quality": quality,
        "frame": frame,
        "keep_exif": keep_exif or None,
        "sign": sign or None,
    }
