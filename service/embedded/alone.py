"""`ganserve triton`: the embedded Triton without a gateway, watched until it ends; what a container runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence

from service.embedded import model_processes, preflight
from service.embedded.child import ChildProcess
from service.embedded.supervisor import SupervisorError
from service.embedded.tritonserver import RunDirectory, remove_leftovers
from service.settings import Settings


def run(
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: bool = False,
    flags: Sequence[str] = (),
) -> None:
    """Runs Triton until SIGINT, SIGTERM or SIGHUP has stopped it. A second signal stops it at once.

    Nothing is started again: that is for whatever runs this, which then sees how often it happens.

    Args:
        settings: Address, ports, folder of models.
        say: Prints a line of Triton's log.
        verbose: Whether Triton logs every request.
        flags: Of tritonserver, besides.

    Raises:
        SupervisorError: Something keeps it from starting, or it or one of its model processes crashed.
    """
    if found := preflight.problems(settings, alone=True):
        raise SupervisorError("\n".join(found))
    # The main thread forks the child: the kernel ties its life to that very thread.
    asyncio.run(_run(settings, say, verbose, flags))


async def _run(settings: Settings, say: Callable[[str], None], verbose: bool, flags: Sequence[str]) -> None:
    asked_to_stop = asyncio.Event()
    triton: ChildProcess | None = None

    def on_signal() -> None:
        if asked_to_stop.is_set() and triton is not None:
            triton.kill()
        asked_to_stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    remove_leftovers()
    directory = RunDirectory()
    try:
        launch = directory.launch(settings, verbose=verbose, address=settings.triton_host, more=flags)
        try:
            triton = await ChildProcess.start(
                "Triton",
                launch.command,
                launch.environment,
                forward=say,
                parent_death_signal=signal.SIGTERM,
            )
        except OSError as error:
            raise SupervisorError(f"Triton cannot be started: {error.strerror}.") from None
        try:
            await _until_stopped(triton, asked_to_stop)
        finally:
            await triton.stop(settings.stop_timeout_seconds)
    finally:
        directory.remove()


async def _until_stopped(triton: ChildProcess, asked_to_stop: asyncio.Event) -> None:
    """Returns when it is asked to stop.

    Raises:
        SupervisorError: Triton ended by itself, or a model process did.
    """
    stopping = asyncio.create_task(asked_to_stop.wait())
    model_crash = asyncio.create_task(model_processes.crash(triton.pid))
    try:
        await asyncio.wait({triton.ended, stopping, model_crash}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            return
        if triton.ended.done():
            raise SupervisorError(f"Triton {triton.how_it_ended()}.")
        raise SupervisorError(f"A model process of Triton {await model_crash}.")
    finally:
        stopping.cancel()
        model_crash.cancel()
