"""`ganserve up`: Triton, the gateway and a worker, started, watched and stopped by one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from service.embedded import model_processes, preflight, worker_child
from service.embedded.announcement import announcement
from service.embedded.child import ChildProcess
from service.embedded.environment import child_environment, worker_environment
from service.embedded.loading import Loading, index_of, loading_of, watched
from service.embedded.tritonserver import ADDRESS, Launch, RunDirectory, remove_leftovers
from service.exposure import url_here
from service.settings import Settings

GATEWAY_COMMAND = (sys.executable, "-m", "service.cli", "gateway")
WORKER_COMMAND = (sys.executable, "-m", "service.cli", "worker")

_TRITON = "Triton"
_POLL_SECONDS = 0.05
_PROBE_TIMEOUT_SECONDS = 5.0
_LONGEST_BACKOFF_SECONDS = 5.0


class SupervisorError(Exception):
    """Why everything was stopped, as a text for the terminal."""


class Supervisor:
    """Runs the embedded Triton, the gateway and a worker until it is told to stop or cannot go on.

    A crash of the gateway, or of Triton before everything was ready, ends the run. A later crash of Triton,
    or of one of its model processes, is announced and answered by a restart of Triton while the gateway stays
    up and reports itself not ready. What was unloaded before the crash stays so. The worker is started when
    everything is ready, and again after each crash; it never stops the rest.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        gateway_command: Sequence[str] = GATEWAY_COMMAND,
        worker_command: Sequence[str] = WORKER_COMMAND,
        say: Callable[[str], None] = print,
        verbose: bool = False,
    ) -> None:
        """Take what is needed; nothing is started yet.

        Args:
            settings: Ports, folders, timeouts; handed on to gateway and worker as they are.
            gateway_command: What to run as the gateway.
            worker_command: What to run as the worker.
            say: Prints one message, or one line of a child's output.
            verbose: Whether Triton's log is printed as well.
        """
        self._settings = settings
        self._triton_url = f"http://{ADDRESS}:{settings.triton_http_port}"
        self._gateway_command = tuple(gateway_command)
        self._worker_command = tuple(worker_command)
        self._say = say
        self._verbose = verbose
        self._children: list[ChildProcess] = []
        self._launch: Launch | None = None
        self._loading: Loading | None = None  # which models were loaded when Triton was last asked
        self._not_ready = ""  # what the gateway said last

    def run(self) -> None:
        """Start everything, and return when SIGINT, SIGTERM or SIGHUP has stopped it.

        Raises:
            SupervisorError: Something keeps it from starting, or a process crashed and all were stopped.
        """
        if found := preflight.problems(self._settings):
            raise SupervisorError("\n".join(found))
        # The main thread forks the children: the kernel ties their lives to that very thread.
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        asked_to_stop = asyncio.Event()

        def on_signal() -> None:
            if asked_to_stop.is_set():  # asked twice: at once, then
                for child in self._children:
                    child.kill()
            asked_to_stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal)
        remove_leftovers()
        directory = RunDirectory()
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_TIMEOUT_SECONDS) as http:
                supervision = asyncio.create_task(self._supervise(directory, http))
                stopping = asyncio.create_task(asked_to_stop.wait())
                await asyncio.wait({supervision, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if supervision.done():
                    await supervision  # raises
                else:
                    self._say("Stopping…")
                    supervision.cancel()
                    await asyncio.wait({supervision})
        finally:
            await self._stop_children()
            directory.remove()

    async def _supervise(self, directory: RunDirectory, http: httpx.AsyncClient) -> None:
        started = time.monotonic()
        triton = await self._start_triton(directory)
        gateway = await self._start_gateway()
        await self._until_ready(http, triton, gateway)
        await self._announce(http, time.monotonic() - started)
        async with self._worker_kept_running():
            await self._answer_crashes(directory, http, triton, gateway)

    async def _answer_crashes(
        self, directory: RunDirectory, http: httpx.AsyncClient, triton: ChildProcess, gateway: ChildProcess
    ) -> None:
        crashes: deque[float] = deque()
        while True:
            reason = await self._until_crash(http, triton, gateway)
            crashed = time.monotonic()
            while True:
                await self._clear_away(triton)
                triton = await self._restart(directory, reason, crashes)
                try:
                    await self._until_ready(http, triton, gateway)
                except SupervisorError as error:
                    if gateway.ended.done():
                        raise
                    reason = error  # it crashed again, or hangs
                else:
                    break
            self._say(f"Triton serves again, {time.monotonic() - crashed:.1f} s after it went down.")

    async def _until_crash(
        self, http: httpx.AsyncClient, triton: ChildProcess, gateway: ChildProcess
    ) -> SupervisorError:
        """What became of Triton, or of a model process without which it is of no use.

        Raises:
            SupervisorError: The gateway ended.
        """
        model_crash = asyncio.create_task(model_processes.crash(triton.pid))
        watching = asyncio.create_task(self._watch_loading(http))
        try:
            await asyncio.wait(
                {triton.ended, gateway.ended, model_crash}, return_when=asyncio.FIRST_COMPLETED
            )
            if gateway.ended.done():
                raise _crash(gateway)
            if triton.ended.done():
                return _crash(triton)
            return SupervisorError(f"A model process of Triton {await model_crash}. {triton.last_output()}")
        finally:
            model_crash.cancel()
            watching.cancel()

    async def _watch_loading(self, http: httpx.AsyncClient) -> None:
        """Remember which models are loaded: once Triton has crashed, it cannot be asked."""
        async for loading in watched(http, self._triton_url):
            self._loading = loading

    async def _restart(
        self, directory: RunDirectory, reason: SupervisorError, crashes: deque[float]
    ) -> ChildProcess:
        """Say why Triton has to be started anew and do so, unless that happens too often."""
        now = time.monotonic()
        crashes.append(now)
        while crashes[0] < now - self._settings.restart_window_seconds:
            crashes.popleft()
        if len(crashes) > self._settings.restart_limit:
            raise SupervisorError(
                f"{reason}\nThat was crash {len(crashes)} within "
                f"{self._settings.restart_window_seconds:g} s, and {self._settings.restart_limit} are put up "
                "with (GANSERVE_RESTART_LIMIT): everything is stopped."
            )
        self._say(f"{reason}\nRestarting it; until then the gateway answers 503.")
        if self._loading is not None and self._loading.left_out:
            self._say(f"Not loaded again, since they were not loaded: {', '.join(self._loading.left_out)}.")
        if len(crashes) > 1:
            await asyncio.sleep(min(0.5 * 2 ** (len(crashes) - 2), _LONGEST_BACKOFF_SECONDS))
        return await self._start_triton(directory)

    async def _start_triton(self, directory: RunDirectory) -> ChildProcess:
        models = None if self._loading is None else self._loading.wanted
        self._launch = directory.launch(self._settings, verbose=self._verbose, models=models)
        return await self._start(
            _TRITON,
            self._launch.command,
            self._launch.environment,
            forward="triton  | " if self._verbose else None,
            # A SIGTERM, so that it takes its model processes and shared memory with it.
            parent_death_signal=signal.SIGTERM,
        )

    async def _start_gateway(self) -> ChildProcess:
        return await self._start(
            "The gateway",
            self._gateway_command,
            child_environment(self._settings),
            forward="gateway | ",
            parent_death_signal=signal.SIGKILL,
        )

    @contextlib.asynccontextmanager
    async def _worker_kept_running(self) -> AsyncIterator[None]:
        """Starts the worker, and again when it ends; it is left running, for `_stop_children`."""
        if not self._settings.run_worker:
            yield
            return

        async def start() -> ChildProcess:
            return await self._spawn(
                "The worker",
                self._worker_command,
                worker_environment(self._settings),
                forward="worker  | ",
                parent_death_signal=signal.SIGKILL,
            )

        keeping = asyncio.create_task(worker_child.keep_running(start, self._children.remove, self._say))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _stop_children(self) -> None:
        """The worker and the gateway first: they finish what they have begun while Triton still computes."""
        seconds = self._settings.stop_timeout_seconds
        clients = [child for child in reversed(self._children) if child.name != _TRITON]
        await asyncio.gather(*(child.stop(seconds) for child in clients))
        for child in self._children:
            await child.stop(seconds)

    async def _start(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        forward: str | None,
        parent_death_signal: signal.Signals,
    ) -> ChildProcess:
        try:
            return await self._spawn(
                name, command, environment, forward=forward, parent_death_signal=parent_death_signal
            )
        except OSError as error:
            raise SupervisorError(f"{name} cannot be started: {command[0]}: {error.strerror}.") from None

    async def _spawn(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        forward: str | None,
        parent_death_signal: signal.Signals,
    ) -> ChildProcess:
        def say(line: str) -> None:
            self._say(f"{forward}{line}")

        child = await ChildProcess.start(
            name,
            command,
            environment,
            forward=None if forward is None else say,
            parent_death_signal=parent_death_signal,
        )
        self._children.append(child)
        return child

    async def _clear_away(self, triton: ChildProcess) -> None:
        """Remove what a Triton that did not stop by itself leaves behind: model processes, shared memory."""
        await triton.stop(0)
        self._children.remove(triton)
        if self._launch is not None:
            self._launch.remove_shared_memory()

    async def _until_ready(
        self, http: httpx.AsyncClient, triton: ChildProcess, gateway: ChildProcess
    ) -> None:
        """Return when the gateway says it is ready.

        Raises:
            SupervisorError: One of them ended, no model can be served, or it takes too long.
        """
        probing = asyncio.create_task(self._probe(http))
        try:
            await asyncio.wait(
                {probing, triton.ended, gateway.ended},
                timeout=self._settings.start_timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for child in (triton, gateway):
                if child.ended.done():
                    raise _crash(child)
            if not probing.done():
                raise SupervisorError(
                    f"Nothing was ready after {self._settings.start_timeout_seconds:g} s "
                    f"(GANSERVE_START_TIMEOUT_SECONDS). {self._not_ready}\n"
                    + "\n".join(c.last_output() for c in (triton, gateway))
                )
            await probing
        finally:
            probing.cancel()

    async def _probe(self, http: httpx.AsyncClient) -> None:
        await _until_ok(http, f"{self._triton_url}/v2/health/ready")
        index = await index_of(http, self._triton_url)
        loading = self._loading or loading_of(index)
        if not loading.wanted:
            return  # all were unloaded, so that the gateway says it is not ready
        refused = [e for e in index if e["name"] in loading.wanted and e.get("state") != "READY"]
        for entry in refused:
            reason = " ".join(str(entry.get("reason", "unknown reason")).split())
            self._say(f"Not served: {entry['name']}: {reason}")
        if len(refused) == len(loading.wanted):
            raise SupervisorError(
                f"None of the models in {self._settings.model_repository.resolve()} can be served."
            )
        await self._until_gateway_is_ready(http)

    async def _until_gateway_is_ready(self, http: httpx.AsyncClient) -> None:
        while True:
            try:
                response = await http.get(f"{url_here(self._settings.host, self._settings.port)}/readyz")
                if response.status_code == httpx.codes.OK:
                    return
                self._not_ready = str(response.json()["detail"])
            except (httpx.HTTPError, ValueError, KeyError):
                pass  # not listening yet
            await asyncio.sleep(_POLL_SECONDS)

    async def _cards(self, http: httpx.AsyncClient) -> list[dict[str, Any]]:
        """The cards of what Triton is ready to run, by public name."""
        cards = {}
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            for entry in await index_of(http, self._triton_url):
                if entry.get("state") == "READY":
                    url = f"{self._triton_url}/v2/models/{entry['name']}/config"
                    config = (await http.get(url)).raise_for_status().json()
                    card = json.loads(config["parameters"]["card"]["string_value"])
                    cards[card["name"]] = card
        return [cards[name] for name in sorted(cards)]

    async def _announce(self, http: httpx.AsyncClient, seconds: float) -> None:
        try:
            response = await http.get(f"{url_here(self._settings.host, self._settings.port)}/v1/models")
            cards = response.raise_for_status().json()["data"]
        except (httpx.HTTPError, ValueError, KeyError):
            cards = await self._cards(http)  # the gateway wants a key, or another name for itself
        self._say(announcement(self._settings, cards, seconds))


async def _until_ok(http: httpx.AsyncClient, url: str) -> None:
    while True:
        try:
            if (await http.get(url)).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # not listening yet
        await asyncio.sleep(_POLL_SECONDS)


def _crash(child: ChildProcess) -> SupervisorError:
    return SupervisorError(f"{child.name} {child.how_it_ended()}. {child.last_output()}")
