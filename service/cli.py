"""The `ganserve` command.

Everything heavy is imported inside the command that needs it: `--help` is instant, and the client commands
run with the base dependencies alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.cli_keys import app as keys_app

if TYPE_CHECKING:
    from service.client import Client
    from service.settings import Settings

app = typer.Typer(
    name="ganserve",
    help="Serve image GANs with Triton Inference Server, and ask a running server for images.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")


class Format(str, Enum):
    """File formats that the server encodes."""

    png = "png"
    jpeg = "jpeg"
    webp = "webp"


_EXTENSIONS = {Format.png: "png", Format.jpeg: "jpg", Format.webp: "webp"}
# As many as the server takes in one call by default; few enough that progress is seen.
_SEEDS_PER_CALL = 16

Url = Annotated[
    str, typer.Option("--url", envvar="GANSERVE_URL", help="Where ganserve runs.", show_default=True)
]


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "  ganserve up\n\n"
    "  ganserve up --models /srv/models --host 0.0.0.0 --port 9000 --keys-file keys.json\n\n"
    "Every other setting is an environment variable, such as GANSERVE_QUEUE_LIMIT=128."
)
def up(
    models: Annotated[
        Path | None, typer.Option("--models", help="Folder of models.", show_default="model_repository")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address the gateway listens on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port the gateway listens on.", show_default="8080", min=1, max=65535)
    ] = None,
    triton_grpc_port: Annotated[
        int | None,
        typer.Option(help="Port of Triton's gRPC endpoint.", show_default="8001", min=1, max=65535),
    ] = None,
    triton_http_port: Annotated[
        int | None,
        typer.Option(help="Port of Triton's HTTP endpoint.", show_default="8000", min=1, max=65535),
    ] = None,
    triton_metrics_port: Annotated[
        int | None, typer.Option(help="Port of Triton's metrics.", show_default="8002", min=1, max=65535)
    ] = None,
    keys_file: Annotated[
        Path | None,
        typer.Option(help="File of API keys; `ganserve keys` makes them.", show_default="nobody needs a key"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print Triton's log too.")] = False,
) -> None:
    """Start Triton and the gateway on this machine; Ctrl-C stops both."""
    flags: dict[str, Any] = {
        "model_repository": models,
        "host": host,
        "port": port,
        "triton_grpc_port": triton_grpc_port,
        "triton_http_port": triton_http_port,
        "triton_metrics_port": triton_metrics_port,
        "keys_file": None if keys_file is None else keys_file.absolute(),
    }
    # JSON lines are for log collectors; a person at a terminal gets text, unless told otherwise.
    settings = _settings({"log_format": "console"} if sys.stdout.isatty() else {}, flags)
    _check_startup(settings)
    from service.embedded.supervisor import Supervisor, SupervisorError

    def say(message: str) -> None:
        print(message, flush=True)

    try:
        Supervisor(settings, say=say, verbose=verbose).run()
    except SupervisorError as error:
        _fail(str(error))


@app.command(
    epilog="[bold]Example[/bold]\n\n  GANSERVE_HOST=0.0.0.0 GANSERVE_KEYS_FILE=/etc/ganserve/keys.json "
    "GANSERVE_TRITON_URL=triton:8001 ganserve gateway"
)
def gateway() -> None:
    """Run the gateway alone, before a Triton that runs elsewhere; for containers.

    Everything is set by environment variables GANSERVE_….
    """
    settings = _settings({}, {})
    _check_startup(settings)
    from service.server import serve

    serve(settings)


@app.command("models", epilog="[bold]Example[/bold]\n\n  ganserve models --json | jq '.[].name'")
def list_models(
    url: Url = "http://localhost:8080",
    as_json: Annotated[bool, typer.Option("--json", help="Print the models' whole cards as JSON.")] = False,
) -> None:
    """List the models that a running ganserve serves."""
    with _client(url) as client:
        cards = _ask(url, client.models)
    if as_json:
        print(json.dumps(cards, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Model", "Kind", "Family", "Pixels", "State", "Digest", box=None, pad_edge=False)
    for card in cards:
        resolution = card.get("resolution")
        table.add_row(
            str(card["name"]),
            str(card["kind"]),
            str(card.get("family") or ""),
            f"{resolution}×{resolution}" if resolution else "",
            str(card.get("state") or ""),
            str(card.get("digest") or "")[:12],
        )
    Console().print(table)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "  ganserve generate --model terrain --seeds 0-15 --out images\n\n"
    "  ganserve generate --model terrain --seeds 0-63 --out images --sheet\n\n"
    "  ganserve generate --model terrain --seeds 3,7,40-44 --truncation 0.7 --noise none --out images"
)
def generate(
    model: Annotated[str, typer.Option(help="Name of a model; `ganserve models` lists them.")],
    seeds: Annotated[str, typer.Option(help="Which images: seeds and ranges, such as 0-15,40,50-52.")],
    out: Annotated[Path, typer.Option(help="Folder for the files; made if it is missing.", file_okay=False)],
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Write one contact sheet instead of a file for each seed.")
    ] = False,
    truncation: Annotated[
        float, typer.Option(help="1 leaves the model as trained, less is more typical, 0 is its average.")
    ] = 1.0,
    truncation_cutoff: Annotated[
        int | None, typer.Option(help="How many layers are truncated, coarsest first.", show_default="all")
    ] = None,
    noise: Annotated[
        str, typer.Option(help="`const` (the model's own), `none`, or a seed for fresh noise.")
    ] = "const",
    format: Annotated[Format, typer.Option(help="Of the files.")] = Format.png,
    quality: Annotated[
        int | None, typer.Option(help="Of jpeg and webp; webp without it is lossless.", min=1, max=100)
    ] = None,
    url: Url = "http://localhost:8080",
) -> None:
    """Generate images with a running ganserve, and write them to a folder."""
    from service.seeds import parse_seeds

    try:
        wanted = parse_seeds(seeds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--seeds") from None
    options: dict[str, Any] = {
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "noise": _noise(noise),
        "format": format.value,
        "quality": quality,
    }
    from service.files import write_atomically

    try:
        out.mkdir(parents=True, exist_ok=True)
        with _client(url) as client:
            if sheet:
                content = _ask(url, client.sheet, model, wanted, **options)
                path = out / f"{model}-sheet.{_EXTENSIONS[format]}"
                write_atomically(path, content)
                print(path)
                return
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            ) as progress:
                task = progress.add_task(model, total=len(wanted))
                for start in range(0, len(wanted), _SEEDS_PER_CALL):
                    batch = wanted[start : start + _SEEDS_PER_CALL]
                    for image in _ask(url, client.generate, model, batch, **options):
                        write_atomically(
                            out / f"{model}-seed{image.seed:04}.{_EXTENSIONS[format]}", image.bytes
                        )
                        progress.advance(task)
    except OSError as error:
        _fail(f"Cannot write to {out}: {error.strerror or error}.")
    print(f"{len(wanted)} {'image' if len(wanted) == 1 else 'images'} in {out}")


def _settings(defaults: dict[str, Any], flags: dict[str, Any]) -> Settings:
    """Settings from flags, then the environment, then `defaults`; exits if they are wrong."""
    if importlib.util.find_spec("pydantic_settings") is None:
        _fail("This needs the service's dependencies; install them with: pip install 'ganserve[serve,cpu]'.")
    from pydantic import ValidationError

    from service.settings import Settings

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
        missing = {name: value for name, value in defaults.items() if name not in settings.model_fields_set}
        return Settings(**given, **missing) if missing else settings
    except ValidationError as error:
        _fail(
            "\n".join(
                f"GANSERVE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']} (it is {e['input']!r})."
                for e in error.errors()
            )
        )


def _check_startup(settings: Settings) -> None:
    """Exits if the gateway would not start, or serve everybody without that being said."""
    from service.exposure import startup_problem

    problem = startup_problem(settings)
    if problem is not None:
        _fail(problem)


def _client(url: str) -> Client:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not start with http:// or https://", param_hint="--url")
    from service.client import Client

    return Client(url, key=os.environ.get("GANSERVE_KEY") or None)


def _ask(url: str, call: Any, *arguments: Any, **options: Any) -> Any:
    """The answer to a call of the client; exits with a sentence when there is none."""
    from service.client import ProblemError, UnreachableError

    try:
        return call(*arguments, **options)
    except UnreachableError as error:
        if type(error.__cause__).__name__ == "ConnectError":
            _fail(f"No ganserve at {url}; start one with `ganserve up` or `make serve`.")
        _fail(f"ganserve at {url} did not answer: {error.__cause__ or error}.")
    except ProblemError as error:
        hint = " Set GANSERVE_KEY to one." if error.type == "/problems/unauthenticated" else ""
        _fail(f"{str(error).rstrip('.')}.{hint}")


def _noise(text: str) -> str | int:
    if text in ("const", "none"):
        return text
    if text.isdigit():
        return int(text)
    raise typer.BadParameter(f"{text!r} is not `const`, `none` or a seed", param_hint="--noise")


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
