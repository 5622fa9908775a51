"""`ganserve up` and its parts by themselves: `gateway`, `worker`, `triton`; and `migrate`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.asking import fail
from service.cli.options import OperatorKey

if TYPE_CHECKING:
    from service.settings import Settings


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
    worker: Annotated[
        bool | None,
        typer.Option(
            "--worker/--no-worker", help="Run a worker for batch jobs too.", show_default="--worker"
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print Triton's log too.")] = False,
) -> None:
    """Start Triton, the gateway and a worker for batch jobs on this machine; Ctrl-C stops all."""
    flags: dict[str, Any] = {
        "model_repository": models,
        "host": host,
        "port": port,
        "triton_grpc_port": triton_grpc_port,
        "triton_http_port": triton_http_port,
        "triton_metrics_port": triton_metrics_port,
        "keys_file": None if keys_file is None else keys_file.absolute(),
        "run_worker": worker,
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
        fail(str(error))


def gateway() -> None:
    """Run the gateway alone, before a Triton that runs elsewhere; for containers.

    Everything is set by environment variables GANSERVE_….
    """
    settings = _settings({}, {})
    _check_startup(settings)
    from service.server import serve

    serve(settings)


def triton(
    models: Annotated[
        Path | None, typer.Option("--models", help="Folder of models.", show_default="model_repository")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address Triton listens on. It asks nobody who they are.", show_default="127.0.0.1"
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Have Triton log every request.")] = False,
    production: Annotated[
        bool,
        typer.Option(
            "--production",
            help="Start it as `ganserve repository flags --profile cpu` says: response cache, closed HTTP.",
        ),
    ] = False,
    operator_key: OperatorKey = None,
) -> None:
    """Run the Triton that comes with ganserve alone, for gateways and workers elsewhere; for containers.

    It ends with exit code 1 when Triton crashes, or one of its model processes, without which it would go on
    calling itself ready: whoever runs it starts it again.

    Everything else is set by environment variables GANSERVE_….
    """
    flags: dict[str, Any] = {"model_repository": models, "triton_host": host}
    settings = _settings({}, flags)
    from service.embedded.alone import run
    from service.embedded.supervisor import SupervisorError
    from service.repository.server_flags import operator_key_or_random, server_flags

    more = server_flags("cpu", operator_key_or_random(operator_key)) if production else []
    try:
        run(settings, say=lambda line: print(line, flush=True), verbose=verbose, flags=more)
    except SupervisorError as error:
        fail(str(error))


def worker() -> None:
    """Run a worker, which does the items of batch jobs; any number of them, on any machines.

    It needs the gateway's database (GANSERVE_DATABASE_URL), the storage of jobs' files
    (GANSERVE_ARTIFACTS_URL) and Triton (GANSERVE_TRITON_URL); with SQLite and a folder, gateway and workers
    share one machine. It does GANSERVE_WORKER_CONCURRENCY images at a time. SIGTERM has it finish those and
    end; what a worker leaves that is killed is taken up by others after GANSERVE_WORKER_LEASE_SECONDS.
    `ganserve up` runs one by itself.

    Everything is set by environment variables GANSERVE_….
    """
    settings = _settings({"log_format": "console"} if sys.stdout.isatty() else {}, {})
    from service.jobs.worker import run

    run(settings)


def migrate() -> None:
    """Make the tables of batch jobs, or bring them up to date, and end.

    Gateways and workers do so themselves when they start. This is for those who want to do it before, with an
    account that may change tables. Several at a time do no harm.
    """
    settings = _settings({}, {})
    from service.jobs.database import DatabaseAwayError, DatabaseSetupError
    from service.jobs.setup import open_database

    try:
        database = open_database(settings)
        try:
            database.migrate()
        finally:
            database.close()
    except DatabaseAwayError as error:
        fail(f"The database cannot be reached: {error}.")
    except DatabaseSetupError as error:
        fail(str(error))
    print("The tables of batch jobs are up to date.")


def settings_of_environment() -> Settings:
    """The settings that the environment names; exits if they are wrong."""
    return _settings({}, {})


def _settings(defaults: dict[str, Any], flags: dict[str, Any]) -> Settings:
    """Settings from flags, then the environment, then `defaults`; exits if they are wrong."""
    if importlib.util.find_spec("pydantic_settings") is None:
        fail("This needs the service's dependencies; install them with: pip install 'ganserve[serve,cpu]'.")
    from pydantic import ValidationError

    from service.settings import Settings

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
        missing = {name: value for name, value in defaults.items() if name not in settings.model_fields_set}
        return Settings(**given, **missing) if missing else settings
    except ValidationError as error:
        fail(
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
        fail(problem)
