"""The whole service under a real Prometheus and Alertmanager: Triton, gateway, worker, a run's metrics."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from deploy.grafana.alerts import GROUPS
from deploy.grafana.clock import Clock
from deploy.grafana.rule_files import alert_file, recording_file
from tests.certificates import make_authority, write_credentials
from tests.jobs_service import JobsService, wait_usable
from tests.prometheus_process import Alertmanager, Prometheus
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess, free_ports
from tests.webhook_receiver import Receiver
from training.config_files import load_config
from training.telemetry import Exposition, telemetry

CLOCK = Clock(scale=1 / 20, shortest=10)
"""An hour is three minutes; no window is so short that a busy machine leaves it empty."""

MODELS = ("toy", "other")


class ObservedService:
    """Everything as it is operated, with rules whose windows are a twentieth as long."""

    def __init__(self, folder: Path) -> None:
        self.receiver = Receiver()
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.receiver.close)
        for name in MODELS:
            write_toy_repository(folder / "models", name=name)
        self.triton = TritonProcess(folder / "models", folder / "triton.log").start()
        self._stack.callback(self.triton.close)
        credentials = write_credentials(_made(folder / "service"), make_authority())
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(
                "OTEL_TRACES_EXPORTER", "console"
            )  # into the log: there are traces to point at
            self.service = JobsService(
                self.triton.grpc_url,
                folder / "service",
                webhook_allow=json.dumps(["127.0.0.1"]),
                catalog_refresh_seconds=0.5,
                **credentials,
            )
        self._stack.callback(self.service.close)
        worker = self.service.start_worker()
        worker.wait_ready(60)
        with self.service.client() as client:
            wait_usable(client, 60)
        self.trainer = Trainer(_made(folder / "emoji"))
        self._stack.callback(self.trainer.close)
        self.driver = Driver(self.service.gateway.url, self.receiver.url(path="/job"), self.trainer.step)
        self._stack.callback(self.driver.stop)
        self.driver.wait(3)  # rounds, so that nothing that is scraped first is nothing
        self.alertmanager = Alertmanager(folder / "alertmanager", self.receiver.url(path="/alerts"))
        self._stack.callback(self.alertmanager.close)
        targets = {
            "ganserve-gateway": self.service.gateway.url,
            "ganserve-worker": worker.url,
            "ganserve-triton": self.triton.metrics_url.removesuffix("/metrics"),
            "ganserve-training": self.trainer.url,
        }
        self.prometheus = Prometheus(
            folder / "prometheus",
            {job: url.removeprefix("http://") for job, url in targets.items()},
            write_rules(_made(folder / "rules")),
            self.alertmanager,
        )
        self._stack.callback(self.prometheus.close)

    def notifications(self) -> list[tuple[str, str, str]]:
        """What was told so far: receiver, status and name of each alert, in order."""
        told = []
        for request in list(self.receiver.received):
            path = request.line.split()[1]
            if path.startswith("/alerts/"):
                body = json.loads(request.body)
                for alert in body["alerts"]:
                    told.append((body["receiver"], alert["status"], alert["labels"]["alertname"]))
        return told

    def close(self) -> None:
        self._stack.close()


class Driver:
    """Somebody who uses the service all the time: calls that go well, calls that cannot, and small jobs."""

    def __init__(self, url: str, webhook: str, besides: Callable[[], None]) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self._webhook = webhook
        self._besides = besides
        self._stopping, self._resting = threading.Event(), threading.Event()
        self._round = threading.Semaphore(0)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._thread.start()

    def wait(self, rounds: int) -> None:
        """Returns after so many more rounds."""
        while self._round.acquire(blocking=False):
            pass
        for _ in range(rounds):
            assert self._round.acquire(timeout=60), self.failure

    def rest(self) -> None:
        """Makes no calls until `resume`; the trainer goes on."""
        self._resting.set()
        self.wait(2)

    def resume(self) -> None:
        """Makes calls again."""
        self._resting.clear()

    def stop(self) -> None:
        """Ends."""
        self._stopping.set()
        self._thread.join(60)
        self._client.close()
        assert self.failure is None, self.failure

    def _drive(self) -> None:
        try:
            for number in itertools.count():
                if self._stopping.is_set():
                    return
                if not self._resting.is_set():
                    self._once(number)
                self._besides()
                self._round.release()
                self._stopping.wait(0.2)
        except BaseException as failure:
            self.failure = failure

    def _once(self, number: int) -> None:
        client = self._client
        for model in MODELS:
            drawn = client.post("/v1/generate", json={"model": model, "seeds": [number, number + 1]})
            assert drawn.status_code == 200, drawn.text
            assert client.get(f"/v1/models/{model}/images/{number}.webp").status_code == 200
        mix = {"model": "toy", "rows": [number], "columns": [1], "layers": "fine"}
        assert client.post("/v1/style-mix", json=mix).status_code == 200
        assert client.post("/v1/generate", json={"model": "toy", "seeds": ["?"]}).status_code == 422
        if number % 5 == 0:
            job = {
                "operation": "generate",
                "model": "toy",
                "seeds": {"first": 0, "count": 4},
                "webhook": {"url": self._webhook, "secret": "whsec_" + "A" * 32},
            }
            made = client.post("/v1/jobs", json=job)
            assert made.status_code == 202, made.text


class Trainer:
    """The metrics of a training run, as `gantrain train` serves them, without its computing."""

    def __init__(self, folder: Path) -> None:
        figures = {
            "models": {
                "emoji": {"kid": {"mean": 0.012, "std": 0.001}, "kid_real": {"mean": 0.001}, "fid": 31.5}
            }
        }
        (folder / "metrics.json").write_text(json.dumps(figures))
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._stack = contextlib.ExitStack()
        where = Exposition(port=port, preset="emoji")
        config = load_config("emoji")
        self._metrics = self._stack.enter_context(telemetry(config, folder, where, Console(quiet=True)))
        self._metrics.saved()

    def step(self) -> None:
        """One step, and a line of the run log."""
        self._metrics.step(0.2)
        self._metrics.data_wait.inc(0.01)
        self._metrics.line(
            {
                "images_per_second": 80.0,
                "loss/G": 1.2,
                "loss/D": 0.9,
                "lr/G": 0.002,
                "lr/D": 0.002,
                "ada/p": 0.2,
            }
        )

    def close(self) -> None:
        self._stack.close()


def write_rules(folder: Path) -> list[Path]:
    """All rules by the fast clock, evaluated every second."""
    texts = {"recording": recording_file(CLOCK, "1s")}
    texts |= {group: alert_file(group, CLOCK, "1s") for group in GROUPS}
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
