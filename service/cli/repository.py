"""`ganserve repository`: production settings of a model repository, and versions side by side."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

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
    operator_key: Annotated[
        str | None,
        typer.Option(
            envvar="TRITON_OPERATOR_KEY",
            help="What opens Triton's HTTP endpoint, in the header triton-operator.",
            show_default="a random one that nobody knows",
        ),
    ] = None,
) -> None:
    """Print how tritonserver is started in production, one flag a line."""
    import secrets

    from service.repository.server_flags import flags_file, server_flags

    if reasons:
        print(flags_file(profile.value), end="")
        return
    for flag in server_flags(profile.value, operator_key or secrets.token_urlsafe(24)):
        print(flag)


def _end(error: Exception) -> NoReturn:
    print(error, file=sys.stderr, flush=True)
    raise typer.Exit(1)
