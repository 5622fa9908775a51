"""deploy/docker: what the Dockerfile, the compose file and the build context promise, without an engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from compose_spec import PyOptions
from typer.testing import CliRunner

from deploy.docker import dockerfile
from deploy.docker.context import Ignored, files
from deploy.docker.requirements import requirements, tomllib
from service.cli import app
from service.repository.server_flags import server_flags
from service.settings import Settings
from tests.operator_tools import tool

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
FILE = dockerfile.read(DOCKER / "Dockerfile")
IMAGES = ("gateway", "triton", "triton-cpu", "trainer")
OURS = ("gateway", "triton-cpu", "trainer")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BAKE = (DOCKER / "docker-bake.hcl").read_text("utf-8")
EXACT = re.compile(r"[a-z0-9./-]+:[0-9]+(\.[0-9]+)+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?")


def steps(*keywords: str) -> Iterator[tuple[dockerfile.Stage, dockerfile.Instruction]]:
    for stage in FILE.stages.values():
        for step in stage.instructions:
            if step.keyword in keywords:
                yield stage, step


def test_hadolint_finds_nothing_and_is_told_to_overlook_nothing() -> None:
    done = subprocess.run(
        [tool("hadolint"), "--no-color", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in (DOCKER / "Dockerfile").read_text("utf-8")
    assert not [*ROOT.glob(".hadolint*"), *DOCKER.glob(".hadolint*")]


@pytest.mark.parametrize("name", ["PYTHON_IMAGE", "TRITON_IMAGE"])
def test_base_images_are_exact_and_the_same_wherever_they_are_named(name: str) -> None:
    assert EXACT.fullmatch(FILE.arguments[name])
    assert re.search(rf'variable "{name}" {{\s*default = "([^"]+)"', BAKE)[1] == FILE.arguments[name]
    assert FILE.arguments[name] in (DOCKER / "README.md").read_text("utf-8")


def test_every_stage_begins_with_a_pinned_image_or_another_stage() -> None:
    bases = {stage.base for stage in FILE.stages.values()} - set(FILE.stages)
    assert bases == {"${PYTHON_IMAGE}", "${TRITON_IMAGE}", "scratch"}
    assert list(FILE.stages)[-1] == "gateway"  # what is built when nobody says which


def test_every_package_is_pinned() -> None:
    for stage, step in steps("RUN"):
        for command in re.split(r"&&|;", step.text):
            words = shlex.split(command)
            if "apt-get" in words and "install" in words:
                packages = [word for word in words[2:] if not word.startswith("-")]
                assert all("=" in package for package in packages), (stage.name, command)
            if any(word.endswith("/pip") for word in words) and "install" in words:
                exact = [w for w in words if re.fullmatch(r"[a-z-]+==.+", w)]
                assert "--constraint" in words or exact or "--no-deps" in words, (stage.name, command)


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_says_of_itself(image: str) -> None:
    user = FILE.last(image, "USER").text
    assert user == ("1000:1000" if image == "triton" else "10001:10001")
    labels = FILE.pairs(image, "LABEL")
    titles = ("title", "description", "licenses", "version", "revision", "source")
    assert labels.keys() == {f"org.opencontainers.image.{title}" for title in titles}
    assert labels["org.opencontainers.image.licenses"].startswith(PYPROJECT["project"]["license"])
    arguments = {step.text for step in FILE.stages[image].instructions if step.keyword == "ARG"}
    assert arguments == {"VERSION", "REVISION", "SOURCE"}
    assert FILE.last(image, "STOPSIGNAL").text == "SIGTERM"
    assert FILE.last(image, "CMD").exec_form()
    if image != "triton":  # NVIDIA's entry point stays
        assert FILE.last(image, "ENTRYPOINT").exec_form()[:2] == ["tini", "--"]
    health = FILE.last(image, "HEALTHCHECK").text
    if image == "trainer":
        assert health == "NONE"
    else:
        _, _, command = health.partition("CMD ")
        assert dockerfile.Instruction("CMD", command, 0).exec_form()


def test_commands_of_images_exist() -> None:
    for image in ("gateway", "triton-cpu"):
        command = FILE.last(image, "CMD").exec_form()
        _, _, health = FILE.last(image, "HEALTHCHECK").text.partition("CMD ")
        program, *words = json.loads(health)
        assert program == FILE.last(image, "ENTRYPOINT").exec_form()[2] == "ganserve"
        for arguments in (command, words):
            assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments


def test_settings_in_images_and_in_the_compose_file_exist() -> None:
    compose = (DOCKER / "compose.yaml").read_text("utf-8")
    named = {key for _, step in steps("ENV") for key, _ in step.pairs()} | set(
        re.findall(r"GANSERVE_\w+", compose)
    )
    ours = {name.removeprefix("GANSERVE_").lower() for name in named if name.startswith("GANSERVE_")}
    assert {"host", "triton_host", "state_folder", "database_url"} <= ours
    assert ours <= set(Settings.model_fields)


def test_ports_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    for image, names in (
        ("gateway", ("port", "worker_port")),
        ("triton", ("triton_http_port", "triton_grpc_port", "triton_metrics_port")),
        ("triton-cpu", ("triton_http_port", "triton_grpc_port", "triton_metrics_port")),
    ):
        exposed = FILE.last(image, "EXPOSE").text.split()
        assert exposed == [str(fields[name].default) for name in names]


def test_what_the_dockerfile_copies_is_sent_and_nothing_else_is() -> None:
    context = files(ROOT)
    wanted = set()
    for _, step in steps("COPY"):
        flags, text = step.flags()
        if "from" not in flags:
            wanted |= set(text.split()[:-1])
    for path in wanted:
        assert any(file == path or file.startswith(f"{path}/") for file in context), path
    assert not [f for f in context if not any(f == path or f.startswith(f"{path}/") for path in wanted)]
    assert sum((ROOT / file).stat().st_size for file in context) < 40 << 20


def test_secrets_and_caches_are_not_sent() -> None:
    ignored = Ignored((ROOT / ".dockerignore").read_text("utf-8"))
    for path in (
        *("keys.json", ".env", "data/terrain-64/train.zip", "runs/terrain/checkpoint.pt", ".git/config"),
        *("service/.env", "service/key.pem", "service/keys.json", "model_repository/x/private.key"),
        *("service/__pycache__/app.cpython-311.pyc", "tests/conftest.py", "deploy/docker/compose.yaml"),
        *("deploy/docker/secrets/keys.json", ".tools/bin/helm", "shared/anything", ".venv/bin/python"),
    ):
        assert path in ignored, path
    for path in (
        "service/app.py",
        "model_repository/terrain-mapping/1/model.onnx",
        "deploy/docker/requirements.py",
    ):
        assert path not in ignored, path


@pytest.mark.parametrize(
    ("argument", "present", "absent"),
    [
        (
            "GATEWAY_EXTRAS",
            {"fastapi", "dbos", "redis", "av", "c2pa-python", "opentelemetry-sdk", "httpx"},
            {"torch", "nvidia-pytriton", "onnxruntime", "pytest"},
        ),
        ("TRITON_EXTRAS", {"nvidia-pytriton", "onnxruntime", "mnn"}, {"torch", "pytest"}),
        ("TRAINER_EXTRAS", {"torch", "onnx", "onnxruntime"}, {"nvidia-pytriton", "fastapi", "pytest"}),
    ],
)
def test_what_is_installed(argument: str, present: set[str], absent: set[str]) -> None:
    (extras,) = [
        step.text.partition("=")[2] for _, step in steps("ARG") if step.text.startswith(f"{argument}=")
    ]
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in requirements(PYPROJECT, extras.split(","))}
    assert present <= names
    assert not absent & names
    assert "ganserve" not in names


def test_an_unknown_extra_is_no_empty_image() -> None:
    with pytest.raises(KeyError):
        requirements(PYPROJECT, ["gatway"])


def test_the_bake_file_builds_every_image_of_this_version() -> None:
    assert json.loads(re.search(r"matrix\s+= { part = (\[[^\]]+\])", BAKE)[1]) == list(IMAGES)
    assert set(IMAGES) | {"sbom"} <= set(FILE.stages)
    version = PYPROJECT["project"]["version"]
    assert re.search(r'variable "VERSION" {\s*default = "([^"]+)"', BAKE)[1] == version
    assert set(re.findall(r"\$\{VERSION:-([^}]+)\}", (DOCKER / "compose.yaml").read_text("utf-8"))) == {
        version
    }
    assert 'attest = ["type=provenance,mode=max", "type=sbom"]' in BAKE


def compose_model(text: str) -> None:
    options = PyOptions()
    options.apply_merge = True
    options.from_yaml(re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", text)).validate()


def test_the_compose_file_is_one() -> None:
    text = (DOCKER / "compose.yaml").read_text("utf-8")
    compose_model(text)
    with pytest.raises(ValueError, match="read_onli"):
        compose_model(text.replace("read_only", "read_onli"))
    services = yaml.safe_load(text)["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services)
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert EXACT.fullmatch(image), image
        if name != "postgres":
            assert image.split(":")[0].removeprefix("ganserve/") in IMAGES
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
        if command := service.get("command"):
            assert command[0] in ("gateway", "worker", "migrate", "triton")


def test_tritonserver_is_started_with_the_flags_of_production(tmp_path: Path) -> None:
    """The script alone: a program in tritonserver's place prints what it is given."""
    stand_in = tmp_path / "tritonserver"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "key=${TRITON_OPERATOR_KEY-}"\n')
    stand_in.chmod(0o755)
    flags = DOCKER.parent / "triton" / "tritonserver-gpu.flags"

    def started(**more: str) -> list[str]:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TRITON_FLAGS_FILE": str(flags), **more}
        return subprocess.run(
            [DOCKER / "start-tritonserver", "--http-port=9000"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    wanted = server_flags("gpu", "p'a $ss")
    assert started(TRITON_OPERATOR_KEY="p'a $ss") == [
        "--model-repository=/models",
        *wanted,
        "--http-port=9000",
        "key=",
    ]
    one, other = started(), started()
    (differing,) = {
        re.sub(r"[0-9a-f]{48}", "KEY", a) for a, b in zip(one, other, strict=True) if a != b and "http" in a
    }
    assert differing.endswith(":triton-operator=KEY")
    assert "$(" not in "".join(one)


def test_the_tool_of_the_bill_of_materials_has_one_version() -> None:
    (pinned,) = PYPROJECT["project"]["optional-dependencies"]["sbom"]
    assert f"ARG CYCLONEDX_VERSION={pinned.partition('==')[2]}" in (DOCKER / "Dockerfile").read_text("utf-8")
    assert f"\n{pinned}\n" in (ROOT / "constraints.txt").read_text("utf-8")
