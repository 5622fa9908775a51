"""The `gantrain` command: prepare · train · evaluate · export."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.errors import GantrainError
from training.memory import keep_freed_memory

app = typer.Typer(
    help="""Train image GANs on real data, or on your own, and export them for serving.

    The usual way:  gantrain prepare terrain  →  gantrain train terrain  →  gantrain evaluate runs/terrain
    →  gantrain export runs/terrain.

    With your own images:  gantrain prepare cats --from ~/cats --resolution 128  →
    gantrain train stylegan2-small --dataset cats-128 --name cats.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

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
def train(
    preset: Annotated[
        str | None, typer.Argument(help="Name of a preset, or a TOML file; none lists them.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, such as optimization.batch=32.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Public name of the model.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="What to learn from: a prepared dataset such as cats-128, or a path."),
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

    with _clear_errors():
        if preset is None:
            for preset_name in preset_names():
                config = load_config(preset_name)
                typer.echo(f"{preset_name:30} {config.family:10} {config.title}")
            return
        overrides = list(set_ or ())
        if dataset is not None:
            overrides += dataset_overrides(dataset, data)
        if name is not None:
            overrides += [f"name={name}"]
        if init_from is not None:
            overrides += [f"init_from={init_from}"]
        config = load_config(preset, overrides)
        if dry_run:
            from training.loop import describe_networks

            typer.echo(config.model_dump_json(indent=2))
            console.print(describe_networks(config))
            return
        from training.loop import train as run_training

        run = out or Path("runs") / config.name
        checkpoint = run_training(
            config,
            config.data.folder(data),
            run,
            resume=resume,
            max_minutes=max_minutes,
            device=device,
            console=console,
        )
    total = config.optimization.kimg
    console.print(
        f"{run}: {checkpoint.kimg:.3g} of {total:g} kimg after {checkpoint.seconds / 60:.0f} minutes"
    )
    if checkpoint.step < config.total_steps:
        again = [preset, *(f"--set {override}" for override in overrides)]
        again += [f"--out {out}"] if out else []
        console.print(f"go on with: gantrain train {' '.join(again)} --resume", soft_wrap=True)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Failures a user can mend end the command with their message; others keep their traceback."""
    try:
        yield
    except GantrainError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
