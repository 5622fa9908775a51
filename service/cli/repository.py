"""`ganserve repository`: production settings of a model repository, and versions side by side."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from service.cli.options import OperatorKey

app = typer.Typer(
    help="Give a model repository production settings; say how Triton is started on it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


class ProfileChoice(Enum):
    """What a repository is rendered for; the same as `service.repository.profiles.ProfileName`."""

    cpu = "cpu"
    gpu = "gpu"
    gpu_tensorrt = "gpu-tensorrt"
    gpu_shared = "gpu-shared"


ProfileOption = Annotated[ProfileChoice, typer.Option(help="What kind of machine it is for.")]


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "  ganserve repository render model_repository /srv/models --profile gpu\n\n"
    "  ganserve repository render /srv/models /srv/models --profile cpu"
)
def render(
    source: Annotated[Path, typer.Argument(help="A model repository.", file_okay=False)],
    target: Annotated[
        Path, typer.Argument(help="Where to; the same folder to change it in place.", file_okay=False)
    ],
    profile: ProfileOption,
) -> None:
    """Write a repository whose configs are tuned for production; models and cards stay as they are."""
    from service.repository.config_text import RepositoryError
    from service.repository.profiles import PROFILES
    from service.repository.rendering import render_repository

    try:
        names = render_repository(source, target, PROFILES[profile.value])
    except (RepositoryError, OSError) as error:
        _end(error)
    print(f"{len(names)} models for {profile.value} are in {target}.", file=sys.stderr)


@app.command(
    epilog="[bold]Example[/bold]\n\n  tritonserver --model-repository=/srv/models "
    "$(ganserve repository flags --profile gpu)"
)
def flags(
    profile: ProfileOption,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Each below its reason, the key's place left open: for a file.")
    ] = False,
    operator_key: OperatorKey = None,
) -> None:
    """Print how tritonserver is started in production, one flag a line."""
    from service.repository.server_flags import flags_file, operator_key_or_random, server_flags

    if reasons:
        print(flags_file(profile.value), end="")
        return
    for flag in server_flags(profile.value, operator_key_or_random(operator_key)):
        print(flag)


@app.command(epilog="[bold]Example[/bold]\n\n  ganserve repository publish exported /srv/models terrain")
def publish(
    source: Annotated[Path, typer.Argument(help="What gantrain export wrote.", file_okay=False)],
    repository: Annotated[Path, typer.Argument(help="The repository that Triton serves.", file_okay=False)],
    model: Annotated[str, typer.Argument(help="The model.")],
) -> None:
    """Put a new version of a model beside the one that serves; `ganserve load` then puts it to the test."""
    from service.repository.config_text import RepositoryError
    from service.repository.versions import publish as publish_version

    try:
        version = publish_version(source, repository, model)
    except (RepositoryError, OSError) as error:
        _end(error)
    print(f"Version {version} of {model} is in {repository}; `ganserve load {model}` makes it serve.")


@app.command(epilog="[bold]Example[/bold]\n\n  ganserve repository withdraw /srv/models terrain")
def withdraw(
    repository: Annotated[Path, typer.Argument(help="The repository that Triton serves.", file_okay=False)],
    model: Annotated[str, typer.Argument(help="The model.")],
) -> None:
    """Take the newest version of a model away; `ganserve load` then goes back to the one before it."""
    from service.repository.config_text import RepositoryError
    from service.repository.versions import withdraw as withdraw_version

    try:
        gone, left = withdraw_version(repository, model)
    except (RepositoryError, OSError) as error:
        _end(error)
    print(f"Version {gone} of {model} is gone; `ganserve load {model}` goes back to version {left}.")


def _end(error: Exception) -> NoReturn:
    print(error, file=sys.stderr, flush=True)
    raise typer.Exit(1)
