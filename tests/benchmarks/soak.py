"""Saturates a gateway with everything at once, and watches pixels, memory and latency.

    python -m tests.benchmarks.soak                               ten minutes
    python -m tests.benchmarks.soak --minutes 120 --report FILE   longer, and written into a file as well

Clients send a mix of all calls, hang up early now and then, and send what has to be refused, while one
model is reloaded with other weights and another is unloaded and loaded. Before that each call is made alone,
on idle servers, for each version of its model; images of seeds are also computed with ONNX Runtime alone.
Every later answer has to have these pixels. The exit status is 1 if one had not, or if something else was
answered than should be. Latencies are the gateway's own, from `server-timing`, since clients that decode and
compare all they get keep themselves waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks.soak_calls import EVENT_STREAM, Call, calls, fingerprint
from tests.benchmarks.soak_report import Sample, Soaked, report
from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

SHIPPED = Path(__file__).parents[2] / "model_repository"
RELOADED, UNLOADED = "toy", "digits"


@dataclass(frozen=True)
class Plan:
    """How hard, and for how long.

    Attributes:
        seconds: Of the soak itself.
        clients: That call one after the other, without a pause.
        queue_limit: Images of one model admitted at a time.
        hang_up: Part of the calls whose client leaves before the answer.
        reload_seconds: Between two reloads.
        sample_seconds: Between two looks at the memory.
    """

    seconds: float = 600
    clients: int = 48
    queue_limit: int = 16
    hang_up: float = 0.05
    reload_seconds: float = 10
    sample_seconds: float = 2


@dataclass
class Soak:
    """A soak under way."""

    plan: Plan
    triton: TritonProcess
    gateway: GatewayProcess
    versions: list[Path]
    pick: random.Random = field(default_factory=lambda: random.Random(0))
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    latencies: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    waited: list[float] = field(default_factory=list)
    done: list[tuple[float, str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0
    etags: dict[str, str] = field(default_factory=dict)

    async def run(self) -> Soaked:
        """Asks each call alone, and then all at once."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        options: dict[str, Any] = {"base_url": self.gateway.url, "trust_env": False, "timeout": 120}
        async with httpx.AsyncClient(limits=limits, **options) as client:
            mix = calls()
            for version in (1, 0):
                await self._put(client, version)
                await self._ask_alone(client, [call for call in mix if call.model == RELOADED])
            await self._ask_alone(client, [call for call in mix if call.model != RELOADED])
            started = time.perf_counter()
            stop = started + self.plan.seconds
            background = [
                asyncio.ensure_future(self._watch(started)),
                asyncio.ensure_future(self._change_models(client)),
            ]
            await asyncio.gather(*(self._caller(client, mix, stop) for _ in range(self.plan.clients)))
            seconds = time.perf_counter() - started
            for task in background:
                task.cancel()
            for result in await asyncio.gather(*background, return_exceptions=True):
                if isinstance(result, Exception):
                    self.wrong.append(f"in the background: {result!r}")
            self._sample(started)
        return Soaked(
            seconds=seconds,
            clients=self.plan.clients,
            queue_limit=self.plan.queue_limit,
            outcomes=self.outcomes,
            latencies=self.latencies,
            waited=self.waited,
            done=[(at - started, model, units) for at, model, units in self.done],
            wrong=self.wrong,
            samples=self.samples,
            reloads=self.reloads,
            checked=len(self.expected),
        )

    async def _ask_alone(self, client: httpx.AsyncClient, mix: list[Call]) -> None:
        """What is answered on idle servers, twice; and by ONNX Runtime where it is an image of a seed."""
        for call in mix:
            first, second = await self._ask(client, call), await self._ask(client, call)
            if first.status_code != call.status:
                raise RuntimeError(f"{call.key}: {first.status_code} {first.text[:300]}")
            if call.status != 200:
                continue
            found = fingerprint(first)
            if found != fingerprint(second):
                raise RuntimeError(f"{call.key}: answered differently when asked again")
            digest = first.headers.get("x-model-digest", "")
            self.expected[call.key, digest] = found
            body = call.sent.get("json", {})
            if call.name in ("generate, JSON", "generate, PNG", "generate, WebP"):
                repository = self.triton.repository
                if found != toy_sha256_now(repository, body["seeds"][0], call.model):
                    raise RuntimeError(f"{call.key}: not what ONNX Runtime makes of it")

    async def _ask(self, client: httpx.AsyncClient, call: Call, **more: Any) -> httpx.Response:
        return await client.request(call.method, call.path, **{**call.sent, **more})

    async def _caller(self, client: httpx.AsyncClient, mix: list[Call], stop: float) -> None:
        while time.perf_counter() < stop:
            call = self.pick.choice(mix)
            if call.status == 200 and self.pick.random() < self.plan.hang_up:
                await self._hang_up(client, call)
            else:
                await self._check(client, call)

    async def _check(self, client: httpx.AsyncClient, call: Call) -> None:
        headers, revalidated = {}, False
        if call.method == "GET" and call.key in self.etags and self.pick.random() < 0.3:
            headers, revalidated = {"headers": {"if-none-match": self.etags[call.key]}}, True
        started = time.perf_counter()
        try:
            response = await self._ask(client, call, **headers)
        except httpx.HTTPError as error:
            self._count(call, f"failed: {type(error).__name__}", unexpected=True)
            return
        seconds = time.perf_counter() - started
        status = response.status_code
        if status == call.status and status == 200:
            self.latencies[call.name, call.model].append(gateway_seconds(response))
            self.waited.append(seconds)
            self.done.append((time.perf_counter(), call.model, call.units))
            self._count(call, "200")
            if (etag := response.headers.get("etag")) is not None:
                self.etags[call.key] = etag
            self._compare(call, response)
        elif status == call.status or (status == 304 and revalidated):
            self._count(call, str(status))
        elif status == 503 and "retry-after" in response.headers:
            self._count(call, "503")
            # A client that honours Retry-After to the second would leave the servers idle.
            await asyncio.sleep(self.pick.uniform(0.02, 0.2))
        elif status == 404 and call.model == UNLOADED:
            self._count(call, "404, unloaded")
        else:
            self._count(call, f"{status}: {response.text[:200]}", unexpected=True)

    def _compare(self, call: Call, response: httpx.Response) -> None:
        digest = response.headers.get("x-model-digest", "")
        expected = self.expected.get((call.key, digest))
        try:
            found = fingerprint(response)
        except Exception as error:
            self.wrong.append(f"{call.key}: {error!r}")
            return
        if found != expected:
            self.wrong.append(f"{call.key} of {digest[:12]}: {found[:80]} instead of {str(expected)[:80]}")

    async def _hang_up(self, client: httpx.AsyncClient, call: Call) -> None:
        if call.sent.get("headers", {}).get("accept") == EVENT_STREAM:
            with contextlib.suppress(httpx.HTTPError):
                async with client.stream(call.method, call.path, **call.sent) as response:
                    lines = 0
                    async for _ in response.aiter_lines():
                        lines += 1
                        if lines > 6:
                            break
        else:
            with contextlib.suppress(asyncio.TimeoutError, httpx.HTTPError):
                await asyncio.wait_for(self._ask(client, call), self.pick.uniform(0, 0.15))
        self._count(call, "hung up")

    def _count(self, call: Call, outcome: str, *, unexpected: bool = False) -> None:
        if unexpected:
            self.wrong.append(f"{call.key}: {outcome}")
        self.outcomes[call.name][outcome if not unexpected else "unexpected"] += 1

    async def _change_models(self, client: httpx.AsyncClient) -> None:
        version = 0
        while True:
            await asyncio.sleep(self.plan.reload_seconds)
            version = 1 - version
            await self._put(client, version)
            for change in ("unload", "load"):
                answer = await client.post(f"/v1/models/{UNLOADED}/{change}")
                if answer.status_code != 200:
                    self.wrong.append(f"{change}: {answer.status_code} {answer.text[:200]}")
            self.reloads += 1

    async def _put(self, client: httpx.AsyncClient, version: int) -> None:
        """Other weights under the same name."""
        for role in ("mapping", "synthesis"):
            name = f"{RELOADED}-{role}"
            shutil.copytree(self.versions[version] / name, self.triton.repository / name, dirs_exist_ok=True)
        answer = await client.post(f"/v1/models/{RELOADED}/load")
        if answer.status_code != 200:
            self.wrong.append(f"reload: {answer.status_code} {answer.text[:200]}")

    async def _watch(self, started: float) -> None:
        while True:
            self._sample(started)
            await asyncio.sleep(self.plan.sample_seconds)

    def _sample(self, started: float) -> None:
        triton = psutil.Process(self.triton.pid)
        models = 0
        for child in triton.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                models += child.memory_info().rss
        seconds = time.perf_counter() - started
        self.samples.append(Sample(seconds, self.gateway.rss(), triton.memory_info().rss, models))


