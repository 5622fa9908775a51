"""Deliveries to real servers: signatures, what counts as delivered, and what hostile receivers may try."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from service.jobs.addresses import AllowList
from service.jobs.webhook_secrets import checked_webhook_secret, new_webhook_secret
from service.jobs.webhook_targets import (
    WebhookPolicy,
    WebhookRefusedError,
    WebhookSettingError,
    check_webhook_url,
)
from service.jobs.webhooks import (
    Delivered,
    back_off,
    deliver,
    job_event,
    message_id,
    next_wait,
    retry_after_seconds,
)
from service.settings import Settings
from tests.certificates import issue, make_authority
from tests.webhook_receiver import Answer, Receiver, answering

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDED = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
EVENT = job_event("succeeded", ENDED, {"id": "job_01", "name": "Bärenstraße 熊"})

Start = Callable[..., Receiver]


@pytest.fixture
def start() -> Iterator[Start]:
    receivers: list[Receiver] = []

    def begin(answer: Answer | None = None, credentials: ssl.SSLContext | None = None) -> Receiver:
        receivers.append(Receiver(answer or answering(204), credentials))
        return receivers[-1]

    yield begin
    for receiver in receivers:
        receiver.close()


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """An authority's file, and the credentials of a server it calls hooks.example.com."""
    folder = tmp_path_factory.mktemp("webhook-certificates")
    authority = make_authority()
    (folder / "authority.pem").write_text(authority.pem)
    chain, key = issue(
        authority, purpose=ExtendedKeyUsageOID.SERVER_AUTH, hosts=("hooks.example.com", "127.0.0.1")
    )
    (folder / "chain.pem").write_text(chain)
    (folder / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return folder / "authority.pem", context


@pytest.fixture(scope="module")
def policy() -> WebhookPolicy:
    """Lets tests reach their own servers, by http."""
    return WebhookPolicy.of(Settings(webhook_allow="127.0.0.1", webhook_timeout_seconds=5))


def names(**hosts: str | Sequence[str]) -> Callable[[str, int], Any]:
    """A resolver that knows a few names, with `_` for dots."""

    async def resolve(host: str, port: int) -> list[str]:
        found = hosts.get(host.replace(".", "_"), host if host[0].isdigit() else [])
        return [found] if isinstance(found, str) else list(found)

    return resolve


def send(url: str, policy: WebhookPolicy, secret: str = SECRET) -> Delivered:
    return asyncio.run(deliver(url, secret, "msg_01_7", EVENT, policy))


def refusal(url: str, policy: WebhookPolicy) -> WebhookRefusedError:
    with pytest.raises(WebhookRefusedError) as raised:
        asyncio.run(check_webhook_url(url, policy))
    return raised.value


def test_a_receiver_can_verify_what_it_gets(start: Start, policy: WebhookPolicy) -> None:
    receiver = start()
    delivered = send(receiver.url(path="/a%20b?c=d"), policy)
    assert (delivered.outcome, delivered.final, delivered.status) == ("delivered", True, 204)
    (request,) = receiver.received
    assert request.line == "POST /a%20b?c=d HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_01_7"
    event = Webhook(SECRET).verify(request.body, request.headers)
    assert event["type"] == "job.succeeded"
    assert event["timestamp"] == "2026-03-01T10:30:00.000Z"
    assert event["data"] == {"id": "job_01", "name": "Bärenstraße 熊"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_webhook_secret()).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)


def test_while_secrets_change_both_verify(start: Start, policy: WebhookPolicy) -> None:
    receiver, other = start(), new_webhook_secret()
    send(receiver.url(), policy, f"{SECRET} {other}")
    (request,) = receiver.received
    for secret in (SECRET, other):
        Webhook(secret).verify(request.body, request.headers)


