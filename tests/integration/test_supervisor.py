"""`ganserve up` as a person meets it: real processes, real signals, real crashes."""

from __future__ import annotations

import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.client import Client
from service.keys import create_key
from tests.toy_repository import write_toy_repository
from tests.up_process import Up, until


def temporary_files() -> list[Path]:
    """Folders and shared memory of runs started with this test's temporary directory."""
    folders = list(Path(tempfile.gettempdir()).glob("ganserve-*"))
    return folders + [region for folder in folders for region in Path("/dev/shm").glob(f"{folder.name}-*")]


def assert_nothing_is_left(running: Up) -> None:
    running.assert_no_process_is_left()
    assert temporary_files() == []


@pytest.fixture
def up(tmp_path: Path, toy_repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Up]]:
    """Starts `ganserve up` over the toy repository, or another, with its own temporary directory.

    Without a worker, which is two more seconds of imports, unless `run_worker` says so.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    started: list[Up] = []

    def start(*flags: str, repository: Path = toy_repository, **settings: object) -> Up:
        settings.setdefault("run_worker", "false")
        environment = {f"GANSERVE_{name.upper()}": str(value) for name, value in settings.items()}
        started.append(Up(repository, tmp_path / f"up-{len(started)}.log", environment, list(flags)))
        return started[-1]

    yield start
    for process in started:
        process.close()


def test_serves_and_stops_without_a_trace(up: Callable[..., Up]) -> None:
    running = up(run_worker="true").wait_until_ready()
    assert f"http://localhost:{running.port}/v1/models/toy/images/7.png" in running.output
    assert f"http://localhost:{running.port}/docs" in running.output
    assert "toy (generator, 16×16)" in running.output
    image = running.image()
    assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    running.wait_for("worker started")
    assert running.family().keys() == {"triton", "model", "gateway", "worker"}
    (folder,) = Path(tempfile.gettempdir()).glob("ganserve-*")
    assert list(Path("/dev/shm").glob(f"{folder.name}-*"))
    running.process.send_signal(signal.SIGINT)
    assert running.wait_for_exit() == 0
    assert_nothing_is_left(running)
    assert not list(Path("/dev/shm").glob(f"{folder.name}-*"))


def test_with_keys_and_a_name_of_its_own_it_starts_and_asks_for_them(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    secret = create_key(tmp_path / "keys.json", "web", ["generate"])
    running = up(f"--keys-file={tmp_path / 'keys.json'}", allowed_hosts="api.example").wait_until_ready()
    assert f"Keys    needed; they are in {tmp_path / 'keys.json'}" in running.output
    assert re.search(r"Models +toy", running.output)
    url = f"{running.url}/v1/models/toy/images/7.png"
    for headers, status in (
        ({"host": "api.example"}, 401),
        ({"host": "api.example", "x-api-key": secret}, 200),
        ({"x-api-key": secret}, 421),
    ):
        assert httpx.get(url, headers=headers, trust_env=False, timeout=30).status_code == status
    assert secret[17:] not in running.output


def test_crashes_of_triton_and_of_its_model_processes_are_announced_and_answered(
    up: Callable[..., Up],
) -> None:
    running = up().wait_until_ready()
    before = running.image().content
    triton = running.family()["triton"]
    triton.send_signal(signal.SIGKILL)
    running.wait_for("Triton was killed by SIGKILL.")
    running.wait_for("Restarting it")
    running.wait_for("Triton serves again")
    assert running.ready_status() == 200
    assert running.image().content == before
    family = running.family()
    assert family["triton"].pid != triton.pid
    (folder,) = Path(tempfile.gettempdir()).glob("ganserve-*")
    regions = {path.name.removeprefix(folder.name) for path in Path("/dev/shm").glob(f"{folder.name}-*")}
    assert {name[:3] for name in regions} == {"-2-"}, "the crashed one's shared memory is still there"

    # Triton alone would go on failing every call to that model, and say that it is ready.
    family["model"].send_signal(signal.SIGKILL)
    running.wait_for("A model process of Triton was killed by SIGKILL.")
    until(lambda: running.output.count("Triton serves again") == 2)
    assert running.image().content == before
    assert running.family()["triton"].pid != family["triton"].pid

    # The fourth crash in a row is answered after a pause of two seconds, long enough to look.
    for expected in (3, 4):
        until(lambda n=expected: running.output.count("Triton serves again") == n - 1)
        running.family()["triton"].send_signal(signal.SIGKILL)
        until(lambda n=expected: running.output.count("Restarting it") >= n)
    until(lambda: running.ready_status() == 503, 20)
    problem = running.image()
    assert problem.status_code == 503
    assert problem.headers["content-type"] == "application/problem+json"
    until(lambda: running.ready_status() == 200)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait_for_exit() == 0
    assert_nothing_is_left(running)


def test_a_triton_killed_in_the_middle_of_a_restart_is_restarted_again(up: Callable[..., Up]) -> None:
    """Its model processes are just starting then; they outlive it and hold its output open."""
    running = up().wait_until_ready()
    first = running.family()["triton"]
    first.kill()

    def loading() -> bool:
        family = running.family()
        return "model" in family and family.get("triton", first).pid != first.pid

    until(loading)
    running.family()["triton"].kill()
    running.wait_for("Triton serves again")
    assert running.output.count("Restarting it") == 2
    assert running.image().status_code == 200


def test_what_was_unloaded_before_a_crash_stays_so(up: Callable[..., Up], tmp_path: Path) -> None:
    """It may be why there was no memory left; and calls must not find a model that was taken away."""
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="other")
    running = up(repository=repository).wait_until_ready()

    def names() -> list[str]:
        answer = httpx.get(f"{running.url}/v1/models", trust_env=False, timeout=30)
        return [card["name"] for card in answer.json()["data"]]

    def crash(expected: int) -> None:
        running.family()["triton"].send_signal(signal.SIGKILL)
        until(lambda: running.output.count("Triton serves again") == expected)

    def load(model: str, verb: str = "load") -> httpx.Response:
        return httpx.post(f"{running.url}/v1/models/{model}/{verb}", trust_env=False, timeout=30)

    def change(model: str, verb: str) -> None:
        assert load(model, verb).status_code == 200
        time.sleep(1.2)  # the supervisor looks twice a second

    change("other", "unload")
    crash(1)
    assert "Not loaded again, since they were not loaded: other-mapping, other-synthesis." in running.output
    assert "Not served: " not in running.output
    assert names() == ["toy"]
    crash(2)  # and still
    assert names() == ["toy"]
    change("other", "load")
    running.family()["triton"].send_signal(signal.SIGTERM)  # it unloads everything, and nobody asked for that
    until(lambda: running.output.count("Triton serves again") == 3)
    assert names() == ["other", "toy"]
    change("other", "unload")
    change("toy", "unload")
    crash(4)
    assert running.ready_status() == 503, "a gateway that serves nothing, but can load"
    until(lambda: load("toy").status_code == 200)
    assert running.image().status_code == 200


def test_too_many_crashes_stop_everything(up: Callable[..., Up]) -> None:
    running = up(restart_limit=1).wait_until_ready()
    assert running.family().keys() == {"triton", "model", "gateway"}
    running.family()["triton"].send_signal(signal.SIGKILL)
    running.wait_for("Triton serves again")
    running.family()["triton"].send_signal(signal.SIGKILL)
    assert running.wait_for_exit() == 1
    assert "That was crash 2 within 300 s" in running.output
    assert "GANSERVE_RESTART_LIMIT" in running.output
    assert_nothing_is_left(running)


def test_a_killed_gateway_stops_everything(up: Callable[..., Up]) -> None:
    running = up().wait_until_ready()
    running.family()["gateway"].send_signal(signal.SIGKILL)
    assert running.wait_for_exit() == 1
    assert "The gateway was killed by SIGKILL. The gateway printed last:" in running.output
    assert_nothing_is_left(running)


def test_a_killed_worker_is_announced_and_restarted_and_the_rest_goes_on(up: Callable[..., Up]) -> None:
    running = up(run_worker="true").wait_until_ready()
    running.wait_for("worker started")
    before = running.family()
    before["worker"].send_signal(signal.SIGKILL)
    running.wait_for("The worker was killed by SIGKILL. The worker printed last:")
    running.wait_for("Starting it again in 0.5 s; batch jobs wait, everything else goes on.")
    said = running.output.count("worker started")  # the report of the end repeats it
    until(lambda: running.output.count("worker started") > said)
    after = running.family()
    assert after["worker"].pid != before["worker"].pid
    assert (after["gateway"].pid, after["triton"].pid) == (before["gateway"].pid, before["triton"].pid)
    with Client(running.url) as client:
        job = client.wait_for_job(client.create_job("generate", "toy", seeds=range(3)).id, seconds=60)
    assert (job.state, job.counts.succeeded) == ("succeeded", 3)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait_for_exit() == 0
    assert "worker stopped" in running.output, "it was not given the time to end"
    assert_nothing_is_left(running)


def test_nothing_outlives_a_killed_supervisor(up: Callable[..., Up]) -> None:
    running = up(run_worker="true").wait_until_ready()
    (folder,) = Path(tempfile.gettempdir()).glob("ganserve-*")
    running.process.kill()
    running.process.wait()
    until(lambda: not [process for process in running.seen.values() if process.is_running()], 20)
    assert not list(Path("/dev/shm").glob(f"{folder.name}-*"))
    # The folder cannot be removed by a process that was killed; the next one does it.
    assert folder.exists()
    again = up().wait_until_ready()
    assert not folder.exists()
    again.process.send_signal(signal.SIGTERM)
    assert again.wait_for_exit() == 0


def test_a_triton_that_never_starts_stops_everything_and_says_why(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    for model in repository.iterdir():
        (model / "1" / "model.onnx").write_bytes(b"damaged")
    running = up(repository=repository)
    assert running.wait_for_exit() == 1
    assert "Not served: toy-mapping: " in running.output
    assert "is not the file its card describes" in running.output
    assert "can be served." in running.output
    assert_nothing_is_left(running)


def test_one_damaged_model_is_reported_and_the_others_are_served(
    up: Callable[..., Up], tmp_path: Path
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="damaged")
    (repository / "damaged-synthesis" / "1" / "model.onnx").write_bytes(b"damaged")
    running = up(repository=repository).wait_until_ready()
    assert "Not served: damaged-synthesis: " in running.output
    assert "damaged (generator" not in running.output
    for _ in range(3):  # that a model is unloaded, or cannot be loaded, is no crash
        for role, verb in (("mapping", "unload"), ("synthesis", "load"), ("mapping", "load")):
            running.control(f"damaged-{role}", verb)
            time.sleep(0.4)
    assert running.image().status_code == 200
    assert "Restarting" not in running.output


def test_a_taken_port_is_named_with_its_remedy(up: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = up(f"--triton-http-port={port}")
        assert running.wait_for_exit() == 1
    assert running.output == (
        f"Triton's HTTP endpoint cannot listen on port {port}, since another program does; stop that program "
        "or choose another port with --triton-http-port or GANSERVE_TRITON_HTTP_PORT.\n"
    )
