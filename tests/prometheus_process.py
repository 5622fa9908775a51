"""A real Prometheus and a real Alertmanager for tests, over the examples in deploy/prometheus."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from service.embedded.child import dying_with_parent
from tests.operator_tools import tool
from tests.triton_process import free_ports

EXAMPLES = Path(__file__).parents[1] / "deploy" / "prometheus"


class _Process:
    """One of the two: listens on a port of its own, and ends with the tests."""

    ready_path = "/-/ready"

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=Path(command[0]).parent,  # the Alertmanager of .tools finds its templates from there
                stdout=out,
                stderr=out,
                preexec_fn=dying_with_parent(signal.SIGKILL),
            )
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if self._client.get(self.ready_path).status_code == 200:
                    return
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def close(self) -> None:
        self._client.close()
        self.process.kill()  # what it has stored is not wanted
        self.process.wait()


class Alertmanager(_Process):
    """The example configuration, telling one receiver, without its patience."""

    def __init__(self, folder: Path, receiver: str) -> None:
        """Starts it.

        Args:
            folder: An empty one, for itself.
            receiver: URL to which both receivers' paths are added.
        """
        folder.mkdir()
        (port,) = free_ports(1)
        config = yaml.safe_load((EXAMPLES / "alertmanager.yml").read_text())
        config["route"] |= {"group_wait": "2s", "group_interval": "1s"}
        for each in config["receivers"]:
            for hook in each["webhook_configs"]:
                hook["url"] = f"{receiver}/{each['name']}"
        (folder / "alertmanager.yml").write_text(json.dumps(config))
        super().__init__(
            [
                tool("alertmanager"),
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            port,
            folder / "log",
        )

    def alerts(self) -> list[dict[str, Any]]:
        """What is active now, what is inhibited among it."""
        found: list[dict[str, Any]] = self._client.get("/api/v2/alerts").json()
        return found

    def told(self) -> set[str]:
        """Names of the alerts that are active and not inhibited."""
        return {
            alert["labels"]["alertname"] for alert in self.alerts() if alert["status"]["state"] == "active"
        }


class Prometheus(_Process):
    """The example configuration over other targets and rules; scrapes and evaluates every second."""

    def __init__(
        self, folder: Path, targets: Mapping[str, str], rules: list[Path], alertmanager: Alertmanager
    ) -> None:
        """Starts it.

        Args:
            folder: An empty one, for itself.
            targets: `host:port` by the name of a job in the example.
            rules: Files with rules.
            alertmanager: Whom it tells.
        """
        folder.mkdir()
        (port,) = free_ports(1)
        config = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
        config["rule_files"] = [str(path) for path in rules]
        there = alertmanager.url.removeprefix("http://")
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [there]
        for job in config["scrape_configs"]:
            job["static_configs"][0]["targets"] = [targets[job["job_name"]]]
        (folder / "prometheus.yml").write_text(json.dumps(config))
        super().__init__(
            [
                tool("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
                "--rules.alert.resend-delay=1s",
                "--log.level=warn",
            ],
            port,
            folder / "log",
        )

    def ask(self, path: str, **parameters: str) -> Any:
        """What the HTTP API answers under `/api/v1/`."""
        answer = self._client.post(f"/api/v1/{path}", data=parameters).json()
        assert answer["status"] == "success", (answer, parameters)
        return answer["data"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with how its evaluation went."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def series(self, selector: str) -> list[dict[str, str]]:
        """Labels of the series that a selector finds."""
        found: list[dict[str, str]] = self.ask("series", **{"match[]": selector})
        return found

    def names(self) -> set[str]:
        """Names of all metrics that it has."""
        return set(self._client.get("/api/v1/label/__name__/values").json()["data"])

    def values(self, expression: str) -> list[float]:
        """What an expression gives now, what is no number left out."""
        found = self.ask("query", query=expression)
        samples = (
            [found["result"]] if found["resultType"] == "scalar" else [s["value"] for s in found["result"]]
        )
        return [value for _, text in samples if not math.isnan(value := float(text))]