@pytest.mark.parametrize(
    ("status", "outcome", "final"),
    [
        (200, "delivered", True),
        (202, "delivered", True),
        (410, "gone", True),
        (400, "failed", False),
        (404, "failed", False),
        (429, "failed", False),
        (500, "failed", False),
        (503, "failed", False),
    ],
)
def test_what_answers_mean(
    status: int, outcome: str, final: bool, start: Start, policy: WebhookPolicy
) -> None:
    delivered = send(start(answering(status, "retry-after: 120")).url(), policy)
    assert (delivered.outcome, delivered.final, delivered.status) == (outcome, final, status)
    assert delivered.retry_after == (120 if outcome == "failed" else None)
    wait = next_wait(delivered, 1, "msg_01_7", policy)
    assert wait == (None if final else 120)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int, start: Start, policy: WebhookPolicy) -> None:
    secret_place = start()
    for location in ("http://169.254.169.254/latest/meta-data/", secret_place.url()):
        delivered = send(start(answering(status, f"location: {location}")).url(), policy)
        assert (delivered.outcome, delivered.final, delivered.status) == ("failed", False, status)
    assert secret_place.connections == 0


def test_https_checks_the_certificate_of_the_name_and_sends_it(
    start: Start, trust: tuple[Path, ssl.SSLContext]
) -> None:
    receiver = start(credentials=trust[1])
    resolver = names(hooks_example_com="127.0.0.1", other_example_com="127.0.0.1")
    settings = Settings(webhook_allow="127.0.0.0/8", webhook_ca=trust[0])
    believing = WebhookPolicy.of(settings, resolver)
    assert send(receiver.url("hooks.example.com"), believing).outcome == "delivered"
    (request,) = receiver.received
    assert request.server_name == "hooks.example.com"
    assert request.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert send(receiver.url("127.0.0.1"), believing).outcome == "delivered"  # of the address, too

    delivered = send(receiver.url("other.example.com"), believing)
    assert (delivered.outcome, delivered.final) == ("failed", False)
    assert "certificate" in delivered.detail
    unbelieving = WebhookPolicy.of(Settings(webhook_allow="127.0.0.0/8"), resolver)
    assert send(receiver.url("hooks.example.com"), unbelieving).outcome == "failed"
    assert len(receiver.received) == 2


def test_a_name_that_is_rebound_leads_nowhere(start: Start) -> None:
    """Public when it is looked at, this machine a moment later: whoever resolves twice is had."""
    receiver = start()
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    # 192.0.2.1 stands for a public address, which no test may call; nobody answers there.
    policy = WebhookPolicy.of(Settings(webhook_allow="192.0.2.1", webhook_timeout_seconds=0.5), rebinding)
    url = f"http://rebound.example:{receiver.port}/"
    assert send(url, policy).outcome == "failed"
    assert asked == ["rebound.example"]
    second = send(url, policy)
    assert (second.outcome, second.final) == ("refused", False)
    assert receiver.connections == 0


def test_the_connection_is_made_to_the_address_that_was_judged(start: Start) -> None:
    """The system's resolver knows no such name; only the addresses of the check can have led there."""
    receiver = start()
    policy = WebhookPolicy.of(Settings(webhook_allow="127.0.0.1"), names(a_invalid=["127.0.0.1"]))
    assert send(receiver.url("a.invalid"), policy).outcome == "delivered"


