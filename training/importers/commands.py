"""`gantrain import`, `inspect` and `convert`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.terminal import clear_errors, console, printable

if TYPE_CHECKING:
    from training.export.triton_entry import Format
    from training.families.base import Kind
    from training.importers.base import Recognised, StoredFile
    from training.importers.importing import ImportReport
    from training.importers.licences import Licence

WeightsFile = Annotated[
    Path,
    typer.Argument(help="A file of weights: .pkl, .pt, .pth, .safetensors, or .param/.bin of ncnn."),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        help="Which network of the file, such as G or params; by default the averaged one.",
        show_default=False,
    ),
]


def import_(
    file: WeightsFile,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Public name of the model; made of the file's name if not given."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="What it makes, for people.", show_default=False)] = None,
    part: Part = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Another way to use the same weights, where `gantrain inspect` lists some.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Terms of the weights, best as SPDX identifier, such as MIT or CC-BY-NC-4.0; those of "
            "well-known files are known, otherwise you are asked.",
            show_default=False,
        ),
    ] = None,
    licence_url: Annotated[
        str | None, typer.Option(help="Where the terms are to be read.", show_default=False)
    ] = None,
    commercial_use: Annotated[
        bool | None,
        typer.Option(
            "--commercial-use/--no-commercial-use",
            help="Whether the terms allow it; known of common identifiers.",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    file_format: Annotated[
        Literal["auto", "onnx", "torchscript", "both", "mnn"],
        typer.Option(
            "--format",
            help="What the graphs are written as; both is ONNX and TorchScript, mnn is for upscalers and "
            "translators on a CPU, auto is mnn for upscalers where ganserve[mnn] is installed, else onnx.",
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the report and the picture; imports/<name> if not given."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace models of this name.")] = False,
) -> None:
    """Serve somebody else's checkpoint: recognise, convert, prove, export. Nothing in the file is executed.

    Examples: gantrain import stylegan3-t-ffhq-1024x1024.pkl --name faces
    · gantrain import latest_net_G_A.pth --name horse-to-zebra --licence BSD-2-Clause
    · gantrain import RealESRGAN_x4plus.pth --name photo-real-x4
    """
    with clear_errors():
        from training.export.onnx_graph import ExportError
        from training.export.parity import ParityError
        from training.importers.importing import check_name, import_weights, name_from

        name = name_from(file) if name is None else name
        check_name(name)
        stored, recognised = _look(file, part)
        console.print(printable(f"{file.name} is a {recognised.title} ({recognised.format})"), markup=False)
        terms = _terms(stored, licence, licence_url, commercial_use)
        formats = _formats(file_format, recognised.kind)
        with console.status("importing…") as status:

            def written_as(formats: tuple[Format, ...]) -> ImportReport:
                return import_weights(
                    stored,
                    recognised,
                    terms,
                    repository,
                    name=name,
                    title=title,
                    variant=variant,
                    formats=formats,
                    overwrite=overwrite,
                    out=out or Path("imports") / name,
                    progress=lambda text: status.update(f"{text}…"),
                )

            try:
                report = written_as(formats)
            except (ExportError, ParityError) as error:
                if file_format != "auto" or formats == ("onnx",):
                    raise
                console.print(printable(f"MNN will not do ({error}), so it is written to ONNX"), markup=False)
                report = written_as(("onnx",))
    _print_report(report, out or Path("imports") / name)


def _formats(chosen: Literal["auto", "onnx", "torchscript", "both", "mnn"], kind: Kind) -> tuple[Format, ...]:
    """What is written; of a choice that was left to us it is said."""
    if chosen == "both":
        return ("onnx", "torchscript")
    if chosen != "auto":
        return (chosen,)
    from training.export.mnn_graph import mnn_is_installed

    if kind != "upscaler" or not mnn_is_installed():
        return ("onnx",)
    console.print(
        "it is written for MNN, which computes upscalers on a CPU in less time than ONNX Runtime; "
        "for a GPU, or a Triton of your own, add --format onnx",
        highlight=False,
        soft_wrap=True,
    )
    return ("mnn",)


def inspect(
    file: WeightsFile,
    part: Part = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Say what a file of weights is, and what would be made of it, without executing anything in it.

    Examples: gantrain inspect network-snapshot-025000.pkl · gantrain inspect G.pth --json
    """
    with clear_errors():
        stored, recognised = _look(file, part)
    from training.importers.importing import name_from, origin
    from training.importers.licences import WELL_KNOWN

    terms = WELL_KNOWN.get(stored.sha256)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    **origin(stored, recognised),
                    "container": stored.container,
                    "bytes": stored.size,
                    "title": recognised.title,
                    "kind": recognised.kind,
                    "family": recognised.family,
                    "parameters": recognised.parameters,
                    "hyperparameters": dict(recognised.hyperparameters),
                    "variants": list(recognised.variants),
                    "licence": None if terms is None else terms.card(),
                },
                indent=2,
                ensure_ascii=False,
                default=str,
            )
        )
        return
    from training.export.export import ROLES

    name = name_from(file)
    models = [f"{name}-{role}" if role else name for role in ROLES[recognised.kind]]
    lines = [
        ("file", f"{file.name}, {stored.size / 2**20:.1f} MiB, {stored.container}"),
        ("sha256", stored.sha256),
        ("is", recognised.title),
        ("format", recognised.format + (f", part {recognised.part}" if recognised.part else "")),
        ("parameters", f"{recognised.parameters:,}"),
        *((f"  {key}", str(value)) for key, value in recognised.hyperparameters.items()),
        *((("variants", ", ".join(recognised.variants)),) if recognised.variants else ()),
        ("licence", terms.text() if terms else "not known: you will be asked for it"),
        ("becomes", f"{recognised.kind} {name} (in Triton: {', '.join(models)})"),
        ("with", f"gantrain import {shlex.quote(str(file))} --name {name}"),
    ]
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        typer.echo(printable(f"{key:{width}}  {value}").replace("\n", "\\n"))