def gateway_seconds(response: httpx.Response) -> float:
    """From the end of the request's headers to the answer, by the gateway's clock."""
    timing = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    return float(timing["total"]) / 1e3


def toy_sha256_now(repository: Path, seed: int, model: str) -> str:
    """By ONNX Runtime, from what the repository holds now."""
    from tests.toy_oracle import _session

    if model == RELOADED:
        _session.cache_clear()
    return toy_sha256(repository, seed, name=model)


@contextlib.contextmanager
def serving(plan: Plan, folder: Path) -> Iterator[Soak]:
    """Triton and gateway over the shipped models and two versions of a toy."""
    versions = [
        write_toy_repository(folder / "first"),
        write_toy_repository(folder / "second", extra_milliseconds=0.1, patterns=2),
    ]
    repository = folder / "repository"
    shutil.copytree(versions[0], repository)
    for config in SHIPPED.glob("*/config.pbtxt"):
        shutil.copytree(config.parent, repository / config.parent.name)
    triton = TritonProcess(repository, folder / "triton.log").start()
    try:
        gateway = GatewayProcess(
            triton.grpc_url, folder / "gateway.log", queue_limit=plan.queue_limit, log_level="warning"
        )
        try:
            gateway.wait_ready()
            yield Soak(plan, triton, gateway, versions)
        finally:
            gateway.close()
    finally:
        triton.close()


def soak(plan: Plan) -> Soaked:
    """Starts the servers, soaks them, and stops them."""
    with tempfile.TemporaryDirectory() as folder, serving(plan, Path(folder)) as soak:
        result = asyncio.run(soak.run())
        if "Traceback" in soak.gateway.log():
            result.wrong.append("a traceback in the gateway's log: " + soak.gateway.log()[-2000:])
        return result


def main() -> None:
    """Soaks, prints the report, and fails if an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=Plan.seconds / 60)
    parser.add_argument("--clients", type=int, default=Plan.clients)
    parser.add_argument("--queue-limit", type=int, default=Plan.queue_limit)
    parser.add_argument("--report", type=Path, help="written as well as printed")
    given = parser.parse_args()
    plan = Plan(given.minutes * 60, given.clients, given.queue_limit)
    load = os.getloadavg()[0]
    result = soak(plan)
    text = (
        f"make soak   {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {sys.version.split()[0]}; "
    )
    text += f"load average before it started: {load:.1f}\n\n" + report(result)
    print(text)
    if given.report is not None:
        given.report.write_text(text)
    sys.exit(1 if result.wrong else 0)


if __name__ == "__main__":
    main()
