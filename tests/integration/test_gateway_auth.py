"""Keys, scopes, rates and concurrency of real gateways."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest

from service.api.access.guard import Guard
from service.api.access.scopes import ACCESS
from service.app import create_app
from service.keys import SCOPES, create_key, revoke_key
from service.settings import Settings
from tests.gateway_process import GatewayProcess
from tests.integration.test_gateway_problems import GOOD, problem
from tests.triton_process import TritonProcess
from tests.up_process import until

POST_HEAD = (
    "POST /v1/generate HTTP/1.1\r\nhost: localhost\r\n"
    "content-type: application/json\r\ncontent-length: {length}\r\n"
)


@dataclass
class Guarded:
    """A gateway that asks for keys, and the secrets of some by name."""

    gateway: GatewayProcess
    file: Path
    secrets: dict[str, str]

    def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        return self.request("GET", path, key, headers=headers)

    def request(self, method: str, path: str, key: str | None = None, **arguments: object) -> httpx.Response:
        headers = dict(arguments.pop("headers", {}))
        if key is not None:
            headers["authorization"] = f"Bearer {self.secrets[key]}"
        with self.gateway.client() as client:
            return client.request(method, path, headers=headers, **arguments)

    def add(self, name: str, *scopes: str, **options: object) -> None:
        self.secrets[name] = create_key(self.file, name, scopes or ("generate",), **options)
        until(lambda: self.get("/v1/models", name).status_code != 401, 10)


@pytest.fixture(scope="module")
def guarded(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "keys.json"
    secrets = {scope: create_key(file, scope, [scope]) for scope in SCOPES}
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    secrets["expired"] = create_key(file, "expired", SCOPES, expires=past)
    gateway = GatewayProcess(triton.grpc_url, folder / "log", keys_file=file, keys_reload_seconds=0.1)
    gateway.wait_ready()
    yield Guarded(gateway, file, secrets)
    gateway.close()


DOCUMENT = create_app(Settings()).openapi()
NEEDS: list[tuple[str, str, str]] = [
    (method.upper(), path, (operation["security"][0]["bearer"] or ["any key"])[0])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "security" in operation
]
OPEN = [path for path, methods in DOCUMENT["paths"].items() if "security" not in next(iter(methods.values()))]


def filled(path: str, model: str = "toy") -> str:
    for name, value in {"model": model, "seed": "1", "format": "png", "slug": "not-found"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def test_every_route_is_in_the_table_and_the_table_names_only_routes() -> None:
    app = create_app(Settings())  # fails for a route without an entry
    guard = next(layer for layer in app.user_middleware if layer.cls is Guard)
    assert {route.name for route in guard.kwargs["routes"]} == set(ACCESS)
    assert [path for path in OPEN if path.startswith("/v1")] == []


def test_a_route_that_nobody_decided_about_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "service.api.access.scopes.ACCESS", {n: a for n, a in ACCESS.items() if n != "generate"}
    )
    with pytest.raises(LookupError, match=r"scopes\.py.*generate"):
        create_app(Settings())


@pytest.mark.parametrize("path", [*OPEN, "/docs", "/openapi.json"])
def test_open_to_everybody(guarded: Guarded, path: str) -> None:
    assert guarded.get(filled(path)).status_code == 200
    assert guarded.get(filled(path), "expired").status_code == 200


@pytest.mark.parametrize(("method", "path", "need"), NEEDS)
def test_closed_to_who_has_no_key(guarded: Guarded, method: str, path: str, need: str) -> None:
    response = guarded.request(method, filled(path, "nope"))
    assert problem(response, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    assert "ratelimit" not in response.headers


@pytest.mark.parametrize(("method", "path", "need"), NEEDS)
def test_each_scope_opens_what_it_is_for(guarded: Guarded, method: str, path: str, need: str) -> None:
    # What an admin may do is not done to the model that all tests share.
    there = filled(path, "nope") if need == "admin" else filled(path)
    for scope in SCOPES:
        response = guarded.request(method, there, scope)
        if need in (scope, "any key"):
            assert response.status_code not in (401, 403), response.text
        else:
            body = problem(response, "forbidden")
            assert body["scope"] == need
            assert repr(need) in body["detail"]
            assert f'scope="{need}"' in response.headers["www-authenticate"]


def test_head_is_guarded_as_get_is(guarded: Guarded) -> None:
    path = "/v1/models/toy/images/1.png"
    assert guarded.request("HEAD", path).status_code == 401
    assert guarded.request("HEAD", path, "jobs").status_code == 403
    assert guarded.request("HEAD", path, "generate").status_code == 200


def test_what_is_not_there_is_not_there_for_anybody(guarded: Guarded) -> None:
    for key in (None, "generate"):
        problem(guarded.get("/v1/nothing", key), "not-found")
        problem(guarded.request("DELETE", "/v1/models", key), "method-not-allowed")


def test_a_key_arrives_either_way(guarded: Guarded) -> None:
    secret = guarded.secrets["generate"]
    for name, value in (
        ("authorization", f"Bearer {secret}"),
        ("authorization", f"bearer  {secret}"),
        ("x-api-key", secret),
    ):
        assert guarded.get("/v1/models", **{name: value}).status_code == 200
    both = {"authorization": f"Bearer {secret}", "x-api-key": secret}
    assert guarded.get("/v1/models", **both).status_code == 200
    problem(guarded.get("/v1/models", **{**both, "x-api-key": guarded.secrets["jobs"]}), "unauthenticated")


def test_what_is_no_key(guarded: Guarded) -> None:
    secret = guarded.secrets["generate"]
    for headers in (
        {"authorization": secret},
        {"authorization": f"Basic {secret}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {secret}x"},
        {"x-api-key": secret[:-1]},
        {"x-api-key": secret[:17] + "A" * 43},
        {"x-api-key": "gsk_" + "0" * 12 + "_" + "A" * 43},
        {"cookie": f"x-api-key={secret}"},
    ):
        problem(guarded.get("/v1/models", **headers), "unauthenticated")
    problem(guarded.get(f"/v1/models?x-api-key={secret}&api_key={secret}"), "unauthenticated")
    expired = guarded.get("/v1/models", "expired")
    assert "expired at 2020" in problem(expired, "unauthenticated")["detail"]
    assert expired.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("key", [None, "jobs"])
def test_who_is_refused_is_refused_before_a_body_is_read(guarded: Guarded, key: str | None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", guarded.gateway.port, timeout=5)
    connection.putrequest("POST", "/v1/generate")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(10**9))
    if key is not None:
        connection.putheader("x-api-key", guarded.secrets[key])
    connection.endheaders()  # and no byte of the body
    assert connection.getresponse().status == (401 if key is None else 403)
    connection.close()


def test_a_rate(guarded: Guarded) -> None:
    guarded.add("rated", rate="5/2 seconds")  # asks once, so at most four are left
    time.sleep(2.1)
    for left in (4, 3, 2, 1, 0):
        response = guarded.get("/v1/models", "rated")
        assert response.status_code == 200
        assert response.headers["ratelimit-policy"] == '"calls";q=5;w=2'
        assert response.headers["ratelimit"].startswith(f'"calls";r={left};t=')
    response = guarded.get("/v1/models", "rated")
    body = problem(response, "rate-limited")
    assert (body["limit"], body["window_seconds"]) == (5, 2)
    seconds = int(response.headers["retry-after"])
    assert 1 <= seconds <= 2
    assert guarded.get("/v1/models", "generate").status_code == 200  # another key's calls are another's
    assert guarded.get("/healthz", "rated").status_code == 200
    time.sleep(seconds)
    assert guarded.get("/v1/models", "rated").status_code == 200


def test_a_rate_is_told_beside_problems_too(guarded: Guarded) -> None:
    guarded.add("told", rate="1000/minute")
    response = guarded.request("POST", "/v1/generate", "told", json={"model": "nope", "seeds": [1]})
    assert response.status_code == 404
    assert response.headers["ratelimit-policy"] == '"calls";q=1000;w=60'


def test_calls_at_a_time(guarded: Guarded) -> None:
    guarded.add("narrow", concurrency=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):  # two calls whose bodies do not come
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", guarded.gateway.port)))
            head = POST_HEAD.format(length=100) + f"x-api-key: {guarded.secrets['narrow']}\r\n\r\n"
            connection.sendall(head.encode())
        until(lambda: guarded.get("/v1/models", "narrow").status_code == 429, 5)
        response = guarded.get("/v1/models", "narrow")
        assert problem(response, "too-many-concurrent")["limit"] == 2
        assert response.headers["retry-after"] == "1"
        assert guarded.get("/v1/models", "generate").status_code == 200
    until(lambda: guarded.get("/v1/models", "narrow").status_code == 200, 5)
    for _ in range(5):  # a place is given back, whatever the answer was
        assert guarded.request("POST", "/v1/generate", "narrow", json={}).status_code == 422
        assert guarded.request("POST", "/v1/generate", "narrow", json=GOOD).status_code == 200


def test_a_changed_file_is_taken_up_and_drops_no_request(guarded: Guarded) -> None:
    guarded.add("brief")
    with socket.create_connection(("127.0.0.1", guarded.gateway.port), timeout=30) as connection:
        body = json.dumps(GOOD).encode()
        head = POST_HEAD.format(length=len(body)) + f"x-api-key: {guarded.secrets['brief']}\r\n\r\n"
        connection.sendall(head.encode())
        until(lambda: guarded.get("/v1/models", "brief").status_code == 200, 5)
        revoke_key(guarded.file, "brief")
        until(lambda: guarded.get("/v1/models", "brief").status_code == 401, 5)
        connection.sendall(body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_broken_file_changes_nothing(guarded: Guarded) -> None:
    good = guarded.file.read_bytes()
    try:
        guarded.file.write_text('{"keys": [')
        until(lambda: "the keys stay as they were" in guarded.gateway.log(), 5)
        assert guarded.get("/v1/models", "generate").status_code == 200
        guarded.file.unlink()
        until(lambda: "No such file" in guarded.gateway.log(), 5)
        assert guarded.get("/v1/models", "generate").status_code == 200
        problem(guarded.get("/v1/models"), "unauthenticated")
        time.sleep(0.4)
        assert guarded.gateway.log().count("No such file") == 1
    finally:
        guarded.file.write_bytes(good)
    guarded.add("after")


def test_who_called_is_logged_and_counted_and_no_secret_is(guarded: Guarded) -> None:
    secret = guarded.secrets["generate"]
    guarded.request("POST", "/v1/generate", "generate", json=GOOD)
    guarded.get(f"/v1/models/{secret}", "generate")
    guarded.get(f"/{secret}?key={secret}", **{"user-agent": secret, "cookie": secret, "referer": secret})
    guarded.get("/v1/models", **{"x-request-id": secret, "x-api-key": secret})
    guarded.get("/v1/models", "generate", origin=secret, host="localhost")
    guarded.request("POST", "/v1/generate", "generate", json={"model": secret, "seeds": [1]})
    guarded.request("POST", "/v1/generate", "generate", content=secret.encode())
    for request in (
        f"GET /{secret} HTTP/1.1\r\nhost: {secret}\r\n\r\n",
        f"{secret} / HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\n{secret}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", guarded.gateway.port), timeout=5) as connection:
            connection.sendall(request.encode())
            connection.recv(1 << 16)
    metrics = guarded.get("/metrics").text
    assert 'ganserve_calls_total{caller="generate",outcome="ok"}' in metrics
    assert 'outcome="unauthenticated"' in metrics
    log = guarded.gateway.log()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line.get("caller") == "generate" and line.get("operation") == "generate" for line in lines)
    for text in (log, metrics):
        assert secret[:17] in text or text is metrics  # its id may be told, and is
        for name, one in guarded.secrets.items():
            assert one[17:] not in text, name
            assert one[17:30] not in text, name


def test_a_file_that_is_broken_at_the_start_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": [{"name": "web"}]}')
    serve = (
        "-c",
        "from service.server import serve; from service.settings import Settings; serve(Settings())",
    )
    cli = ("-m", "service.cli", "gateway")
    for name, value, said, command, code in (
        ("KEYS_FILE", str(file), "keys.0.id", cli, 1),
        ("HOST", "0.0.0.0", "GANSERVE_ALLOW_OPEN=yes-serve-anyone", serve, 2),
        ("RATE_LIMIT_STORAGE", "memcached://:pass-word@x", "GANSERVE_RATE_LIMIT_STORAGE", cli, 1),
    ):
        result = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, f"GANSERVE_{name}": value},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == code
        assert said in result.stderr
        assert "Traceback" not in result.stderr
        assert "pass-word" not in result.stderr


def test_without_keys_an_address_can_have_a_rate(
    triton: TritonProcess, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    gateway = start_gateway(triton.grpc_url, anonymous_rate="2/minute")
    with gateway.client() as client:
        for _ in range(2):
            assert client.get("/v1/models").status_code in (200, 503)
        assert problem(client.get("/v1/models"), "rate-limited")["limit"] == 2
        assert client.get("/healthz").status_code == 200


def test_metrics_can_be_closed(
    triton: TritonProcess, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    secrets = {scope: create_key(tmp_path / "keys.json", scope, [scope]) for scope in ("admin", "jobs")}
    gateway = start_gateway(triton.grpc_url, keys_file=tmp_path / "keys.json", open_metrics=False)
    with gateway.client() as client:
        problem(client.get("/metrics"), "unauthenticated")
        problem(client.get("/metrics", headers={"x-api-key": secrets["jobs"]}), "forbidden")
        assert client.get("/metrics", headers={"x-api-key": secrets["admin"]}).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_a_key_can_be_asked_what_it_may_do(guarded: Guarded, triton: TritonProcess, tmp_path: Path) -> None:
    for scope in SCOPES:
        response = guarded.get("/v1/key", scope)
        assert response.json() == {"name": scope, "scopes": [scope]}
        assert response.headers["cache-control"] == "no-store"
    guarded.add("two", "jobs", "generate")
    assert guarded.get("/v1/key", "two").json()["scopes"] == ["generate", "jobs"]
    gateway = GatewayProcess(triton.grpc_url, tmp_path / "log")
    try:
        with gateway.client() as client:
            assert client.get("/v1/key").json() == {"name": "anonymous", "scopes": list(SCOPES)}
    finally:
        gateway.close()