def test_an_address_that_does_not_answer_is_passed_over(start: Start) -> None:
    receiver = start()
    both = names(a_invalid=["127.0.0.2", "127.0.0.1"])  # nobody listens on the first
    policy = WebhookPolicy.of(Settings(webhook_allow="127.0.0.0/8"), both)
    assert send(receiver.url("a.invalid"), policy).outcome == "delivered"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fd00::1"],
        ["0.0.0.0"],
    ],
)
def test_names_of_private_addresses_are_refused(addresses: list[str], start: Start) -> None:
    receiver = start()
    policy = WebhookPolicy.of(Settings(), names(a_example=addresses))
    for url in (f"https://a.example:{receiver.port}/", "https://a.example/"):
        refused = refusal(url, policy)
        assert refused.reason == "address"
        assert not refused.final
        assert not any(address in refused.detail for address in addresses)
        assert send(url, policy).outcome == "refused"
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::]"),
        *("[::ffff:127.0.0.1]", "127.0.0.1.", "①②⑦.⓪.⓪.①", "0"),
    ],
)
def test_every_way_to_write_this_machine_is_refused(host: str, start: Start) -> None:
    receiver = start()
    policy = WebhookPolicy.of(Settings(webhook_ports=(443, receiver.port)))
    url = f"https://{host}:{receiver.port}/"
    assert send(url, policy).outcome in ("refused", "failed")
    assert refusal(url, policy).reason in ("address", "unresolved", "malformed")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "scheme"),
        ("hooks.example", "scheme"),
        ("ftp://hooks.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://hooks.example/", "scheme"),
        ("http://hooks.example/", "scheme"),
        ("https:///path", "malformed"),
        ("https://hooks.example:99999/", "malformed"),
        ("https://hooks.example:0/", "malformed"),
        ("https://hooks.example/\n", "malformed"),
        ("https://" + "a" * 3000, "malformed"),
        ("https://user@hooks.example/", "credentials"),
        ("https://user:word@hooks.example/", "credentials"),
        ("https://hooks.example:22/", "port"),
        ("https://hooks.example:8443/", "port"),
        ("https://unknown.example/", "unresolved"),
        ("https://" + "a" * 70 + ".example/", "unresolved"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    policy = WebhookPolicy.of(Settings(), names(hooks_example="8.8.8.8"))
    refused = refusal(url, policy)
    assert refused.reason == reason
    assert refused.final is (reason != "unresolved")


def test_urls_that_are_accepted() -> None:
    policy = WebhookPolicy.of(
        Settings(webhook_allow="inside.example,10.0.0.0/8", webhook_ports="443,8443"),
        names(
            hooks_example=["8.8.8.8", "2001:4860:4860::8888"], inside_example="10.1.1.1", b_example="10.2.2.2"
        ),
    )
    for url, port in (
        ("https://hooks.example/a?b#c", 443),
        ("HTTPS://HOOKS.example:8443", 8443),
        ("http://inside.example:1234/", 1234),
        ("http://b.example/", 80),
        ("https://10.9.9.9:22/", 22),
    ):
        target = asyncio.run(check_webhook_url(url, policy))
        assert target.port == port
        assert target.addresses


def test_what_the_environment_says_of_proxies_is_ignored(
    start: Start, policy: WebhookPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, receiver = start(), start()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url())
    assert send(receiver.url(), policy).outcome == "delivered"
    assert (proxy.connections, len(receiver.received)) == (0, 1)


def test_a_receiver_that_drips_its_headers_is_left(start: Start, policy: WebhookPolicy) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not receiver.wait_closing(0.05):
            connection.sendall(b"x: y\r\n")

    receiver = start(drip)
    delivered = send(receiver.url(), replace(policy, timeout_seconds=0.6))
    assert (delivered.outcome, delivered.final, delivered.status) == ("failed", False, None)
    assert 0.5 < delivered.seconds < 2


def test_a_receiver_that_says_hints_for_ever_is_left(start: Start, policy: WebhookPolicy) -> None:
    def hint(connection: socket.socket) -> None:
        while not receiver.wait_closing(0.01):
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    receiver = start(hint)
    assert send(receiver.url(), replace(policy, timeout_seconds=0.6)).outcome == "failed"


@pytest.mark.parametrize("pause", [0, 0.05])
def test_an_answer_without_end_is_not_read(pause: float, start: Start, policy: WebhookPolicy) -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
        while not receiver.wait_closing(pause):
            connection.sendall(b"x" * (1 if pause else 1 << 16))
            sent += 1

    receiver = start(pour)
    began = time.perf_counter()
    assert send(receiver.url(), policy).outcome == "delivered"
    assert time.perf_counter() - began < 2.5
    assert sent < 1000


def test_huge_headers_and_garbage_are_failures(start: Start, policy: WebhookPolicy) -> None:
    for raw in (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000, b"SSH-2.0-OpenSSH\r\n", b""):
        delivered = send(start(lambda connection, raw=raw: connection.sendall(raw)).url(), policy)
        assert (delivered.outcome, delivered.final) == ("failed", False)
        assert len(delivered.detail) <= 300


def test_nobody_there_is_a_failure(policy: WebhookPolicy) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        delivered = send(f"http://127.0.0.1:{probe.getsockname()[1]}/", policy)
    assert (delivered.outcome, delivered.final) == ("failed", False)


def test_a_resolver_that_hangs_takes_no_longer_than_allowed() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    policy = WebhookPolicy.of(Settings(webhook_timeout_seconds=0.2), hang)
    delivered = send("https://slow.example/", policy)
    assert (delivered.outcome, delivered.final) == ("failed", False)
    assert delivered.seconds < 2


def test_a_delivery_can_be_cancelled(start: Start, policy: WebhookPolicy) -> None:
    receiver = start(lambda connection: receiver.wait_closing(30) and None)

    async def cancel() -> None:
        task = asyncio.create_task(deliver(receiver.url(), SECRET, "msg_01_7", EVENT, policy))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.perf_counter()
    asyncio.run(cancel())
    assert time.perf_counter() - began < 2


def test_pauses_grow_differ_between_messages_and_are_the_same_again(policy: WebhookPolicy) -> None:
    pauses = [back_off(attempt, "msg_01_7") for attempt in range(1, 12)]
    assert pauses == [back_off(attempt, "msg_01_7") for attempt in range(1, 12)]
    assert pauses != [back_off(attempt, "msg_02_7") for attempt in range(1, 12)]
    assert 4.5 <= pauses[0] <= 5.5
    assert all(earlier < later for earlier, later in itertools.pairwise(pauses[:9]))
    assert 21 * 3600 < pauses[10] < 27 * 3600
    failed = Delivered("failed", False, 500, "", None, 0.1)
    waits = [next_wait(failed, attempt, "msg_01_7", policy) for attempt in range(1, 10)]
    assert waits[-1] is None
    assert sum(wait for wait in waits if wait is not None) > 24 * 3600
    asked = replace(failed, retry_after=3600.0)
    assert next_wait(asked, 1, "msg_01_7", policy) == 3600
    assert next_wait(asked, 8, "msg_01_7", policy) == waits[7]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("soon", None), ("-5", None), ("0", 0.0), (" 7 ", 7.0), ("9" * 400, 86400.0)],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value) == seconds


