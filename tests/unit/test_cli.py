"""The command line where it does not need a server."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from service.cli import app
from service.cli.asking import sentence
from service.client import ProblemError, UnreachableError
from service.files import write_atomically
from tests.triton_process import free_ports


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "command",
    [
        *("up", "gateway", "models", "load", "unload", "keys create", "keys list", "keys revoke"),
        *("generate", "interpolate", "mix", "translate", "upscale", "verify", "worker", "migrate"),
        *("triton", "health"),
        *("batch upscale", "batch translate", "batch generate"),
        *(f"jobs {name}" for name in ("list", "show", "items", "watch", "cancel", "retry", "delete")),
        "jobs download",
    ],
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    code, output = run(*command.split(), "--help")
    assert code == 0
    assert "Example" in output
    assert "ganserve" in output


def test_no_ganserve_is_one_sentence(tmp_path: Path) -> None:
    url = f"http://localhost:{free_ports(1)[0]}"
    sentence = f"No ganserve at {url}; start one with `ganserve up` or `make serve`.\n"
    assert run("models", "--url", url) == (1, sentence)


def test_wrong_arguments_are_explained(tmp_path: Path) -> None:
    code, output = run("generate", "--model", "toy", "--out", str(tmp_path), "--seeds", "9-3")
    assert code == 2
    assert "write 3-9" in output
    code, output = run("generate", "--model", "toy", "--out", str(tmp_path), "--seeds", "1", "--noise", "x")
    assert code == 2
    assert "`const`, `none` or a seed" in output
    code, output = run("models", "--url", "localhost:8080")
    assert code == 2
    assert "http://" in output


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSERVE_RESTART_LIMIT", "many")
    code, output = run("up")
    assert code == 1
    assert output.startswith("GANSERVE_RESTART_LIMIT: ")
    assert "'many'" in output


def test_client_commands_need_nothing_of_the_service() -> None:
    """What `ganserve models` and `generate` import is among the base dependencies."""
    code = (
        "import sys; import service.cli, service.client, service.seeds, service.files; "
        "print(sorted({'fastapi', 'tritonclient', 'pydantic_settings', 'torch', 'onnxruntime', 'uvicorn'} "
        "& set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_files_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    write_atomically(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def _umask() -> int:
    import os

    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_keys_from_the_command_line(tmp_path: Path) -> None:
    file = str(tmp_path / "keys.json")
    result = CliRunner().invoke(
        app,
        [
            *("keys", "create", "web", "--scope", "generate", "--scope", "jobs", "--rate", "9/minute"),
            *("--concurrency", "3", "--expires", "2020-01-01", "--keys-file", file),
        ],
    )
    assert result.exit_code == 0
    secret = result.stdout.strip()  # alone, so that a shell can take it
    assert secret.startswith("gsk_")
    assert secret not in result.stderr
    code, output = run("keys", "list", "--keys-file", file)
    assert code == 0
    for text in ("web", secret[4:16], "generate jobs", "9/minute", "3", "2020-01-01", "expired"):
        assert text in output
    assert secret[17:] not in output
    assert run("keys", "create", "web", "--scope", "jobs", "--keys-file", file)[0] == 1
    code, output = run("keys", "create", "two", "--scope", "jobs", "--rate", "much", "--keys-file", file)
    assert code == 1
    assert output.startswith("rate: a rate is written as 100/minute")
    assert run("keys", "create", "two", "--scope", "everything", "--keys-file", file)[0] == 2
    assert run("keys", "revoke", "web", "--keys-file", file) == (0, "The key 'web' is revoked.\n")
    assert run("keys", "revoke", "web", "--keys-file", file)[0] == 1


@pytest.mark.parametrize("command", ["up", "gateway"])
def test_no_open_gateway_beyond_this_machine(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSERVE_HOST", "0.0.0.0")
    code, output = run(command)
    assert code == 1
    assert "ganserve keys create" in output
    assert "GANSERVE_ALLOW_OPEN=yes-serve-anyone" in output


def test_health_of_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_ports(1)[0]
    monkeypatch.setenv("GANSERVE_PORT", str(port))
    code, output = run("health")
    assert code == 1
    assert f"http://127.0.0.1:{port}/healthz does not answer" in output
    monkeypatch.setenv("GANSERVE_WORKER_PORT", "0")
    assert run("health", "worker") == (
        1,
        "A worker without a port cannot be asked; GANSERVE_WORKER_PORT gives it one.\n",
    )


def commands_of(group: Any, *path: str) -> Iterator[tuple[list[str], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, *path, name)
        else:
            yield [*path, name], command


def test_the_examples_of_help_are_commands() -> None:
    """Options and values that `--help` shows exist; `--ws` wants a file that is there."""
    seen = set()
    for path, command in commands_of(get_command(app)):
        for line in (command.epilog or "").splitlines():
            words = shlex.split(line.partition("|")[0])
            if "ganserve" not in words or "--ws" in words or path == ["verify"]:
                continue
            words = words[words.index("ganserve") + 1 :]
            assert words[: len(path)] == path
            command.make_context(path[-1], words[len(path) :])
            seen.add(path[-1])
    assert {"upscale", "create", "download", "worker"} <= seen


def test_a_server_s_sentence_comes_with_what_helps() -> None:
    problem = ProblemError(401, {"type": "/problems/unauthenticated", "title": "A key is needed"}, "")
    assert sentence("http://x", problem) == "A key is needed. Set GANSERVE_API_KEY to one."
    problem = ProblemError(409, {"title": "No", "detail": "Not now."}, "")
    assert sentence("http://x", problem) == "No. Not now."
    assert (
        sentence("http://x", UnreachableError("too slow")) == "ganserve at http://x did not answer: too slow."
    )
