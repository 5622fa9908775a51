"""What the chart tells the programs it starts: settings, commands and flags that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy.helm.values_schema import DECIDED_BY_CHART, ELSEWHERE, SECRET, chosen_settings
from service.cli import app
from service.embedded.tritonserver import _tracing as tracing_flags
from service.exposure import startup_problem
from service.keys import read_keys
from service.repository.server_flags import server_flags
from service.settings import Settings
from tests.deploy.helm_chart import (
    SERVING,
    VALUE_FILES,
    Object,
    container,
    containers,
    find,
    pod_of,
    rendered,
    workloads,
)

# What Secrets of the operator's would hold.
SECRETS = {
    "GANSERVE_DATABASE_URL": "postgresql://ganserve:secret@postgres/ganserve",
    "GANSERVE_WEBHOOK_SECRET": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
    "GANSERVE_RATE_LIMIT_STORAGE": "memory",
}


def _ours(values: str) -> list[tuple[str, dict[str, str]]]:
    """The containers that run `ganserve`, with their environment."""
    objects = rendered(values)
    return [
        (each["name"], _environment(each, objects))
        for workload in workloads(objects)
        for each in containers(pod_of(workload))
        if each["name"] in ("gateway", "worker", "migrations", "triton", "profile")
    ]


def _environment(each: Object, objects: tuple[Object, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in each.get("envFrom", ()):
        (configuration,) = (
            one
            for one in objects
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source["configMapRef"]["name"]
        )
        found |= configuration["data"]
    for variable in each["env"]:
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif "fieldRef" in variable["valueFrom"]:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            found[variable["name"]] = {"metadata.name": "x-ganserve-worker-0", "status.podIP": "10.1.2.3"}[
                path
            ]
        else:
            found[variable["name"]] = SECRETS.get(variable["name"], "secret")
    for name, value in found.items():
        found[name] = re.sub(r"\$\(([A-Z_]+)\)", lambda match: found[match[1]], value)
    return found


@pytest.mark.parametrize("values", VALUE_FILES)
def test_every_setting_exists_and_is_accepted(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, environment in _ours(values):
        with monkeypatch.context() as outside:
            for variable, value in environment.items():
                assert isinstance(value, str), (name, variable)
                if variable.startswith("GANSERVE_"):
                    assert variable.removeprefix("GANSERVE_").lower() in Settings.model_fields, (
                        name,
                        variable,
                    )
                    outside.setenv(variable, value)
            Settings()


def test_settings_of_the_values_arrive_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm reads numbers as floating point, and would write 1.7179869184e+10."""
    (environment,) = (env for name, env in _ours("gpu-production") if name == "gateway")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.max_job_upload_bytes == 16 << 30
    assert settings.queue_limit == 128
    assert settings.job_inputs == ("s3://customer-photos/in",)
    assert settings.stop_timeout_seconds == 90
    assert settings.keys_file == Path("/etc/ganserve/keys/keys.json")
    assert settings.c2pa_key == Path("/etc/ganserve/signing/tls.key")
    assert settings.host == "0.0.0.0"
    # Besides those of the values, the address that Prometheus asks.
    assert settings.allowed_hosts == ("images.example.com", "ganserve.images.svc", "10.1.2.3")


@pytest.mark.parametrize(
    ("values", "url"), [("gpu-production", "x-ganserve-triton:8001"), ("paired", "127.0.0.1:8001")]
)
def test_gateways_and_workers_find_triton(values: str, url: str) -> None:
    found = {name: env["GANSERVE_TRITON_URL"] for name, env in _ours(values) if "GANSERVE_TRITON_URL" in env}
    assert found == {"gateway": url, "worker": url}


def test_workers_keep_their_name() -> None:
    for values in SERVING:
        (environment,) = (env for name, env in _ours(values) if name == "worker")
        assert environment["GANSERVE_WORKER_ID"] == "x-ganserve-worker-0"


def test_a_gateway_without_keys_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (environment,) = (env for name, env in _ours("cpu-minimal") if name == "gateway")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert startup_problem(Settings()) is None
    # And a file of keys from the values is one.
    keys = tmp_path / "keys.json"
    keys.write_text(find(rendered("model-image"), "Secret", "x-ganserve")["stringData"]["keys.json"], "utf-8")
    assert len(read_keys(keys)) == 0


