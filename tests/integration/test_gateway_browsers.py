"""What answers tell browsers, and what browsers may do for pages from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.api.access.security_headers import SECURITY_HEADERS
from service.api.routes import problem_pages
from service.app import create_app
from service.settings import Settings
from tests.gateway_process import GatewayProcess
from tests.integration.test_gateway_problems import GOOD, problem
from tests.triton_process import TritonProcess

APP = "https://app.example"
ALIEN = "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}


@pytest.fixture(scope="module")
def friendly(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway whose operator listed an origin, and names of the gateway's own."""
    gateway = GatewayProcess(
        triton.grpc_url,
        tmp_path_factory.mktemp("friendly") / "log",
        cors_origins=APP,
        allowed_hosts="127.0.0.1, api.example, *.inner.example",
        hsts_seconds=60,
    )
    gateway.wait_ready()
    with gateway.client() as client:
        yield client
    gateway.close()


def assert_hardened(response: httpx.Response) -> None:
    for name, value in SECURITY_HEADERS.items():
        if name != "content-security-policy":
            assert response.headers.get_list(name) == [value], name
    (policy,) = response.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "x-request-id" in response.headers
    assert "server" not in response.headers
    assert "x-powered-by" not in response.headers


def test_every_kind_of_answer_is_hardened(http: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/healthz", 200),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/models/toy/images/1.png", 200),
        ("HEAD", "/v1/models/toy/images/1.png", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/models", 405),
        ("OPTIONS", "/v1/models", 405),
    ):
        response = http.request(method, path)
        assert response.status_code == status
        assert_hardened(response)
    assert_hardened(http.post("/v1/generate", json=GOOD))
    assert_hardened(http.post("/v1/generate", json={}))
    assert_hardened(http.get("/docs", headers={"host": "evil.example"}))


def test_what_never_reached_the_application_is_hardened_too(gateway: GatewayProcess) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        head = connection.makefile("rb").read().split(b"\r\n\r\n")[0].decode()
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert_hardened(httpx.Response(400, headers=lines))


def test_strict_transport_only_where_it_is_asked_for(http: httpx.Client, friendly: httpx.Client) -> None:
    assert "strict-transport-security" not in http.get("/healthz").headers
    assert friendly.get("/healthz").headers["strict-transport-security"] == "max-age=60"


@pytest.mark.parametrize("origin", [None, APP])
def test_a_failure_says_nothing_of_itself(monkeypatch: pytest.MonkeyPatch, origin: str | None) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the-inside-of-it")

    monkeypatch.setattr(problem_pages, "_page", fail)
    app = create_app(Settings(cors_origins=(APP,)))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost"
        ) as client:
            return await client.get("/problems", headers={"origin": origin} if origin else {})

    response = asyncio.run(ask())
    problem(response, "internal-error")
    assert_hardened(response)
    for word in ("the-inside-of-it", "RuntimeError", "Traceback", "problem_pages", ".py"):
        assert word not in response.text
    assert response.headers.get("access-control-allow-origin") == origin


def test_cross_origin_reading_is_off(http: httpx.Client) -> None:
    response = http.get("/v1/models", headers={"origin": APP})
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = http.options("/v1/generate", headers={"origin": APP, **PREFLIGHT})
    assert problem(preflight, "method-not-allowed")
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_listed_origin_may_ask_and_read(friendly: httpx.Client) -> None:
    preflight = friendly.options("/v1/generate", headers={"origin": APP, **PREFLIGHT})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == APP
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    assert_hardened(preflight)
    for response in (
        friendly.post("/v1/generate", json=GOOD, headers={"origin": APP, "sec-fetch-site": "cross-site"}),
        friendly.post("/v1/generate", json={}, headers={"origin": APP}),
    ):
        assert response.headers.get_list("access-control-allow-origin") == [APP]
        exposed = response.headers["access-control-expose-headers"]
        assert {"x-model-digest", "x-request-id", "retry-after"} <= set(exposed.split(", "))
        assert "origin" in response.headers["vary"].lower()


def test_another_origin_may_not(friendly: httpx.Client) -> None:
    preflight = friendly.options("/v1/generate", headers={"origin": ALIEN, **PREFLIGHT})
    assert "access-control-allow-origin" not in preflight.headers
    problem(preflight, "cross-origin")
    for headers in (
        {"access-control-request-method": "PATCH"},
        {**PREFLIGHT, "access-control-request-headers": "x"},
    ):
        problem(friendly.options("/v1/generate", headers={"origin": APP, **headers}), "cross-origin")
    response = friendly.get("/v1/models", headers={"origin": ALIEN})
    assert "access-control-allow-origin" not in response.headers
    assert "origin" in response.headers["vary"].lower()  # for the sake of caches
    problem(friendly.post("/v1/generate", json=GOOD, headers={"origin": ALIEN}), "cross-origin")


def test_all_origins(triton: TritonProcess, start_gateway: Callable[..., GatewayProcess]) -> None:
    with start_gateway(triton.grpc_url, cors_origins="*").client() as client:
        response = client.get("/problems", headers={"origin": ALIEN})
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "access-control-allow-credentials" not in response.headers
        assert client.options("/v1/generate", headers={"origin": ALIEN, **PREFLIGHT}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),  # no browser
        ({"origin": ALIEN}, False),
        ({"origin": ALIEN, "sec-fetch-site": "cross-site"}, False),
        ({"origin": ALIEN, "sec-fetch-site": "same-site"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://localhost:{port}", "sec-fetch-site": "same-site"}, False),  # not 127.0.0.1
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": "http://127.0.0.1:{port}"}, True),
        ({"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"}, True),
    ],
)
def test_a_page_from_elsewhere_sends_nothing_that_does_something(
    gateway: GatewayProcess, http: httpx.Client, headers: dict[str, str], allowed: bool
) -> None:
    given = {name: value.replace("{port}", str(gateway.port)) for name, value in headers.items()}
    response = http.post("/v1/generate", json=GOOD, headers=given)
    if allowed:
        assert response.status_code == 200
    else:
        problem(response, "cross-origin")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8080", "LOCALHOST.", "[::1]:8080", "a.localhost", "127.9.9.9"]
)
def test_names_of_this_machine(http: httpx.Client, host: str) -> None:
    assert http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.0.2.1", "", "127.0.0.1.evil", "0"]
)
def test_a_name_that_was_pointed_at_this_machine(http: httpx.Client, host: str) -> None:
    for path in ("/v1/models", "/metrics", "/docs", "/nowhere"):
        problem(http.get(path, headers={"host": host}), "unknown-host")
    assert http.get("/readyz", headers={"host": host}).status_code == 200  # probes come by address


def test_listed_names(friendly: httpx.Client) -> None:
    for host, status in (
        ("api.example:443", 200),
        ("a.b.inner.example", 200),
        ("inner.example", 421),
        ("localhost", 421),
    ):
        assert friendly.get("/problems", headers={"host": host}).status_code == status


def test_the_page_may_use_its_own_style_and_no_other(http: httpx.Client) -> None:
    response = http.get("/docs")
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]
    assert " style=" not in response.text


def test_the_document_says_which_key_a_call_needs(http: httpx.Client) -> None:
    document: dict[str, Any] = json.loads(http.get("/openapi.json").content)
    schemes = document["components"]["securitySchemes"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == path.startswith("/v1")
            if "security" in operation:
                assert {name for choice in operation["security"] for name in choice} <= set(schemes)
                assert {"401", "429"} <= set(operation["responses"])
                examples = operation["responses"]["429"]["content"]["application/problem+json"]["examples"]
                assert set(examples) >= {"rate-limited", "too-many-concurrent"}
