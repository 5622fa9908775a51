"""`ganserve interpolate`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from service.cli.asking import already_there, connected, fail, summary, writing_to
from service.cli.options import (
    DEFAULT_URL,
    STILLS,
    EasingOption,
    Edits,
    Format,
    Label,
    Model,
    Noise,
    Overwrite,
    Quality,
    Sign,
    SpaceOption,
    Truncation,
    TruncationCutoff,
    Url,
    Wait,
    format_of,
    latents_of,
    noise_of,
    seeds_of,
    styling_of,
    translation_of,
)

if TYPE_CHECKING:
    from service.client import Client, Latent

_ANIMATIONS = {
    ".webp": "webp",
    ".gif": "gif",
    ".png": "apng",
    ".apng": "apng",
    ".mp4": "mp4",
    ".zip": "zip",
}
_RECORD = "animation.json"
_FRAME = re.compile(r"\d{5,}\.(png|jpg|webp)")


def interpolate(
    model: Model,
    keyframes: Annotated[
        str,
        typer.Option(
            help="Seeds that the path leads through, such as 1,5,9; or JSON as the API takes it, such as "
            """'[1, {"seed": 5, "truncation": 0.5}]'."""
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="File that ends in .webp, .gif, .png (APNG), .mp4 or .zip; or a folder, for single frames."
        ),
    ],
    frames: Annotated[int, typer.Option(help="Frames of the whole animation.", min=2)] = 60,
    fps: Annotated[float, typer.Option(help="Frames a second.", min=1, max=60)] = 24.0,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first keyframe.")] = False,
    easing: Annotated[
        EasingOption, typer.Option(help="How fast each segment is passed through.")
    ] = EasingOption.linear,
    space: Annotated[
        SpaceOption, typer.Option(help="`w`: straight between styles, `z`: along the arc between latents.")
    ] = SpaceOption.w,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Write a filmstrip, in a .png, .jpg or .webp.")
    ] = False,
    truncation: Truncation = None,
    truncation_cutoff: TruncationCutoff = None,
    noise: Noise = "const",
    label: Label = None,
    edit: Edits = None,
    rotate: Annotated[
        list[float] | None,
        typer.Option(
            "--rotate",
            help="Degrees to turn the picture by: once, or once for each keyframe.",
            show_default="0",
        ),
    ] = None,
    translate: Annotated[
        list[str] | None,
        typer.Option(
            "--translate",
            metavar="X,Y",
            help="How far to move it, as fractions of its side: once, or once for each keyframe.",
            show_default="0,0",
        ),
    ] = None,
    frame_format: Annotated[Format, typer.Option(help="Of frames in a folder or a .zip.")] = Format.png,
    quality: Quality = None,
    sign: Sign = False,
    overwrite: Overwrite = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Animate a path through the latents of a generator.

    Single frames are written as soon as they are made; those that are there already are kept.
    """
    options: dict[str, Any] = {
        "keyframes": _keyframes(keyframes, rotate or [], [translation_of(text) for text in translate or ()]),
        "frames": frames,
        "space": space.value,
        "easing": easing.value,
        "loop": loop,
        **styling_of(truncation, truncation_cutoff, label, edit),
        "noise": noise_of(noise),
        "quality": quality,
        "sign": sign,
    }
    if not out.suffix or out.is_dir():
        if sheet:
            raise typer.BadParameter("a filmstrip is one file; give --out a suffix", param_hint="--sheet")
        with connected(url) as client, writing_to(out):
            options["frame_format"] = frame_format.value
            _write_frames(client, model, options, out, overwrite=overwrite, wait=wait)
        return
    if sheet:
        options |= {"format": "sheet", "frame_format": format_of(out, STILLS)}
    else:
        options |= {"format": format_of(out, _ANIMATIONS), "frame_format": frame_format.value}
    if already_there(out, overwrite=overwrite):
        return
    with connected(url) as client, writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        client.interpolate(model, fps=fps, wait=wait, **options).save(out)
    print(out)


def _keyframes(
    text: str, rotations: Sequence[float], translations: Sequence[Sequence[float]]
) -> list[int | Latent]:
    """Seeds, with how the picture is turned and moved at each; or whatever JSON says."""
    if text.lstrip().startswith("["):
        if rotations or translations:
            raise typer.BadParameter(
                "keyframes in JSON say themselves how they are turned and moved",
                param_hint="--rotate" if rotations else "--translate",
            )
        return latents_of(text, "--keyframes")
    seeds = seeds_of(text, "--keyframes", repeats=True)
    if not rotations and not translations:
        return list(seeds)
    from service.client import Latent

    of_each: list[Sequence[Any]] = []
    for option, values in (("--rotate", rotations), ("--translate", translations)):
        if len(values) not in (0, 1, len(seeds)):
            counts = f"{len(values)} values for {len(seeds)} keyframes"
            raise typer.BadParameter(f"{counts}; give one, or one for each", param_hint=option)
        of_each.append(values if len(values) == len(seeds) else [values[0] if values else None] * len(seeds))
    return [
        Latent(seed=seed, rotation=rotation, translation=translation)
        for seed, rotation, translation in zip(seeds, *of_each, strict=True)
    ]


def _write_frames(
    client: Client, model: str, options: dict[str, Any], out: Path, *, overwrite: bool, wait: float | None
) -> None:
    from service.cli.progress import progress_bar
    from service.client.call import source_json
    from service.files import write_atomically

    suffix = Format(options["frame_format"]).extension
    record = {
        "model": model,
        "model_digest": client.model(model).digest,
        **options,
        "keyframes": [source_json(keyframe) for keyframe in options["keyframes"]],
    }
    _prepare(out, record, overwrite)
    count = cast(int, options["frames"])
    paths = [out / f"{index:05}{suffix}" for index in range(count)]
    missing = {index for index, path in enumerate(paths) if not path.exists()}
    kept = count - len(missing)
    made = len(missing)
    if missing:
        write_atomically(out / _RECORD, json.dumps(record, indent=1).encode())
        stream = client.interpolate_frames(model, wait=wait, **options)
        with progress_bar() as progress, closing(stream):
            task = progress.add_task(model, total=count, completed=0)
            for frame in stream:
                if frame.index in missing:
                    frame.save(paths[frame.index])
                    missing.remove(frame.index)
                progress.advance(task)
                if not missing:
                    break
            progress.update(task, completed=count)
    print(summary(made, kept, out))


def _prepare(out: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Makes the folder, if it is to be; frames of two animations must not end up side by side."""
    out.mkdir(parents=True, exist_ok=True)
    there = [path for path in out.iterdir() if _FRAME.fullmatch(path.name)]
    if overwrite:
        for path in there:
            path.unlink()
    elif there:
        try:
            same = json.loads((out / _RECORD).read_text()) == record
        except (OSError, ValueError):
            same = False
        if not same:
            fail(f"{out} has frames of another animation; give another folder, or --overwrite.")
