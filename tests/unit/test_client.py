"""The client, against answers as the HTTP contract has them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import httpx
import pytest

from service import client as client_module
from service.client import Client, ProblemError, UnreachableError

Handler = Callable[[httpx.Request], httpx.Response]

ANSWER = {
    "created": 1,
    "model": "toy",
    "model_digest": "d" * 64,
    "data": [
        {
            "seed": seed,
            "b64_json": base64.b64encode(bytes([seed])).decode(),
            "pixels_sha256": f"{seed:064}",
            "width": 16,
            "height": 16,
            "media_type": "image/png",
        }
        for seed in (7, 8)
    ],
}
PROBLEM = {
    "type": "/problems/validation",
    "title": "Not valid",
    "status": 422,
    "detail": "The body is not valid.",
    "errors": [{"field": "seeds.0", "detail": "too small", "accepted": "0 to 9"}],
}


def connect(handler: Handler, **options: float) -> Client:
    return Client("http://ganserve.test/", transport=httpx.MockTransport(handler), **options)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", slept.append)
    return slept


def test_generate_sends_the_recipe_and_decodes_the_images() -> None:
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=ANSWER)

    images = connect(handler).generate("toy", range(7, 9), truncation=0.7, noise=5)
    assert requests[0].url == "http://ganserve.test/v1/generate"
    assert json.loads(requests[0].content) == {
        "model": "toy",
        "seeds": [7, 8],
        "truncation": 0.7,
        "noise": 5,
        "format": "png",
    }
    assert [(image.seed, image.bytes, image.media_type) for image in images] == [
        (7, b"\x07", "image/png"),
        (8, b"\x08", "image/png"),
    ]
    assert images[0].pixels_sha256 == f"{7:064}"
    assert images[0].model_digest == "d" * 64


def test_image_reads_what_the_headers_say() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/v1/models/a%2Fb/images/7.jpg?truncation=1.0&noise=none&quality=80"
        headers = {"content-type": "image/jpeg", "x-pixels-sha256": "p", "x-model-digest": "d"}
        return httpx.Response(200, content=b"jpeg", headers=headers)

    image = connect(handler).image("a/b", 7, noise="none", format="jpeg", quality=80)
    assert (image.bytes, image.media_type, image.pixels_sha256) == (b"jpeg", "image/jpeg", "p")


def test_a_sheet_is_asked_for_as_an_image() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"] == "image/webp"
        return httpx.Response(200, content=b"sheet")

    assert connect(handler).sheet("toy", [1, 2], format="webp") == b"sheet"


def test_a_problem_becomes_an_exception_with_its_fields() -> None:
    with pytest.raises(ProblemError) as caught:
        connect(lambda _: httpx.Response(422, json=PROBLEM)).models()
    assert str(caught.value) == "Not valid. The body is not valid. seeds.0: too small"
    assert (caught.value.status, caught.value.type) == (422, "/problems/validation")


def test_an_answer_that_is_no_problem_document_is_reported_too() -> None:
    with pytest.raises(ProblemError, match="HTTP 502 Bad Gateway"):
        connect(lambda _: httpx.Response(502, text="<html>")).model("toy")


@pytest.mark.parametrize("status", [429, 503])
def test_overload_is_waited_out_as_retry_after_says(status: int, pauses: list[float]) -> None:
    answers = iter([httpx.Response(status, headers={"retry-after": "3"}), httpx.Response(200, json=ANSWER)])
    assert len(connect(lambda _: next(answers)).generate("toy", [7, 8])) == 2
    (pause,) = pauses
    assert 3 <= pause <= 3.1


def test_waiting_is_bounded(pauses: list[float]) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(503, headers={"retry-after": "20"}, json={"title": "Queue full"})

    start = time.monotonic()
    with pytest.raises(ProblemError, match="Queue full"):
        connect(handler, retry_seconds=10).models()
    assert len(calls) == 1
    assert pauses == []
    assert time.monotonic() - start < 5


def test_other_errors_are_not_repeated(pauses: list[float]) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(504, headers={"retry-after": "1"})

    with pytest.raises(ProblemError):
        connect(handler).models()
    assert len(calls) == 1
    assert pauses == []


def test_no_answer_names_the_url() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(UnreachableError, match=r"no answer from http://ganserve\.test: refused"):
        connect(handler).models()


def test_a_key_is_sent_and_never_shown() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer gsk_secret"
        return httpx.Response(200, json={"data": []})

    with Client(key="gsk_secret", transport=httpx.MockTransport(answer)) as client:
        assert client.models() == []
        assert "gsk_secret" not in repr(client)
