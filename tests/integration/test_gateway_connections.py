"""Clients that send something else than a request, too much of one, or never the end of it."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from service.api.errors.problems import PROBLEMS
from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess
from tests.up_process import until

POST = b"POST /v1/generate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    log = tmp_path_factory.mktemp("impatient") / "log"
    process = GatewayProcess(triton.grpc_url, log, receive_timeout_seconds=0.5, max_head_bytes=8192)
    process.wait_ready()
    yield process
    process.close()


def exchange(gateway: GatewayProcess, *pieces: bytes) -> bytes:
    """Sends the pieces, and returns all that comes back until the gateway closes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.02)
            while received := connection.recv(1 << 16):
                answer += received
        except ConnectionError:  # closed while there was still something to send or to read
            pass
        return answer


def assert_problem(answer: bytes, slug: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    document = json.loads(body)
    assert status.split()[1] == str(PROBLEMS[slug].status)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["date"]
    assert headers["server-timing"]
    assert int(headers["content-length"]) == len(body)
    assert document["type"] == f"/problems/{slug}"
    assert document["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00 is how TLS begins\r\n\r\n",
        b"BREW /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/models/\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        POST + b"content-length: -5\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_not_http(gateway: GatewayProcess, request_bytes: bytes) -> None:
    assert_problem(exchange(gateway, request_bytes), "malformed-request")


def test_a_head_that_is_too_large_at_once(impatient: GatewayProcess) -> None:
    for head in (b"GET /healthz?" + b"x" * 9000, b"GET /healthz HTTP/1.1\r\nx: " + b"x" * 9000):
        end = b" HTTP/1.1\r\n\r\n" if b"?" in head else b"\r\n\r\n"
        assert_problem(exchange(impatient, head + end), "head-too-large")


def test_a_head_that_never_stops_growing(impatient: GatewayProcess) -> None:
    pieces = [b"GET /healthz HTTP/1.1\r\nx: ", *[b"x" * 4096] * 2]  # and not the end of it
    started = time.monotonic()
    assert_problem(exchange(impatient, *pieces), "head-too-large")
    assert time.monotonic() - started < 0.4  # by its size, not by the clock


def test_a_large_body_is_no_head(impatient: GatewayProcess) -> None:
    with impatient.client() as client:
        body = json.dumps({"model": "toy", "seeds": [1]}) + " " * 100_000
        for _ in range(2):
            answer = client.post("/v1/generate", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 200


def test_a_head_that_stops_coming(impatient: GatewayProcess) -> None:
    started = time.monotonic()
    assert_problem(exchange(impatient, b"GET /healthz HTTP/1.1\r\nhos"), "request-timeout")
    assert 0.4 < time.monotonic() - started < 10
    first = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    answer = exchange(impatient, first, b"GET /heal")  # the second request of a connection
    assert answer.startswith(b"HTTP/1.1 200")
    assert_problem(answer[answer.index(b"HTTP/1.1 408") :], "request-timeout")


def test_a_connection_without_a_request_is_closed_without_an_answer(impatient: GatewayProcess) -> None:
    started = time.monotonic()
    assert exchange(impatient) == b""
    assert 0.4 < time.monotonic() - started < 10


@pytest.mark.parametrize("length", [b"content-length: 50", b"transfer-encoding: chunked"])
def test_a_body_that_stops_coming(impatient: GatewayProcess, length: bytes) -> None:
    started = time.monotonic()
    assert_problem(exchange(impatient, POST + length + b"\r\n\r\n", b'3\r\n{"m'), "request-timeout")
    assert 0.4 < time.monotonic() - started < 10
    with impatient.client() as client:
        metrics = client.get("/metrics").text
    labels = 'fault="client",model="",operation="generate",outcome="request-timeout"'
    assert f"ganserve_requests_total{{{labels}}}" in metrics


def test_a_kept_connection_may_rest(impatient: GatewayProcess) -> None:
    """It is a request that has to arrive in time, not the next one."""
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=10)
    for pause in (0.8, 0):
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b'{"status":"ok"}')
        time.sleep(pause)
        connection.auto_open = 0  # from now on it must be this connection
    connection.close()


@pytest.fixture(scope="module")
def crowded(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    log = tmp_path_factory.mktemp("crowded") / "log"
    process = GatewayProcess(triton.grpc_url, log, send_timeout_seconds=3, max_connections=8)
    process.wait_ready()
    yield process
    process.close()


def ask_for_much(gateway: GatewayProcess, calls: int) -> socket.socket:
    """Asks for raw pixels, more than both sockets can hold, and reads none of them."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    body = json.dumps({"model": "terrain", "seeds": [1] * 64}).encode()
    head = POST + b"accept: application/x-npy\r\n"
    once = head + b"content-length: %d\r\n\r\n" % len(body) + body
    for _ in range(calls):  # each answer has 64 × 64 × 64 × 3 bytes
        connection.sendall(once)
    return connection


def metric(gateway: GatewayProcess, name: str) -> float:
    with gateway.client() as client:
        (line,) = (ln for ln in client.get("/metrics").text.splitlines() if ln.startswith(f"{name} "))
    return float(line.split()[1])


def test_a_client_that_never_reads_loses_its_connection(crowded: GatewayProcess) -> None:
    before = metric(crowded, "ganserve_unread_connections_total")
    with ask_for_much(crowded, 12):
        until(lambda: metric(crowded, "ganserve_connections") >= 2, 10)
        until(lambda: metric(crowded, "ganserve_unread_connections_total") == before + 1, 20)
        until(lambda: metric(crowded, "ganserve_connections") == 1, 10)  # the one that asks
    assert "bytes were not read" in crowded.log()


def test_a_client_that_reads_slowly_gets_all_of_its_answer(crowded: GatewayProcess) -> None:
    before = metric(crowded, "ganserve_unread_connections_total")
    with ask_for_much(crowded, 12) as connection:
        received, started = 0, time.monotonic()
        while received < 12 * 64 * 64 * 64 * 3:
            data = connection.recv(1 << 18)
            assert data
            received += len(data)
            time.sleep(len(data) / 2e6)  # all of it takes longer than the time for which it may read nothing
    assert time.monotonic() - started > 4
    assert metric(crowded, "ganserve_unread_connections_total") == before


def test_one_connection_too_many_is_told_so(crowded: GatewayProcess) -> None:
    request = b"HEAD /v1/models/toy HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(8):
            held.append(stack.enter_context(socket.create_connection(("127.0.0.1", crowded.port), 10)))
            held[-1].sendall(request)
            assert held[-1].recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        answer = exchange(crowded, request.replace(b"HEAD", b"GET"))
        assert_problem(answer, "too-many-connections")
        assert b"\r\nretry-after: 2\r\n" in answer
        for path in ("/healthz", "/readyz", "/metrics"):
            with crowded.client() as client:
                assert client.get(path).status_code == 200
        assert metric(crowded, "ganserve_connections") == 9
        held[0].sendall(request)  # those that were there before are served on
        assert held[0].recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        waiting = stack.enter_context(socket.create_connection(("127.0.0.1", crowded.port), 10))
        for one in held[:2]:
            one.close()
        until(lambda: metric(crowded, "ganserve_connections") == 8, 10)  # with the one that asks
        waiting.sendall(request)  # there is room now
        assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    until(lambda: metric(crowded, "ganserve_connections") == 1, 10)
    with crowded.client() as client:
        text = client.get("/metrics").text
    labels = 'fault="server",model="",operation="other",outcome="too-many-connections"'
    assert f"ganserve_requests_total{{{labels}}} 1.0" in text


def test_a_flood_of_connections_is_closed_unheard(crowded: GatewayProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(8 + 100):
            stack.enter_context(socket.create_connection(("127.0.0.1", crowded.port), 10))
        assert exchange(crowded, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n") == b""
    until(lambda: metric(crowded, "ganserve_connections") == 1, 10)
