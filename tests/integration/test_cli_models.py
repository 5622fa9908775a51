"""`ganserve load` and `ganserve unload` against a real Triton whose models change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.client import Client, ProblemError
from service.keys import create_key
from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess, free_ports

StartTriton = Callable[[Path], TritonProcess]
StartGateway = Callable[..., GatewayProcess]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def names() -> list[str]:
    code, output, errors = run("models")
    assert code == 0, errors
    return [line.split()[0] for line in output.splitlines()[1:]]


def test_models_are_unloaded_loaded_and_loaded_anew(
    tmp_path: Path, start_triton: StartTriton, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="other")
    gateway = start_gateway(start_triton(repository).grpc_url)
    gateway.wait_ready()
    monkeypatch.setenv("GANSERVE_URL", gateway.url)
    with Client(gateway.url) as client:
        digest = client.model("toy").digest

        assert run("unload", "toy") == (0, "toy is unloaded; `ganserve load toy` brings it back.\n", "")
        assert names() == ["other"]
        with pytest.raises(ProblemError) as caught:
            client.image("toy", 1)
        assert caught.value.status == 404
        code, output, errors = run("unload", "toy")
        assert (code, output) == (1, "")
        assert errors == "No such model. No model 'toy' is served. `ganserve models` lists what is served.\n"

        assert run("load", "toy") == (0, f"toy {digest[:12]} is READY.\n", "")
        assert names() == ["other", "toy"]
        assert client.image("toy", 1).pixels_sha256 == toy_sha256(repository, 1)

        # Other weights, while the model serves.
        renewed = write_toy_repository(tmp_path / "renewed", patterns=2)
        shutil.copytree(renewed, repository, dirs_exist_ok=True)
        code, output, errors = run("load", "toy")
        assert code == 0, errors
        changed = client.model("toy").digest
        assert changed != digest
        assert output == f"toy {changed[:12]} is READY.\n"
        assert client.image("toy", 1).pixels_sha256 == toy_sha256(renewed, 1)

        # What cannot be loaded says why, and what was loaded serves on.
        (repository / "toy-synthesis" / "1" / "model.onnx").write_bytes(b"damaged")
        code, output, errors = run("load", "toy")
        assert (code, output) == (1, "")
        assert "is not the file its card describes" in errors
        assert len(errors.splitlines()) == 1
        assert client.model("toy").digest == changed
        client.image("toy", 1)

    code, output, errors = run("load", "nowhere")
    assert (code, output) == (1, "")
    assert errors == "No such model. No model 'nowhere' is served. `ganserve models` lists what is served.\n"


def test_who_may_not_or_finds_nobody_is_told_so(
    triton: TritonProcess, start_gateway: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.json"
    secret = create_key(keys, "web", ["generate"])
    gateway = start_gateway(triton.grpc_url, keys_file=keys)
    gateway.wait_ready()
    monkeypatch.setenv("GANSERVE_URL", gateway.url)
    for verb in ("load", "unload"):
        monkeypatch.delenv("GANSERVE_API_KEY", raising=False)
        code, output, errors = run(verb, "toy")
        assert (code, output) == (1, "")
        assert "Set GANSERVE_API_KEY to one." in errors
        monkeypatch.setenv("GANSERVE_API_KEY", secret)
        code, output, errors = run(verb, "toy")
        assert (code, output) == (1, "")
        assert "admin" in errors
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        code, output, errors = run(verb, "toy", "--url", url)
        assert (code, output) == (1, "")
        assert errors == f"No ganserve at {url}; start one with `ganserve up` or `make serve`.\n"
