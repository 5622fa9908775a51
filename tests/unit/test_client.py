"""The client, against answers as the HTTP contract has them."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.client import (
    AsyncClient,
    Client,
    Latent,
    ProblemError,
    Styles,
    UnexpectedAnswerError,
    UnreachableError,
)

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
FILE = {
    "content-type": "image/webp",
    "x-model-digest": "d" * 64,
    "x-pixels-sha256": "p" * 64,
    "x-image-size": "40x30",
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

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("asyncio.sleep", sleep)
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
    assert "prefer" not in requests[0].headers
    assert [(image.seed, image.bytes, image.media_type) for image in images] == [
        (7, b"\x07", "image/png"),
        (8, b"\x08", "image/png"),
    ]
    assert images[0].pixels_sha256 == f"{7:064}"
    assert images[0].model_digest == "d" * 64


def test_image_reads_what_the_headers_say() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (
            request.url.raw_path
            == b"/v1/models/a%2Fb/images/7.jpg?noise=none&edits=d-1%3A2.5%2Cd-2%3A-1&quality=80"
        )
        headers = {"content-type": "image/jpeg", "x-pixels-sha256": "p", "x-model-digest": "d"}
        return httpx.Response(200, content=b"jpeg", headers=headers)

    image = connect(handler).image(
        "a/b", 7, noise="none", format="jpeg", quality=80, edits={"d-1": 2.5, "d-2": -1}
    )
    assert (image.bytes, image.media_type, image.pixels_sha256) == (b"jpeg", "image/jpeg", "p")


def test_a_sheet_is_asked_for_as_an_image() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"] == "image/webp"
        return httpx.Response(200, content=b"sheet", headers=FILE)

    file = connect(handler).sheet("toy", [1, 2], format="webp", captions=True)
    assert (file.bytes, file.media_type, file.width, file.height) == (b"sheet", "image/webp", 40, 30)


def test_a_problem_becomes_an_exception_with_its_fields() -> None:
    with pytest.raises(ProblemError) as caught:
        connect(lambda _: httpx.Response(422, json=PROBLEM)).models()
    assert str(caught.value) == "Not valid. seeds.0: too small (accepted: 0 to 9)"
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


def test_no_answer_names_the_url_at_once(pauses: list[float]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(UnreachableError, match=r"no answer from http://ganserve\.test: refused"):
        connect(handler).models()
    assert pauses == []


def test_a_key_is_sent_and_never_shown() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer gsk_secret"
        return httpx.Response(200, json={"data": []})

    with Client(key="gsk_secret", transport=httpx.MockTransport(answer)) as client:
        assert client.models() == []
        assert "gsk_secret" not in repr(client)


def test_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"data": []})

    monkeypatch.setenv("GANSERVE_API_KEY", "gsk_environment\n")
    for options in ({}, {"key": "gsk_given"}, {"key": ""}):
        connect(answer, **options).models()
    assert seen == ["Bearer gsk_environment", "Bearer gsk_given", None]


@pytest.mark.parametrize("key", ["gsk_\nsecret", "gsk_sécret", "gsk_ secret"])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the API key") as caught:
        Client(key=key)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8080", "http://", "http://x:abc", "ftp://host", ""])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=r"does not start with http:// or https://"):
        Client(url)


def test_latents_of_every_kind() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    styles = Styles.from_array(array)
    sent = {}

    def handler(request: httpx.Request) -> httpx.Response:
        sent.update(json.loads(request.content))
        item = {"ws": styles.base64(), "seed": 7}
        return httpx.Response(200, json={"ws_shape": [2, 3], "data": [item, {"ws": styles.base64()}]})

    sources = [7, styles, Latent(seed=8, truncation=0.5, edits={"d": 1.5}, label="cat"), Latent(ws=styles)]
    seven, other = connect(handler).latents("toy", sources, operation="walk", steps=2, loop=True)
    assert sent["latents"] == [
        7,
        {"ws": styles.base64()},
        {"seed": 8, "truncation": 0.5, "label": "cat", "edits": {"d": 1.5}},
        {"ws": styles.base64()},
    ]
    assert (sent["operation"], sent["steps"], sent["loop"]) == ("walk", 2, True)
    assert (seven.seed, other.seed) == (7, None)
    np.testing.assert_array_equal(seven.array(), array)
    with pytest.raises(ValueError, match="num_ws"):
        Styles.from_array(array.ravel())


@pytest.mark.parametrize("kind", ["bytes", "path", "text", "file", "pillow"])
def test_images_are_sent_from_anything(kind: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (3, 2), "red")
    path = tmp_path / "red.png"
    picture.save(path)
    sources = {"bytes": path.read_bytes(), "path": path, "text": str(path), "pillow": picture}
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        busy = len(bodies) == 1  # the second attempt must send the image again
        return (
            httpx.Response(503, headers={"retry-after": "0"}) if busy else httpx.Response(200, headers=FILE)
        )

    with path.open("rb") as file:
        file = connect(handler).upscale("x4", sources.get(kind, file), scale=2.5, keep_exif=True)
    assert len(bodies) == 2
    start = bodies[1].index(b"\x89PNG")
    end = bodies[1].index(b"\r\n--", start)
    assert Image.open(io.BytesIO(bodies[1][start:end])).size == (3, 2)
    for name, value in (("model", "x4"), ("scale", "2.5"), ("keep_exif", "true"), ("format", "png")):
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in bodies[1]
    assert b"quality" not in bodies[1]
    assert (file.width, file.height) == (40, 30)


def test_how_long_the_server_may_take() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["prefer"] == "wait=121"
        assert request.extensions["timeout"]["read"] == 126
        assert request.extensions["timeout"]["connect"] == 60
        return httpx.Response(200, headers=FILE)

    assert connect(handler).translate("toy", b"", fit="pad", wait=120.5).bytes == b""


def test_an_image_without_a_deadline_is_waited_for_as_long_as_the_server_may_take() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "prefer" not in request.headers
        assert request.extensions["timeout"]["read"] == 605
        return httpx.Response(200, headers=FILE)

    assert connect(handler).upscale("toy", b"").bytes == b""


def test_a_date_to_retry_after(pauses: list[float]) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=9), usegmt=True)
    answers = iter(
        [httpx.Response(503, headers={"retry-after": date}), httpx.Response(200, json={"data": []})]
    )
    connect(lambda _: next(answers)).models()
    (pause,) = pauses
    assert 7 <= pause <= 9.1


def test_a_broken_connection_is_made_anew(pauses: list[float]) -> None:
    answers = iter(
        [httpx.RemoteProtocolError("gone"), httpx.ReadError("gone"), httpx.Response(200, json=ANSWER)]
    )

    def handler(request: httpx.Request) -> httpx.Response:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert len(connect(handler).generate("toy", [7, 8])) == 2
    assert [int(2 * pause) for pause in pauses] == [1, 2]


def test_unloading_is_not_repeated_blindly(pauses: list[float]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    with pytest.raises(UnreachableError):
        connect(handler).unload("toy")
    assert pauses == []


def test_slowness_is_not_asked_for_twice(pauses: list[float]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with pytest.raises(UnreachableError, match="slow"):
        connect(handler).generate("toy", [1])
    assert pauses == []


def test_a_restart_is_waited_out_but_nobody_is_not_waited_for(pauses: list[float]) -> None:
    answers = iter(["here", "away", "here", "away", "away"])

    def handler(request: httpx.Request) -> httpx.Response:
        if next(answers, "away") == "away":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"data": []})

    client = connect(handler, retry_seconds=1)
    client.models()
    assert client.models() == []
    assert len(pauses) == 1
    with pytest.raises(UnreachableError):
        client.models()
    assert len(pauses) == 2  # half a second fits, the next second does not


def test_something_else_at_the_url_is_said() -> None:
    with pytest.raises(UnexpectedAnswerError, match="did not answer as a ganserve does"):
        connect(lambda _: httpx.Response(200, text="<html>")).models()
    with pytest.raises(UnexpectedAnswerError):
        connect(lambda _: httpx.Response(200, text="<html>")).image("toy", 7)


FRAMES = b"".join(
    f"id: {i}\r\nevent: frame\r\ndata: {json.dumps({**ANSWER['data'][0], 'index': i, 'frames': 2})}\r\n"
    "\r\n".encode()
    for i in range(2)
)
DONE = b': a comment\n\nevent: done\ndata: {"frames": 2}\n\n'
ERROR = b"event: error\ndata: " + json.dumps({**PROBLEM, "status": 504}).encode() + b"\n\n"


def in_pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_arrive_one_by_one(size: int) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"] == "text/event-stream"
        return httpx.Response(
            200, content=iter(in_pieces(FRAMES + DONE, size)), headers={"x-model-digest": "d"}
        )

    frames = list(connect(handler).interpolate_frames("toy", [1, 2], frames=2))
    assert [(frame.index, frame.frames, frame.bytes, frame.model_digest) for frame in frames] == [
        (0, 2, b"\x07", "d"),
        (1, 2, b"\x07", "d"),
    ]


@pytest.mark.parametrize(
    ("end", "error", "match"),
    [
        (b"", UnreachableError, "ended early"),
        (ERROR, ProblemError, "Not valid"),
        (b"event: frame\ndata: {}\n\n", UnexpectedAnswerError, "b64_json"),
    ],
)
def test_a_stream_that_ends_badly_says_so(end: bytes, error: type[Exception], match: str) -> None:
    stream = connect(lambda _: httpx.Response(200, content=iter([FRAMES + end]))).interpolate_frames(
        "toy", [1, 2]
    )
    assert [next(stream).index, next(stream).index] == [0, 1]
    with pytest.raises(error, match=match):
        next(stream)


def connect_async(handler: Handler) -> AsyncClient:
    return AsyncClient("http://ganserve.test/", transport=httpx.MockTransport(handler))


def test_the_asynchronous_client_does_the_same(pauses: list[float]) -> None:
    async def pieces():
        yield FRAMES
        yield DONE

    answers = iter(
        [
            httpx.Response(503, headers={"retry-after": "3"}),
            httpx.Response(200, json=ANSWER),
            httpx.Response(422, json=PROBLEM),
            httpx.Response(200, content=pieces()),
        ]
    )

    async def use() -> None:
        async with connect_async(lambda _: next(answers)) as client:
            assert len(await client.generate("toy", [7, 8])) == 2
            with pytest.raises(ProblemError, match="too small"):
                await client.models()
            async with aclosing(client.interpolate_frames("toy", [1, 2])) as frames:
                assert [frame.index async for frame in frames] == [0, 1]

    asyncio.run(use())
    (pause,) = pauses
    assert 3 <= pause <= 3.1


def test_both_clients_have_the_same_calls() -> None:
    def calls(client: type) -> dict[str, inspect.Signature]:
        members = vars(client).items()
        return {name: inspect.signature(call) for name, call in members if hasattr(call, "__wrapped__")}

    assert calls(Client) == calls(AsyncClient)
    assert list(calls(Client)["model"].parameters) == ["self", "name"]
    assert Client.generate.__doc__.startswith("One image for each")


def test_the_client_needs_the_base_dependencies_alone() -> None:
    heavy = {"fastapi", "tritonclient", "pydantic", "numpy", "PIL", "typer", "starlette"}
    code = f"import sys, service.client; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_file_is_saved_whole(tmp_path: Path) -> None:
    (image, _) = connect(lambda _: httpx.Response(200, json=ANSWER)).generate("toy", [7, 8])
    image.save(tmp_path / "7.png")
    assert (tmp_path / "7.png").read_bytes() == b"\x07"
    assert "bytes" not in repr(image)
