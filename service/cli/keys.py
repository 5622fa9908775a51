"""`ganserve keys`: makes, lists and revokes API keys; a running gateway notices by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer

app = typer.Typer(
    help="Make, list and revoke API keys; a running gateway notices by itself.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

P = ParamSpec("P")
Result = TypeVar("Result")


class Scope(Enum):
    """What a key may be allowed; the same as `service.keys.KeyScope`."""

    generate = "generate"
    translate = "translate"
    upscale = "upscale"
    jobs = "jobs"
    admin = "admin"


KeysFile = Annotated[
    Path, typer.Option("--keys-file", envvar="GANSERVE_KEYS_FILE", help="The file.", dir_okay=False)
]
_DEFAULT = Path("keys.json")


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "  ganserve keys create web --scope generate --scope upscale --rate 100/minute --concurrency 8\n\n"
    "  export GANSERVE_API_KEY=$(ganserve keys create me --scope generate --expires 2030-01-01)"
)
def create(
    name: Annotated[str, typer.Argument(help="Who holds it; logs and metrics show this name.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat it for several.")],
    rate: Annotated[
        str | None, typer.Option(help="Most calls, such as 100/minute.", show_default="no limit")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Most calls at a time.", min=1, show_default="no limit")
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(help="From when on it is refused, in UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    keys_file: KeysFile = _DEFAULT,
) -> None:
    """Make a key, and print its secret: once, and nobody can print it again."""
    from service.keys import create_key

    until = None if expires is None else expires.replace(tzinfo=timezone.utc)
    secret = _do(
        create_key,
        keys_file,
        name,
        [one.value for one in scope],
        rate=rate,
        concurrency=concurrency,
        expires=until,
    )
    print(
        f"The key {name!r} is in {keys_file}. Its secret, which is kept nowhere:", file=sys.stderr, flush=True
    )
    print(secret)


@app.command(
    "list", epilog="[bold]Example[/bold]\n\n  ganserve keys list --keys-file /etc/ganserve/keys.json"
)
def list_keys(keys_file: KeysFile = _DEFAULT) -> None:
    """List the keys, without their secrets."""
    from rich.console import Console
    from rich.table import Table

    from service.keys import read_keys

    table = Table("Name", "Id", "Scopes", "Rate", "At a time", "Expires", box=None, pad_edge=False)
    now = datetime.now(timezone.utc)
    for key in _do(read_keys, keys_file):
        expires = "" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M} UTC"
        table.add_row(
            key.name,
            key.id,
            " ".join(sorted(key.scopes)),
            key.rate or "",
            str(key.concurrency or ""),
            f"{expires} (expired)" if key.has_expired(now) else expires,
        )
    Console().print(table)


@app.command(epilog="[bold]Example[/bold]\n\n  ganserve keys revoke web")
def revoke(
    name: Annotated[str, typer.Argument(help="As `ganserve keys list` shows it.")],
    keys_file: KeysFile = _DEFAULT,
) -> None:
    """Remove a key; whoever has its secret is refused from the next moment on."""
    from service.keys import revoke_key

    _do(revoke_key, keys_file, name)
    print(f"The key {name!r} is revoked.")


def _do(action: Callable[P, Result], *arguments: P.args, **options: P.kwargs) -> Result:
    """What the action returns; exits with its sentence when it cannot be done."""
    from service.keys import KeysFileError

    try:
        return action(*arguments, **options)
    except KeysFileError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(1)
