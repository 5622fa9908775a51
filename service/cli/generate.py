"""`ganserve generate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.asking import already_there, connected, fail, summary, writing_to
from service.cli.options import (
    DEFAULT_URL,
    Captions,
    Edits,
    FileFormat,
    Folder,
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
    Wait,
    noise_of,
    seeds_of,
    styling_of,
    transform_of,
    variant_of,
)

if TYPE_CHECKING:
    from service.client import Client, Styles

# As many as the server takes in one call by default; few enough that progress is seen.
_IMAGES_PER_CALL = 16
_STYLES_PER_CALL = 256


def generate(
    model: Model,
    out: Folder,
    seeds: Annotated[
        str | None,
        typer.Option(help="Which images: seeds and ranges, such as 0-15,40,50-52.", show_default=False),
    ] = None,
    ws: Annotated[
        Path | None,
        typer.Option(help="Styles instead, [N, num_ws, w_dim] in a .npy file.", exists=True, dir_okay=False),
    ] = None,
    save_ws: Annotated[
        Path | None, typer.Option(help="Also write the seeds' styles, to this .npy file.", dir_okay=False)
    ] = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Write one contact sheet instead of a file for each image.")
    ] = False,
    captions: Captions = False,
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
    overwrite: Overwrite = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Generate images with a running ganserve, and write them to a folder.

    Files that are there already are kept, so that a command that was stopped goes on when it is repeated.
    """
    if (seeds is None) == (ws is None):
        raise typer.BadParameter("give either --seeds or --ws", param_hint="--seeds")
    if captions and not sheet:
        raise typer.BadParameter("captions go on a contact sheet; add --sheet", param_hint="--captions")
    if save_ws is not None and seeds is None:
        raise typer.BadParameter("--save-ws goes with --seeds", param_hint="--save-ws")
    styling = styling_of(truncation, truncation_cutoff, label, edit)
    transform = transform_of(rotate, translate)
    wanted: list[int | Styles] = []
    if seeds is not None:
        wanted += seeds_of(seeds, "--seeds")
    if ws is not None:
        wanted += _read_styles(ws)
    options: dict[str, Any] = {
        **styling,
        **transform,
        "noise": noise_of(noise),
        "format": format.name_for_calls,
        "quality": quality,
        "sign": sign,
        "wait": wait,
    }
    name = model + variant_of(label, styling["edits"], **transform)
    with connected(url) as client:
        if save_ws is not None and not already_there(save_ws, overwrite=overwrite):
            with writing_to(save_ws):
                _save_styles(client, model, wanted, save_ws, {**styling, "wait": wait})
        with writing_to(out):
            out.mkdir(parents=True, exist_ok=True)
            if sheet:
                path = out / f"{name}-sheet{format.extension}"
                if not already_there(path, overwrite=overwrite):
                    client.sheet(model, **_sources(wanted), captions=captions, **options).save(path)
                    print(path)
                return
            paths = [
                out / f"{name}-{_source_name(index, source)}{format.extension}"
                for index, source in enumerate(wanted)
            ]
            pending = [
                (path, source)
                for path, source in zip(paths, wanted, strict=True)
                if overwrite or not path.exists()
            ]
            _make(client, model, pending, options)
    print(summary(len(pending), len(wanted) - len(pending), out))


def _make(
    client: Client, model: str, pending: Sequence[tuple[Path, int | Styles]], options: dict[str, Any]
) -> None:
    from service.cli.progress import progress_bar

    if not pending:
        return
    with progress_bar() as progress:
        task = progress.add_task(model, total=len(pending))
        for batch in _batches(pending, _IMAGES_PER_CALL):
            sources = _sources([source for _, source in batch])
            for (path, _), image in zip(batch, client.generate(model, **sources, **options), strict=True):
                image.save(path)
                progress.advance(task)


def _sources(wanted: Sequence[Any]) -> dict[str, Any]:
    return {"seeds": wanted} if isinstance(wanted[0], int) else {"ws": wanted}


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _source_name(index: int, source: int | Styles) -> str:
    return f"seed{source:04}" if isinstance(source, int) else f"ws{index:04}"


def _read_styles(path: Path) -> list[Styles]:
    import numpy as np

    from service.client import Styles

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        fail(f"{path} is no .npy file: {error}.")
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind != "f"
        or array.ndim not in (2, 3)
        or not array.size
    ):
        fail(f"{path} holds no styles, which are floats [N, num_ws, w_dim] or [num_ws, w_dim].")
    return [Styles.from_array(one) for one in (array if array.ndim == 3 else array[None])]


def _save_styles(
    client: Client, model: str, seeds: Sequence[Any], path: Path, styling: dict[str, Any]
) -> None:
    from io import BytesIO

    import numpy as np

    from service.files import write_atomically

    styles = [
        one.array()
        for batch in _batches(seeds, _STYLES_PER_CALL)
        for one in client.latents(model, batch, **styling)
    ]
    file = BytesIO()
    np.save(file, np.stack(styles), allow_pickle=False)
    write_atomically(path, file.getvalue())
    print(path)
