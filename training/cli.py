"""The `gantrain` command: prepare · train · evaluate · export · import · inspect · convert · project."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from training.importers import commands
from training.memory import keep_freed_memory
from training.projection.command import project
from training.terminal import clear_errors, console

if TYPE_CHECKING:
    from training.config import Layout

app = typer.Typer(
    help="""Train image GANs on real data, or on your own, and export them for serving.

    The usual way:  gantrain prepare terrain  →  gantrain train terrain  →  gantrain evaluate runs/terrain
    →  gantrain export runs/terrain.

    With your own images:  gantrain prepare cats --from ~/cats --resolution 128  →
    gantrain train terrain --dataset cats-128 --name cats.

    With somebody else's weights:  gantrain inspect FILE  →  gantrain import FILE --name NAME.

    A picture as a model would make it:  gantrain project PICTURE --model terrain.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
DataDir = Annotated[Path, typer.Option("--data", help="Folder that holds the datasets, one folder each.")]
RunDir = Annotated[
    Path, typer.Argument(help="Folder of a run, as `gantrain train` made it, or one of its checkpoints.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or cuda:N; a GPU is taken if there is one.")
]


@app.callback()
def _process() -> None:
    keep_freed_memory()


@app.command()
def prepare(
    name: Annotated[
        str | None,
        typer.Argument(help="Which dataset to make; a name of your own with --from. None lists them."),
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of an image in pixels.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder or zip file of your own images.", show_default=False)
    ] = None,
    layout: Annotated[
        Literal["images", "paired", "unpaired"],
        typer.Option(help="What your own images are: pairs are A|B in one image, or folders A and B."),
    ] = "images",
    second: Annotated[
        Path | None, typer.Option("--second", help="Folder of B, where --from holds A alone.")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Take the first sub-folder as the class of an image.")
    ] = False,
    tiles: Annotated[
        bool, typer.Option("--tiles", help="Cut detailed tiles at full size, as super-resolution wants them.")
    ] = False,
    held_out: Annotated[
        float, typer.Option(help="Share of the files that is held out for evaluation.", min=0.01, max=0.9)
    ] = 0.1,
    title: Annotated[str | None, typer.Option(help="What your pictures show.")] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier of your pictures' terms.")] = "unknown",
    attribution: Annotated[str, typer.Option(help="Whom to credit for your pictures.")] = "unknown",
    data: DataDir = Path("data"),
) -> None:
    """Make a dataset: fetch, cut, split, record its licence.

    Examples: gantrain prepare terrain --resolution 64   (writes data/terrain-64/)
    · gantrain prepare cats --from ~/cats --resolution 128 --labels
    · gantrain prepare facades --from ~/facades --layout paired --resolution 256
    """
    from training.data.recipes import RECIPES

    if name is None:
        for known, entry in RECIPES.items():
            typer.echo(f"{known:28} {entry.summary}")
        return
    with clear_errors():
        if source is not None:
            _prepare_own(
                source,
                data / f"{name}-{resolution or 256}",
                layout,
                resolution=resolution or 256,
                second=second,
                labels_from_subfolders=labels,
                held_out_share=held_out,
                tiles=tiles,
                title=title,
                licence=licence,
                attribution=attribution,
            )
            return
        from training.data.recipe import RecipeError, read_provenance

        if name not in RECIPES:
            raise RecipeError(
                f"no recipe {name!r}; there are: {', '.join(RECIPES)}; your own images are named with --from"
            )
        entry = RECIPES[name]
        side = resolution or entry.default_resolution
        out = data / f"{name}-{side}"
        with console.status("preparing…") as status:
            entry.prepare(out, data / ".cache", side, lambda text: status.update(f"{text}…"))
    provenance = read_provenance(out)
    assert provenance is not None
    counts = ", ".join(f"{n} {split}" for split, n in provenance.counts.items())
    console.print(f"{out}: {counts}; {provenance.licence}; {provenance.attribution}", highlight=False)


def _prepare_own(source: Path, out: Path, layout: Layout, **options: Any) -> None:
    from training.data.folder import prepare_folder
    from training.data.progress import reading

    with reading(console) as progress:
        report = prepare_folder(source, out, layout=layout, progress=progress, **options)
    console.print(report.text(), highlight=False, markup=False)


