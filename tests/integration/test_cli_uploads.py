"""`ganserve translate` and `ganserve upscale`: folders of images against a real gateway."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.cli import app
from tests.gateway_process import GatewayProcess
from tests.up_process import until


@pytest.fixture
def run(
    gateway: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder."""
    monkeypatch.setenv("GANSERVE_URL", gateway.url)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return command


def write_pictures(folder: Path, count: int, side: int = 16) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.random.RandomState(index).randint(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")


def test_a_folder_is_enlarged_and_what_fails_is_named(
    run: Callable[..., tuple[int, str, str]], http: httpx.Client
) -> None:
    write_pictures(Path("in"), 3)
    Path("in/01.png").write_text("no image")
    Image.new("RGB", (9, 5), "red").save("in/wide.jpg")
    code, output, errors = run("upscale", "in", "--model", "photo-x4", "--scale", "2.5", "--out", "out")
    assert code == 1
    assert output == "3 images in out, 1 failed\n"
    assert "in/01.png: The image cannot be read." in errors.replace("\n", " ")
    assert sorted(path.name for path in Path("out").iterdir()) == ["00.png", "02.png", "wide.png"]
    with Image.open("out/wide.png") as image:
        assert image.size == (23, 13)
    fields = {"model": "photo-x4", "scale": "2.5"}
    answer = http.post("/v1/super-resolution", data=fields, files={"image": Path("in/00.png").read_bytes()})
    assert Path("out/00.png").read_bytes() == answer.content


def test_what_is_there_is_kept(run: Callable[..., tuple[int, str, str]]) -> None:
    write_pictures(Path("in"), 3)
    command = ["translate", "in/*.png", "--model", "sketch-to-emoji", "--fit", "pad", "--out", "out"]
    assert run(*command)[:2] == (0, "3 images in out\n")
    kept = Path("out/00.png")
    kept.write_bytes(b"mine")
    Path("out/02.png").unlink()
    text = "1 image in out, 2 were there already (--overwrite makes them again)\n"
    assert run(*command)[:2] == (0, text)
    assert kept.read_bytes() == b"mine"
    assert run(*command, "--overwrite")[:2] == (0, "3 images in out\n")
    with Image.open(kept) as image:
        assert image.size == (64, 64)


def test_a_model_of_another_kind_is_one_sentence(run: Callable[..., tuple[int, str, str]]) -> None:
    write_pictures(Path("in"), 2)
    code, output, errors = run("upscale", "in", "--model", "terrain", "--out", "out")
    assert (code, output) == (1, "")
    assert errors == "terrain is a generator, no upscaler; give one of these: photo-x4, photo-x4-gan.\n"
    code, _, errors = run("translate", "in", "--model", "nope", "--out", "out")
    assert code == 1
    assert "No model 'nope' is served." in errors
    assert not Path("out").exists()


def test_inputs_that_are_not_there(run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, errors = run("upscale", "nothing.png", "--model", "photo-x4", "--out", "out")
    assert code == 2
    assert "there is no nothing.png" in errors


def test_a_server_that_goes_away_ends_the_run(
    gateway: GatewayProcess, triton, start_gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("in"), 2)
    other = start_gateway(triton.grpc_url)
    other.wait_ready()
    other.close()
    arguments = ["upscale", "in", "--model", "photo-x4", "--out", "out", "--url", other.url]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"No ganserve at {other.url}")


def test_ctrl_c_leaves_whole_files_and_the_next_run_does_the_rest(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in", 30, side=160)
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "service.cli", "upscale", "in", "--model", "photo-x4"),
        *("--out", "out", "--jobs", "1"),
    ]
    environment = {**os.environ, "GANSERVE_URL": gateway.url}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until(lambda: process.poll() is not None or (out.is_dir() and len(list(out.iterdir())) >= 3))
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert time.monotonic() - started < 10
    made = sorted(out.iterdir())
    assert 3 <= len(made) < 30
    for path in made:
        assert path.suffix == ".png"
        assert not path.name.startswith(".")
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
            assert image.size == (640, 640)
    assert output == f"{len(made)} images in out\n"
    assert f"Interrupted. {30 - len(made)} left; the same command goes on." in errors
    assert "Traceback" not in errors

    times = {path: path.stat().st_mtime_ns for path in made}
    again = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"{30 - len(made)} images in out, {len(made)} were there already")
    assert len(list(out.iterdir())) == 30
    assert {path: path.stat().st_mtime_ns for path in made} == times
