import gzip
import http.client
import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from service.api.errors.problems import PROBLEMS
from tests.gateway_process import GatewayProcess

GOOD = {"model": "toy", "seeds": [1]}


def problem(response: httpx.Response, slug: str) -> dict:
    """Checks what every problem has, and returns it."""
    expected = PROBLEMS[slug]
    assert response.status_code == expected.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert "server-timing" in response.headers
    body = response.json()
    assert body["type"] == f"/problems/{slug}"
    assert (body["title"], body["status"]) == (expected.title, expected.status)
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["instance"] == response.request.url.path
    assert "Traceback" not in response.text
    return body


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/models/", "/v1/generate/", "/v2/x", "/redoc", "/v1/models/toy/images/1"]
)
def test_not_found(http: httpx.Client, path: str) -> None:
    problem(http.get(path), "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/models/toy", "GET, HEAD"),
        ("GET", "/v1/generate", "POST"),
        ("HEAD", "/v1/generate", "POST"),
        ("POST", "/v1/models/toy/images/1.png", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PATCH", "/v1/jobs/job_1", "DELETE, GET, HEAD"),
    ],
)
def test_method_not_allowed(http: httpx.Client, method: str, path: str, allow: str) -> None:
    response = http.request(method, path)
    assert response.headers["allow"] == allow
    if method == "HEAD":
        assert response.status_code == 405
    else:
        assert problem(response, "method-not-allowed")["accepted"] == allow.split(", ")


def test_unknown_model(http: httpx.Client) -> None:
    for response in (
        http.post("/v1/generate", json={"model": "nope", "seeds": [1]}),
        http.get("/v1/models/nope"),
        http.get("/v1/models/nope/images/1.png"),
        http.get("/v1/models/toy-mapping"),
    ):
        body = problem(response, "model-not-found")
        assert body["field"] == "model"
        assert "toy" in body["accepted"]


@pytest.mark.parametrize(
    ("accept", "extra"),
    [("text/html", {}), ("video/*", {}), ("image/webp", {"format": "png"}), ("image/gif", {})],
)
def test_not_acceptable(http: httpx.Client, accept: str, extra: dict) -> None:
    body = problem(
        http.post("/v1/generate", json={**GOOD, **extra}, headers={"accept": accept}), "not-acceptable"
    )
    assert "application/json" in body["accepted"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1", "json"],
)
def test_unsupported_media_type(http: httpx.Client, content_type: str) -> None:
    response = http.post("/v1/generate", content=json.dumps(GOOD), headers={"content-type": content_type})
    assert problem(response, "unsupported-media-type")["accepted"] == ["application/json"]


@pytest.mark.parametrize("content_type", ["application/json", 'Application/JSON; charset="UTF-8"'])
def test_supported_media_type(http: httpx.Client, content_type: str) -> None:
    response = http.post("/v1/generate", content=json.dumps(GOOD), headers={"content-type": content_type})
    assert response.status_code == 200


