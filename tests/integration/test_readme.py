"""What the README shows works as it is shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from typer.main import get_command

from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess
from tests.worker_process import WorkerProcess
from training.cli import app as gantrain

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTIONS = dict(re.findall(r"^##+ (.*)\n((?:(?!^##+ ).*\n?)*)", README, re.MULTILINE))
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CLIENT = r"ganserve (batch|generate|interpolate|jobs|mix|models|translate|upscale|verify) "
RUN = re.compile(rf"curl -s '?localhost:8080/|{CLIENT}")
# What installs, trains or serves has tests of its own.
NOT_RUN = re.compile(
    r"make |\.venv/bin/gantrain |\.venv/bin/ganserve (keys create|load|up) |curl -s gateway:8080/"
)
IMAGES = (".png", ".webp", ".gif", ".jpg")


def steps(body: str) -> list[tuple[str, str]]:
    """What a section has its readers run, in order: ("python", code) or ("console", line)."""
    found = []
    for kind, text in BLOCK.findall(body):
        if kind == "python":
            found.append((kind, text))
            continue
        for line in text.splitlines():
            assert line.startswith("$ "), f"not a command: {line}"
            command = f"{line[2:]} "
            assert bool(RUN.match(command)) != bool(NOT_RUN.match(command)), line
            if RUN.match(command):
                found.append((kind, line[2:]))
    return found


def curl(line: str, http: httpx.Client) -> None:
    """Does what curl would do with the few options that the README uses."""
    words = shlex.split(line)[1:]
    headers, form, files, output, path = {}, {}, [], None, ""
    sent: dict = {}
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(":")
            headers[name.strip()] = value.strip()
        elif word == "-d":
            sent["content"] = words.pop(0)
        elif word == "-F":
            name, _, value = words.pop(0).partition("=")
            if value.startswith("@"):
                files.append((name, (value[1:], Path(value[1:]).read_bytes())))
            else:
                form[name] = value
        elif word == "-o":
            output = words.pop(0)
        elif word != "-s":
            path = word.removeprefix("localhost:8080")
    if files:
        sent |= {"data": form, "files": files}
    response = http.request("POST" if sent else "GET", path, headers=headers, **sent)
    assert response.is_success, response.text
    if output is None:
        assert json.loads(response.content)
    else:
        assert response.headers["content-type"] == f"image/{Path(output).suffix[1:]}"
        Path(output).write_bytes(response.content)


def execute(arguments: list[str], gateway: GatewayProcess) -> None:
    """Runs Python in the current folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "GANSERVE_URL": gateway.url, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody has some images; the current folder."""
    for name in ("photo.jpg", "photos/1.jpg", "photos/more/2.png", "drawing.png", "drawings/1.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.radial_gradient("L").convert("RGB").resize((24, 20)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def worker(
    triton: TritonProcess, gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """Does the jobs that the gateway is given; `ganserve up` runs one too."""
    log = tmp_path_factory.mktemp("worker") / "log"
    process = WorkerProcess(triton.grpc_url, log, state_folder=gateway.state)
    yield process
    process.close()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("title", [title for title, body in SECTIONS.items() if steps(body)])
def test_section(title: str, folder: Path, http: httpx.Client, gateway: GatewayProcess) -> None:
    before = set(folder.rglob("*"))
    for kind, text in steps(SECTIONS[title]):
        if kind == "python":
            execute(["-c", text.replace("http://localhost:8080", gateway.url)], gateway)
        elif text.startswith("curl"):
            curl(text, http)
        else:
            execute(["-m", "service.cli", *shlex.split(text)[1:]], gateway)
    made = [path for path in folder.rglob("*") if path not in before and path.suffix in IMAGES]
    assert made
    for path in made:
        with Image.open(path) as image:
            image.load()


def test_every_call_is_shown_in_three_ways() -> None:
    shown = [step for body in SECTIONS.values() for step in steps(body)]
    console = " ".join(text for kind, text in shown if kind == "console")
    python = " ".join(text for kind, text in shown if kind == "python")
    for path, command, method in (
        ("generate", "generate", "generate"),
        ("interpolate", "interpolate", "interpolate_frames"),
        ("style-mix", "mix", "style_mix"),
        ("translate", "translate", "translate"),
        ("super-resolution", "upscale", "upscale"),
        ("verify", "verify", "verify"),
        ("jobs", "batch", "create_job"),
    ):
        assert f"/v1/{path} " in console
        assert f"ganserve {command} " in console
        assert f".{method}(" in python


def test_what_trains_and_imports_is_a_command() -> None:
    """Its commands and options exist; what they do is tested where they are."""
    typed = re.findall(r"^\$ \.venv/bin/gantrain (.*)$", README, re.MULTILINE)
    for line in typed:
        name, *words = shlex.split(line, comments=True)
        get_command(gantrain).commands[name].make_context(name, words)
    assert {line.split()[0] for line in typed} >= {"train", "import", "inspect", "convert", "project"}


def test_pictures_are_there_and_small() -> None:
    pictures = re.findall(r'(?:!\[.*?\]\(|src=")(docs/[^)"]+)', README)
    assert len(pictures) >= 3
    for name in pictures:
        path = Path(__file__).parents[2] / name
        assert path.stat().st_size < 600_000
        Image.open(path).verify()