def test_what_is_mounted_is_where_the_settings_say() -> None:
    for values in VALUE_FILES:
        for workload in workloads(rendered(values)):
            volumes = {each["name"] for each in pod_of(workload)["spec"]["volumes"]}
            for each in containers(pod_of(workload)):
                mounts = {mount["mountPath"]: mount for mount in each["volumeMounts"]}
                assert {mount["name"] for mount in mounts.values()} <= volumes
                environment = _environment(each, rendered(values)) if "env" in each else {}
                for name, value in environment.items():
                    path = value.removeprefix("file://")
                    if name.startswith("GANSERVE_") and path.startswith("/"):
                        assert path in mounts or str(Path(path).parent) in mounts or path == "/models", (
                            name,
                            value,
                        )
                for mount in mounts.values():
                    # A Secret that is mounted by subPath would not follow when it changes.
                    assert mount["name"] == "models" or "subPath" not in mount


def test_every_setting_is_chosen_decided_secret_or_of_no_use_here() -> None:
    chosen = {name.lower() for name in chosen_settings()}
    sets = [chosen, set(DECIDED_BY_CHART), set(SECRET), set(ELSEWHERE)]
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert set().union(*sets) == set(Settings.model_fields)


def test_programs_are_started_by_commands_that_exist() -> None:
    from typer.main import get_command

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    started = {
        each["args"][0]
        for values in VALUE_FILES
        for workload in workloads(rendered(values))
        for each in containers(pod_of(workload))
        if each["name"] != "training" and "args" in each
    }
    assert started == {"gateway", "worker", "migrate", "triton", "tritonserver", "repository"}
    assert started - {"tritonserver"} <= known


def test_triton_is_started_as_was_decided_for_production() -> None:
    """All flags of the table, and besides them those alone that depend on the place."""
    arguments = container(find(rendered("gpu-production"), "Deployment", "-triton"), "triton")["args"]
    assert arguments[0] == "tritonserver"
    of_the_place = {
        "--exit-timeout-secs", "--cache-config",  # which values set
        "--model-repository", "--http-port", "--grpc-port", "--grpc-address", "--metrics-port",
        "--trace-config",
    }  # fmt: skip
    table = [each for each in server_flags("gpu") if each.split("=")[0] not in of_the_place]
    assert [each for each in arguments[1:] if each.split("=")[0] not in of_the_place] == sorted(
        table, key=arguments.index
    )
    names = [each.split("=")[0] for each in arguments[1:]]
    assert {each for each in names if names.count(each) > 1} == {"--trace-config"}
    variables = {
        each["name"]: each
        for each in container(find(rendered("gpu-production"), "Deployment", "-triton"), "triton")["env"]
    }
    assert "secretKeyRef" in variables["TRITON_OPERATOR_KEY"]["valueFrom"], (
        "without it the key is the name of it"
    )


def test_all_send_traces_where_the_values_say(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://collector.monitoring:4318"
    for name, environment in _ours("model-volume"):
        assert environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") == (None if name == "migrations" else endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    triton = find(rendered("gpu-production"), "Deployment", "-triton")
    told = [each for each in container(triton, "triton")["args"] if each.startswith("--trace-config=")]
    # As the Triton of `ganserve triton` is told.
    assert sorted(told) == sorted(tracing_flags())


def test_training_is_started_as_it_can_be_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    from typer.main import get_command

    from training.cli import app as gantrain

    each = container(find(rendered("training"), "Job", "-train-cats"), "training")
    train = get_command(gantrain).commands["train"]  # type: ignore[attr-defined]
    assert each["args"][2:5] == ["-m", "training", "train"]
    given = train.make_context("train", list(each["args"][5:])).params
    assert (given["preset"], given["dataset"], given["out"]) == (
        "stylegan2-256",
        "cats-256",
        Path("/runs/cats"),
    )
    assert given["metrics_port"] == 9400
    assert given["set_"] == ["optimization.batch=64"]
    # The script itself, before a torchrun that says what it is given.
    assert each["command"][:2] == ["tini", "--"]
    torchrun = tmp_path / "torchrun"
    torchrun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    torchrun.chmod(0o755)
    outside = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUN": str(tmp_path)}
    for checkpoint in (False, True):
        if checkpoint:
            (tmp_path / "checkpoint.pt").touch()
        done = subprocess.run(
            [*each["command"][2:], *each["args"]], env=outside, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [*each["args"], *(["--resume"] if checkpoint else [])]