def test_a_compressed_body_is_not_read(http: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = http.post("/v1/generate", content=gzip.compress(json.dumps(GOOD).encode()), headers=headers)
    assert problem(response, "unsupported-media-type")["accepted"] == ["identity"]
    headers["content-encoding"] = "identity"
    assert http.post("/v1/generate", content=json.dumps(GOOD), headers=headers).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": "toy"}', b"\xff\xfe", b"[" * 5000])
def test_body_that_is_no_request(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/generate", content=body, headers={"content-type": "application/json"})
    assert problem(response, "invalid-request")["errors"][0]["accepted"]


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"seeds": [-1]}, "seeds.0"),
        ({"truncation": 9}, "truncation"),
        ({"truncation_cutoff": 5}, "truncation_cutoff"),
        ({"noise": "loud"}, "noise"),
        ({"label": 0}, "label"),
        ({"quality": 50}, "quality"),
        ({"quality": 0, "format": "jpeg"}, "quality"),
        ({"edits": {"age": 1}}, "edits.age"),
        ({"edits": {"age": 1000}}, "edits.age"),
        ({"captions": True}, "captions"),
        ({"ws": []}, "ws"),
    ],
)
def test_invalid_field(http: httpx.Client, extra: dict, field: str) -> None:
    (error,) = problem(http.post("/v1/generate", json={**GOOD, **extra}), "invalid-request")["errors"]
    assert error["field"] == field
    assert error["detail"]
    assert error["accepted"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/models/toy/images/4294967296.png", "seed"),
        ("/v1/models/toy/images/-1.png", "seed"),
        ("/v1/models/toy/images/x.png", "seed"),
        ("/v1/models/toy/images/007.png", "seed"),
        ("/v1/models/toy/images/+7.png", "seed"),
        ("/v1/models/toy/images/7.0.png", "seed"),
        ("/v1/models/toy/images/7_0.png", "seed"),
        ("/v1/models/toy/images/%207.png", "seed"),
        ("/v1/models/toy/images/1.gif", "format"),
        ("/v1/models/toy/images/1.png?truncation=x", "truncation"),
        ("/v1/models/toy/images/1.png?truncation=nan", "truncation"),
        ("/v1/models/toy/images/1.png?truncation_cutoff=99", "truncation_cutoff"),
        ("/v1/models/toy/images/1.png?noise=loud", "noise"),
        ("/v1/models/toy/images/1.png?noise=07", "noise"),
        ("/v1/models/toy/images/1.png?truncation=1&truncation=0.5", "truncation"),
        ("/v1/models/toy/images/1.png?digest=abc", "digest"),
        ("/v1/models/toy/images/1.png?quality=50", "quality"),
        ("/v1/models/toy/images/1.png?label=cat", "label"),
        ("/v1/models/toy/images/1.png?trunction=1", "trunction"),
    ],
)
def test_invalid_url(http: httpx.Client, path: str, field: str) -> None:
    (error,) = problem(http.get(path), "invalid-request")["errors"]
    assert error["field"] == field
    assert error["accepted"]


def test_a_megabyte_of_errors_is_answered_in_one_sentence(http: httpx.Client) -> None:
    body = json.dumps({**GOOD, **{f"x{index:x}": 0 for index in range(70_000)}})
    (error,) = problem(
        http.post("/v1/generate", content=body, headers={"content-type": "application/json"}),
        "invalid-request",
    )["errors"]
    assert error["detail"] == "70000 errors"


@pytest.mark.parametrize(
    ("content", "field", "detail"),
    [
        (b'{"model": "toy", "ws": [%s1]}' % (b"[]," * 300_000), "body", "300002 lists and objects"),
        (b'{"model": "toy", "seeds": [%s1]}' % (b"1," * 400_000), "seeds", "10000"),
        (b'{"model": "toy", "ws": [[%s1]]}' % (b"[]," * 300), "ws", "256"),
    ],
)
def test_a_megabyte_of_brackets_holds_nobody_up(
    http: httpx.Client, content: bytes, field: str, detail: str
) -> None:
    response = http.post("/v1/generate", content=content, headers={"content-type": "application/json"})
    errors = problem(response, "invalid-request")["errors"]
    assert all(error["field"].startswith(field) for error in errors)
    assert any(detail in error["detail"] for error in errors)


def test_too_many_images(http: httpx.Client) -> None:
    for body in ({"model": "toy", "seed": 0, "n": 65}, {"model": "toy", "seeds": [0] * 65}):
        found = problem(http.post("/v1/generate", json=body), "too-many-images")
        assert found["limit"] == 64
        assert found["field"] in body


def test_a_body_that_says_it_is_too_large_is_not_read(gateway: GatewayProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.putrequest("POST", "/v1/generate")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(10**9))
    connection.endheaders()  # and no byte of the body
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["limit_bytes"] == 1 << 20
    connection.close()


def test_a_body_without_length_is_counted(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * (1 << 16)

    response = http.post("/v1/generate", content=endless(), headers={"content-type": "application/json"})
    problem(response, "body-too-large")
    assert http.post("/v1/generate", json=GOOD).status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body(gateway: GatewayProcess) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        head = ["POST /v1/generate HTTP/1.1", "host: localhost", "content-type: application/json"]
        connection.sendall("\r\n".join([*head, "content-length: 9", "", "{"]).encode())
    with gateway.client() as client:
        assert client.post("/v1/generate", json=GOOD).status_code == 200
    assert "Traceback" not in gateway.log()


def test_every_type_has_a_page(http: httpx.Client) -> None:
    pages = http.get("/problems").json()["data"]
    assert {page["type"] for page in pages} == {f"/problems/{slug}" for slug in PROBLEMS}
    for page in pages:
        assert http.get(page["type"]).json() == page
    problem(http.get("/problems/nope"), "not-found")
