"""`ganserve mix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.asking import already_there, connected, summary, writing_to
from service.cli.options import (
    DEFAULT_URL,
    STILLS,
    Captions,
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
    Wait,
    format_of,
    layers_of,
    noise_of,
    seeds_of,
    styling_of,
    transform_of,
)


def mix(
    model: Model,
    rows: Annotated[str, typer.Option(help="Seeds whose structure is kept, such as 1-4.")],
    columns: Annotated[str, typer.Option(help="Seeds whose layers are taken, such as 10-13.")],
    out: Annotated[
        Path, typer.Option(help="File for the grid (.png, .jpg, .webp); or a folder, for the images alone.")
    ],
    layers: Annotated[
        str, typer.Option(help="coarse, middle, fine, numbers of layers, or several with commas.")
    ] = "fine",
    headers: Annotated[bool, typer.Option(help="Show the unmixed images above and beside the grid.")] = True,
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
    """Cross the styles of seeds: rows give the structure, columns the chosen layers."""
    row_seeds, column_seeds = seeds_of(rows, "--rows"), seeds_of(columns, "--columns")
    options: dict[str, Any] = {
        "layers": layers_of(layers),
        **styling_of(truncation, truncation_cutoff, label, edit),
        **transform_of(rotate, translate),
        "noise": noise_of(noise),
        "quality": quality,
        "sign": sign,
        "wait": wait,
    }
    if out.suffix and not out.is_dir():
        options["format"] = format_of(out, STILLS)
        if already_there(out, overwrite=overwrite):
            return
        with connected(url) as client, writing_to(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            grid = client.style_mix(
                model, row_seeds, column_seeds, headers=headers, captions=captions, **options
            )
            grid.save(out)
        print(out)
        return
    pending = {
        (row, column): path
        for row in row_seeds
        for column in column_seeds
        for path in [out / f"{model}-row{row:04}-column{column:04}{format.extension}"]
        if overwrite or not path.exists()
    }
    if pending:
        with connected(url) as client, writing_to(out):
            out.mkdir(parents=True, exist_ok=True)
            images = client.style_mix_images(
                model, row_seeds, column_seeds, format=format.name_for_calls, **options
            )
            for image in images:
                place = pending.get((row_seeds[image.row], column_seeds[image.column]))
                if place is not None:
                    image.save(place)
    print(summary(len(pending), len(row_seeds) * len(column_seeds) - len(pending), out))
