"""Multipart bodies: what is accepted, and what every other one is told."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.triton_process import TritonProcess

URL = "/v1/super-resolution"
FILE = saved(Image.new("RGB", (6, 4), "red"), "PNG")
HEAD = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
MODEL = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nphoto-x4'
END = b"\r\n--b--\r\n"


def post(http: httpx.Client, body: bytes, content_type: str = "multipart/form-data; boundary=b", **more: Any):
    return http.post(URL, content=body, headers={"content-type": content_type, **more})


def part(name: str, value: bytes, *headers: bytes) -> bytes:
    lines = [b'Content-Disposition: form-data; name="' + name.encode() + b'"', *headers]
    return b"\r\n--b\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + value


def test_a_plain_body(http: httpx.Client) -> None:
    answer = post(http, HEAD + FILE + MODEL + END)
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (24, 16)


def test_all_files_together_are_bounded(
    triton: TritonProcess, start_gateway: Callable[..., GatewayProcess]
) -> None:
    body = HEAD + FILE + MODEL + END
    gateway = start_gateway(triton.grpc_url, max_uploads_bytes=len(body) + 10)
    gateway.wait_ready()
    with gateway.client() as http, socket.create_connection(("127.0.0.1", gateway.port)) as other:
        head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n"
        other.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")  # and no body
        deadline = time.monotonic() + 10
        while (answer := post(http, body)).status_code == 200:  # until the other one has been seen
            assert time.monotonic() < deadline
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "/problems/queue-full"
        assert answer.headers["retry-after"] == "2"
        other.close()
        while (answer := post(http, body)).status_code == 503:
            assert time.monotonic() < deadline
        assert answer.status_code == 200, answer.text


def test_fields_in_any_order_and_names_of_files_of_any_kind(http: httpx.Client) -> None:
    for name in (b"../../etc/passwd", b"C:\\\\x\\\\y.png", b"", b"\xff\xfe", b"a" * 900, b"x\x00.png"):
        head = b'\r\n--b\r\nContent-Disposition: form-data; name="image"; filename="' + name + b'"\r\n\r\n'
        answer = post(http, MODEL[2:] + head + FILE + END)
        assert answer.status_code == 200, (name, answer.text)
    answer = post(http, MODEL[2:] + part("image", FILE, b"Content-Type: text/html", b"X-Other: 1") + END)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("image", MODEL[2:] + END),
        ("model", HEAD + FILE + END),
        ("image", HEAD + FILE + MODEL + part("image", FILE) + END),
        ("model", HEAD + FILE + MODEL + MODEL + END),
        ("size", HEAD + FILE + MODEL + part("size", b"4") + END),
        ("scale", HEAD + FILE + MODEL + part("scale", b"four") + END),
        ("scale", HEAD + FILE + MODEL + part("scale", b"nan") + END),
        ("scale", HEAD + FILE + MODEL + part("scale", b"0.5") + END),
        ("scale", HEAD + FILE + MODEL + part("scale", b"4.5") + END),
        ("scale", HEAD + FILE + MODEL + part("scale", b"") + END),
        ("format", HEAD + FILE + MODEL + part("format", b"gif") + END),
        ("quality", HEAD + FILE + MODEL + part("format", b"jpeg") + part("quality", b"0") + END),
        ("quality", HEAD + FILE + MODEL + part("quality", b"90") + END),
        ("keep_exif", HEAD + FILE + MODEL + part("keep_exif", b"perhaps") + END),
        ("frame", HEAD + FILE + MODEL + part("frame", b"-1") + END),
        ("frame", HEAD + FILE + MODEL + part("frame", b"1.5") + END),
        ("background", HEAD + FILE + MODEL + part("background", b"red") + END),
        ("model", HEAD + FILE + part("model", b"\xff\xfe") + END),
        ("model", HEAD + FILE + part("model", b"m" * 5000) + END),
        ("model", HEAD + FILE + part("model", b"m" * 70) + END),
        ("body", HEAD + FILE + MODEL),  # ends early
        ("body", HEAD + FILE + MODEL + b"\r\n--b"),
        ("body", b""),
        ("body", b"--b--\r\n"[:3]),
        ("body", b"hello"),
        ("body", b"--b\r\nContent-Disposition: form-data\r\n\r\nx" + END),
        ("body", b'--b\r\nContent-Disposition: attachment; name="image"\r\n\r\nx' + END),
        ("body", b"--b\r\n\r\nx" + END),
        ("body", HEAD[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\nAAAA" + MODEL + END),
        ("body", HEAD[:-2] + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n" + FILE + MODEL + END),
        ("body", HEAD[:-2] + b"X: y\r\n" * 3000 + b"\r\n" + FILE + MODEL + END),
        ("body", HEAD[:-2] + b"no colon\r\n\r\n" + FILE + MODEL + END),
    ],
)
def test_what_is_not_valid_is_named(http: httpx.Client, field: str, body: bytes) -> None:
    answer = post(http, body)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "/problems/invalid-request"), problem
    assert [error["field"] for error in problem["errors"]] == [field], problem
    assert all(error["accepted"] for error in problem["errors"])


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "image/png", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b"],
)
def test_other_types_of_body(http: httpx.Client, content_type: str) -> None:
    answer = post(http, HEAD + FILE + MODEL + END, content_type)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert answer.json()["accepted"] == ["multipart/form-data"]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "b" * 71])
def test_no_usable_boundary(http: httpx.Client, content_type: str) -> None:
    answer = post(http, HEAD + FILE + MODEL + END, content_type)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")


def test_compressed_bodies_are_refused(http: httpx.Client) -> None:
    answer = post(http, HEAD + FILE + MODEL + END, **{"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["accepted"]) == (415, ["identity"])


def test_accept(http: httpx.Client) -> None:
    answer = post(http, HEAD + FILE + MODEL + END, accept="application/json")
    assert (answer.status_code, answer.json()["type"]) == (406, "/problems/not-acceptable")


def test_a_model_of_another_kind(http: httpx.Client) -> None:
    for model in ("toy", "sketch-to-emoji"):
        answer = post(http, HEAD + FILE + part("model", model.encode()) + END)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/wrong-model-kind")
        assert "photo-x4" in answer.json()["accepted"]
    answer = post(http, HEAD + FILE + part("model", b"nobody") + END)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/model-not-found")


@pytest.mark.parametrize(
    ("call", "model"), [("super-resolution", "photo-x4"), ("translate", "sketch-to-emoji")]
)
def test_the_deadline_grows_with_the_image(
    start_gateway: Callable[..., GatewayProcess], triton: TritonProcess, call: str, model: str
) -> None:
    file = saved(Image.fromarray(np.full((96, 96, 3), 200, np.uint8)), "PNG")
    for growth, status in ((0, 504), (6000, 200)):  # by 55 s
        gateway = start_gateway(
            triton.grpc_url, default_deadline_seconds=0.0001, deadline_seconds_per_megapixel=growth
        )
        gateway.wait_ready()
        with gateway.client() as http:
            fields = {"model": model} if call == "super-resolution" else {"model": model, "fit": "pad"}
            answer = http.post(f"/v1/{call}", files={"image": file}, data=fields)
            assert answer.status_code == status


def test_limits(start_gateway: Callable[..., GatewayProcess], triton: TritonProcess) -> None:
    gateway = start_gateway(
        triton.grpc_url,
        max_upload_bytes=40_000,
        upload_timeout_seconds=1,
        max_image_pixels=5000,
        max_output_pixels=20_000,
        max_webp_pixels=10_000,
        max_body_bytes=1000,
    )
    gateway.wait_ready()
    with gateway.client() as http:

        def sent(pixels: np.ndarray, **fields: str) -> tuple[int, dict[str, Any]]:
            file = saved(Image.fromarray(pixels), "PNG")
            answer = http.post(URL, files={"image": file}, data={"model": "photo-x4", **fields})
            return answer.status_code, answer.json() if answer.status_code != 200 else {}

        noise = np.random.RandomState(0).randint(0, 256, (30, 40, 3), dtype=np.uint8)
        assert sent(noise)[0] == 200  # larger than `max_body_bytes`
        status, problem = sent(np.zeros((36, 35, 3), np.uint8))
        assert (status, problem["type"], problem["limit_pixels"]) == (
            422,
            "/problems/output-too-large",
            20_000,
        )
        assert sent(np.zeros((36, 35, 3), np.uint8), scale="3.9")[0] == 200
        status, problem = sent(np.zeros((36, 35, 3), np.uint8), scale="3", format="webp")
        assert (status, problem["type"], problem["limit_pixels"]) == (
            422,
            "/problems/output-too-large",
            10_000,
        )
        status, problem = sent(np.zeros((72, 70, 3), np.uint8), scale="1")
        assert (status, problem["type"], problem["limit_pixels"]) == (413, "/problems/image-too-large", 5000)
        large = HEAD + bytes(50_000) + MODEL + END
        for body in (large, iter([large])):  # with a Content-Length, and without one
            answer = post(http, body)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
            assert answer.json()["limit_bytes"] == 40_000

    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        lines = [
            f"POST {URL} HTTP/1.1",
            f"host: 127.0.0.1:{gateway.port}",
            "content-type: multipart/form-data; boundary=b",
            "content-length: 999",
        ]
        slow.sendall("\r\n".join([*lines, "", ""]).encode() + HEAD)
        slow.settimeout(10)
        began = time.monotonic()
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 5


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.binary(max_size=12)), max_size=4),
    content_type=st.sampled_from(["multipart/form-data; boundary=b", 'multipart/form-data; boundary="b"']),
)
def test_damaged_bodies_are_the_client_s_fault(
    http: httpx.Client, cuts: list[tuple[int, int, bytes]], content_type: str
) -> None:
    body = HEAD + FILE + MODEL + part("scale", b"2") + END
    for place, length, instead in cuts:
        body = body[:place] + instead + body[place + length :]
    answer = post(http, body, content_type)
    assert answer.status_code in (200, 404, 413, 415, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