def convert(
    source: Annotated[
        Path, typer.Argument(help="Folder of a run, one of its checkpoints, or a file that can be imported.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="What to write: .pt, .pth or .safetensors; or a folder.")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", help="The layout, where there is a choice; `?` lists those there are."),
    ] = None,
    part: Part = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write weights as the original code stores them, and check that they read back.

    Examples: gantrain convert runs/terrain --to rosinality-stylegan2 --out terrain.pt
    · gantrain convert runs/satellite-to-relief --out latest_net_G.pth
    """
    with clear_errors():
        from training.importers import converting

        with console.status("reading…"):
            found = converting.read_source(source, part)
        if to == "?":
            for name, network in found.networks:
                typer.echo(f"{name}: {', '.join(converting.formats_for(network)) or 'none'}")
            return
        into_folder = len(found.networks) > 1 or out.is_dir() or not out.suffix
        for name, network in found.networks:
            path = out / f"{name}.pth" if into_folder else out
            if path.exists() and not overwrite:
                raise converting.ConversionError(f"{path} exists; --overwrite replaces it")
            with console.status(f"writing {path}…"):
                written = converting.convert(name, network, found.kind, to, path)
            size = path.stat().st_size / 2**20
            console.print(f"{path}: {size:.1f} MiB, {written}, reads back the same", markup=False)


def _look(file: Path, part: str | None) -> tuple[StoredFile, Recognised]:
    from training.importers.files.reading import read_weights
    from training.importers.table import recognise

    with console.status(f"reading {printable(file.name)}…"):
        stored = read_weights(file)
        return stored, recognise(stored, part)


def _terms(stored: StoredFile, name: str | None, url: str | None, commercial_use: bool | None) -> Licence:
    from training.importers.licences import WELL_KNOWN, LicenceError, given

    known = WELL_KNOWN.get(stored.sha256)
    if name is not None:
        return given(name, url, commercial_use)
    if known is not None:
        console.print(f"licence of {known.file}: {known.text()}", highlight=False, markup=False)
        return known
    if sys.stdin.isatty():
        console.print(
            "Under what terms are these weights used? An SPDX identifier is best: MIT, CC-BY-NC-4.0, …",
            highlight=False,
        )
        return given(typer.prompt("licence", err=True), url, commercial_use)
    raise LicenceError(
        f"the terms of {stored.path.name} are not known: say them with --licence, such as "
        "--licence CC-BY-NC-4.0, or --licence unknown"
    )


def _print_report(report: ImportReport, out: Path) -> None:
    proof = report.proof
    for note in report.notes:
        console.print(printable(f"note: {note}"), highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"against the stored weights ({proof.cases}): {1 - proof.differing_pixels:.3%} of pixels equal, at "
        f"most {proof.max_level_error} level off, floats within {proof.max_abs_error:.1e}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for folder in report.folders:
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20
        console.print(f"{folder}: {size:.1f} MiB, equal to PyTorch", highlight=False, markup=False)
    console.print(f"licence: {report.licence.text()}", highlight=False, markup=False, soft_wrap=True)
    made = "report and picture" if report.samples else "report"
    console.print(f"{made} in {out}; load it with: ganserve load {report.name}", markup=False)