@app.command()
def train(
    preset: Annotated[
        str | None, typer.Argument(help="Name of a preset, or a TOML file; none lists them.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, such as optimization.batch=32.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Public name of the model.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="What to learn from: a prepared dataset such as cats-128, or a path."),
    ] = None,
    data: DataDir = Path("data"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; runs/<name> if not given.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", help="Run or checkpoint whose weights to start from.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes, with a checkpoint.", min=0)
    ] = None,
    device: Device = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            envvar="GANTRAIN_METRICS_PORT",
            min=1,
            max=65535,
            help="Serve Prometheus metrics on this port while the run lasts.",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(envvar="GANTRAIN_METRICS_HOST", help="Address that --metrics-port listens on.")
    ] = "0.0.0.0",  # noqa: S104  # whoever asks for a port wants it scraped from another machine
    metrics_textfile: Annotated[
        Path | None,
        typer.Option(
            envvar="GANTRAIN_METRICS_TEXTFILE",
            help="Write them to this file, for node_exporter's textfile collector; *.prom.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print configuration and sizes of the networks, and stop.")
    ] = False,
) -> None:
    """Train a model; Ctrl-C stops it with a checkpoint that --resume goes on from.

    Examples: gantrain train terrain --max-minutes 90
    · gantrain train terrain --set generator.channel_base=4096
    · torchrun --nproc-per-node 8 -m training train stylegan2-256
    """
    from training.config_files import dataset_overrides, load_config, preset_names

    with clear_errors():
        if preset is None:
            for preset_name in preset_names():
                config = load_config(preset_name)
                typer.echo(f"{preset_name:30} {config.family:10} {config.title}")
            return
        overrides = [] if dataset is None else dataset_overrides(dataset, data)
        options = {"dataset": dataset, "name": name, "init-from": init_from}
        typed = ["gantrain", "train", preset]
        typed += [word for key, value in options.items() if value is not None for word in (f"--{key}", value)]
        typed += [word for override in set_ or () for word in ("--set", override)]
        if name is not None:
            overrides += [f"name={name}"]
        if init_from is not None:
            overrides += [f"init_from={init_from}"]
        overrides += set_ or ()  # last, as they are the most particular
        config = load_config(preset, overrides)
        if dry_run:
            from training.loop import describe_networks

            typer.echo(config.model_dump_json(indent=2))
            console.print(describe_networks(config, config.data.folder(data)))
            return
        from training.loop import train as run_training
        from training.telemetry import Exposition

        run = out or Path("runs") / config.name
        checkpoint = run_training(
            config,
            config.data.folder(data),
            run,
            resume=resume,
            max_minutes=max_minutes,
            device=device,
            console=console,
            command=shlex.join(typed),
            metrics=None
            if metrics_port is None and metrics_textfile is None
            else Exposition(metrics_port, metrics_host, metrics_textfile, Path(preset).stem),
        )
    total = config.optimization.kimg
    console.print(
        f"{run}: {checkpoint.kimg:.3g} of {total:g} kimg after {checkpoint.seconds / 60:.0f} minutes"
    )
    if checkpoint.step < config.total_steps:
        again = [*typed, *(["--data", str(data)] if data != Path("data") else [])]
        again += ["--out", str(out)] if out else []
        console.print(f"go on with: {shlex.join(again)} --resume", soft_wrap=True, markup=False)


@app.command()
def evaluate(
    run: RunDir,
    data: DataDir = Path("data"),
    images: Annotated[int, typer.Option(help="Images of each kind that are compared.", min=100)] = 2000,
    against: Annotated[
        Path | None, typer.Option(help="Run of another upscaler to compare this one with.")
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the Inception network of published FID figures.", envvar="GANTRAIN_INCEPTION"
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Measure a trained model on held-out images; writes metrics.json and pictures beside the checkpoint.

    Examples: gantrain evaluate runs/terrain
    · gantrain evaluate runs/photo-x4-gan --against runs/photo-x4
    """
    with clear_errors():
        from training.checkpoint import load_checkpoint
        from training.data.progress import reading
        from training.metrics.evaluate import evaluate as run_evaluation
        from training.metrics.report import print_metrics

        checkpoint = load_checkpoint(run)
        other = None if against is None else load_checkpoint(against)
        folder = run if run.is_dir() else run.parent
        with reading(console) as progress:
            metrics = run_evaluation(
                checkpoint,
                checkpoint.config.data.folder(data),
                folder,
                images=images,
                against=other,
                inception=inception,
                device=device,
                progress=progress,
            )
    print_metrics(metrics, console)
    console.print(f"figures and pictures are in {folder}", highlight=False)


@app.command()
def export(
    run: RunDir,
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    file_format: Annotated[
        Literal["onnx", "torchscript", "both", "mnn"],
        typer.Option(
            "--format",
            help="What the graphs are written as; both is the first two, mnn is for upscalers and "
            "translators on a CPU and needs ganserve[mnn].",
        ),
    ] = "onnx",
    data: DataDir = Path("data"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace models of this name.")] = False,
) -> None:
    """Export a trained model to Triton's model repository, if the graph computes just what PyTorch does.

    Examples: gantrain export runs/terrain --overwrite
    · gantrain export runs/terrain --format torchscript --repository elsewhere
    """
    with clear_errors():
        from training.checkpoint import load_checkpoint
        from training.config_files import preset_of
        from training.data.recipe import read_provenance
        from training.export.export import export_checkpoint
        from training.metrics.results import METRICS

        checkpoint = load_checkpoint(run)
        config = checkpoint.config
        metrics = (run if run.is_dir() else run.parent) / METRICS
        if not metrics.exists():
            console.print(f"note: {run} was never evaluated, so the card will hold no metrics")
        with console.status("exporting…") as status:
            folders = export_checkpoint(
                checkpoint,
                repository,
                provenance=read_provenance(config.data.folder(data)),
                metrics=json.loads(metrics.read_text()) if metrics.exists() else None,
                formats=("onnx", "torchscript") if file_format == "both" else (file_format,),
                overwrite=overwrite,
                command=checkpoint.command or f"gantrain train {preset_of(config.name) or config.name}",
                progress=lambda text: status.update(f"{text}…"),
            )
    for folder in folders:
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20
        console.print(f"{folder}: {size:.1f} MiB, equal to PyTorch")


app.command(name="import")(commands.import_)
app.command(name="inspect")(commands.inspect)
app.command(name="convert")(commands.convert)
app.command()(project)
