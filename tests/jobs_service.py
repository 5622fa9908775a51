"""A gateway and a worker over one database, for tests of batch jobs, and what tests ask them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.gateway_process import GatewayProcess
from tests.worker_process import WorkerProcess

ENDED = ("succeeded", "failed", "cancelled")


class JobsService:
    """A gateway, and workers as they are wanted, with settings by name."""

    def __init__(self, triton_url: str, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._triton_url = triton_url
        self._settings = {"state_folder": self.state, "housekeeping_seconds": 1, **settings}
        self.gateway = GatewayProcess(triton_url, folder / "gateway.log", **self._settings)
        self.workers: list[WorkerProcess] = []

    def start_worker(self, **settings: Any) -> WorkerProcess:
        """One more worker."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(WorkerProcess(self._triton_url, log, **{**self._settings, **settings}))
        return self.workers[-1]

    def client(self, **options: Any) -> httpx.Client:
        return self.gateway.client(**options)

    def artifacts(self, job: str = "") -> list[str]:
        """Files among the artifacts, of one job or of all."""
        folder = self.state / "artifacts" / job
        return sorted(
            str((Path(parent) / name).relative_to(folder))
            for parent, _, names in os.walk(
                folder
            )  # unlike `rglob`, it minds no folder that is being deleted
            for name in names
        )

    def wait_for(self, happened: Callable[[], bool], seconds: float = 20) -> None:
        """Returns once something has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def close(self) -> None:
        for process in (*self.workers, self.gateway):
            process.close()


def wait_usable(client: httpx.Client, seconds: float = 20) -> None:
    """Returns once the gateway has its tables and its models."""
    deadline = time.monotonic() + seconds
    while client.get("/v1/jobs").status_code != 200 or client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, client.get("/v1/jobs").text
        time.sleep(0.05)


def wait_ended(client: httpx.Client, job: str, seconds: float = 60) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + seconds
    while (found := client.get(f"/v1/jobs/{job}").json())["state"] not in ENDED:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def pages(client: httpx.Client, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Everything in a list, page by page."""
    cursor = None
    while True:
        answer = client.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        yield from answer.json()["data"]
        cursor = answer.json()["next"]
        if cursor is None:
            return


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    name: str
    data: Any
    id: str | None


def events(answer: httpx.Response) -> Iterator[Event]:
    """Events as they come, comments left out."""
    assert answer.status_code == 200, answer.read()
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