def test_retry_after_as_a_date() -> None:
    now = datetime.now(timezone.utc)
    assert retry_after_seconds(format_datetime(now + timedelta(minutes=5), usegmt=True)) == pytest.approx(
        300, abs=3
    )
    assert retry_after_seconds(format_datetime(now - timedelta(days=5), usegmt=True)) == 0
    assert retry_after_seconds(format_datetime(now + timedelta(days=500), usegmt=True)) == 86400


@pytest.mark.parametrize(
    "secret", ["", " ", "hunter2", "whsec_", "whsec_aGFsbG8=", "whsec_!!", "whsec_" + "A" * 200]
)
def test_what_is_no_secret(secret: str, policy: WebhookPolicy) -> None:
    with pytest.raises(ValueError, match="secret") as raised:
        checked_webhook_secret(secret)
    assert not secret.strip() or len(secret) < 7 or secret not in str(raised.value)
    with pytest.raises(ValueError, match="secret"):
        send("http://127.0.0.1:1/", policy, secret)


def test_secrets_and_ids() -> None:
    assert new_webhook_secret() != new_webhook_secret()
    assert checked_webhook_secret(new_webhook_secret()).startswith("whsec_")
    assert message_id("job_01ABC", 12) == message_id("job_01ABC", 12) == "msg_01ABC_12"
    assert message_id("job_01ABC", 13) != message_id("job_01ABC", 12)


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(WebhookSettingError, match="GANSERVE_WEBHOOK_CA"):
        WebhookPolicy.of(Settings(webhook_ca=tmp_path / "none.pem"))
    with pytest.raises(WebhookSettingError, match="GANSERVE_WEBHOOK_SECRET") as raised:
        WebhookPolicy.of(Settings(webhook_secret=SecretStr("hunter2")))
    assert "hunter2" not in str(raised.value)
    policy = WebhookPolicy.of(Settings(webhook_secret=SecretStr(SECRET)))
    assert policy.secret == SECRET
    assert SECRET not in repr(policy)
    with pytest.raises(ValueError, match="webhook_allow"):
        Settings(webhook_allow="https://a.example")
    assert json.loads(json.dumps(EVENT)) == EVENT
    assert not AllowList(()).has_host("a.example")
