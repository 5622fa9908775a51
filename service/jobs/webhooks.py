"""Telling a client's own server what became of a job, as the Standard Webhooks specification says.

https://github.com/standard-webhooks/standard-webhooks: signed with HMAC-SHA256 over id, time and body, and
repeated with growing pauses until the receiver has it. `deliver` makes one attempt and `next_wait` says when
to make the next; whoever calls them keeps the count, and so survives a restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import anyio
import httpcore
from standardwebhooks import Webhook

from service.jobs.webhook_secrets import checked_webhook_secret
from service.jobs.webhook_targets import PinnedBackend, WebhookPolicy, WebhookRefusedError, check_webhook_url
from service.telemetry.metrics import package_version

MAX_RETRY_AFTER_SECONDS: Final = 24 * 3600.0

# The specification's own example: pauses after the first, second, … attempt; the last one stays.
_SCHEDULE: Final = (
    5.0,
    5 * 60.0,
    30 * 60.0,
    2 * 3600.0,
    5 * 3600.0,
    10 * 3600.0,
    14 * 3600.0,
    20 * 3600.0,
    24 * 3600.0,
)
_JITTER: Final = 0.2
_MAX_ANSWER_BYTES: Final = 4096
_ANSWER_SECONDS: Final = 1.0
_GONE: Final = 410

_BROKEN: Final = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError)

State = Literal["succeeded", "failed", "cancelled"]
Outcome = Literal["delivered", "gone", "refused", "failed"]


@dataclass(frozen=True)
class Delivered:
    """What became of one attempt.

    Attributes:
        outcome: `delivered`; `gone`, where the receiver wants no more (410); `refused`, where the URL may not
            be called; `failed`, whatever else.
        final: Whether there is no point in another attempt.
        status: HTTP status of the answer, if there was one.
        detail: Why not, for people; empty if delivered. Says nothing of what the receiver wrote.
        retry_after: Seconds that the receiver asked for (`Retry-After`), a day at most.
        seconds: How long the attempt took.
    """

    outcome: Outcome
    final: bool
    status: int | None
    detail: str
    retry_after: float | None
    seconds: float


def message_id(job: str, revision: int) -> str:
    """The id of a message: the same at every attempt, so that receivers can tell repetitions.

    Args:
        job: Id of the job.
        revision: Of the job when it ended; a job whose failed items are tried again ends again.
    """
    return f"msg_{job.removeprefix('job_')}_{revision}"


def job_event(state: State, ended: datetime, job: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of the message that a job has ended.

    Args:
        state: How it ended.
        ended: When, with a time zone.
        job: The job as the API shows it.
    """
    moment = ended.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": f"job.{state}", "timestamp": moment, "data": dict(job)}


async def deliver(
    url: str,
    secret: str,
    message_id: str,
    payload: Mapping[str, Any],
    policy: WebhookPolicy,
    trace: Iterable[tuple[str, str]] = (),
) -> Delivered:
    """Sends a message once. Follows no redirect, uses no proxy, and is done within the policy's time.

    Args:
        url: Where to; checked here, too, since what its name leads to may have changed.
        secret: As `checked_webhook_secret` wants it.
        message_id: The same at every attempt.
        payload: JSON; the same at every attempt.
        policy: Where messages may go.
        trace: Headers that make what the receiver does a part of a trace, which is not signed.

    Returns:
        What became of it; every 2xx means that the receiver has it.

    Raises:
        ValueError: The secret is not one.
    """
    started = time.perf_counter()

    def ended(
        outcome: Outcome,
        final: bool,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> Delivered:
        return Delivered(outcome, final, status, detail, retry_after, time.perf_counter() - started)

    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    headers = {**dict(trace), **signed_headers(secret, message_id, body)}
    try:
        with anyio.fail_after(policy.timeout_seconds):
            status, retry_after = await _post(url, headers, body.encode(), policy)
    except WebhookRefusedError as refusal:
        # A name that is not known may be tomorrow; nothing was called.
        outcome: Outcome = "failed" if refusal.reason == "unresolved" else "refused"
        return ended(outcome, refusal.final, detail=refusal.detail)
    except TimeoutError:
        return ended("failed", False, detail=f"No answer within {policy.timeout_seconds:g} s.")
    except _BROKEN as error:
        return ended("failed", False, detail=f"No answer: {type(error).__name__}: {error}"[:300])
    if 200 <= status < 300:
        return ended("delivered", True, status)
    if status == _GONE:
        return ended("gone", True, status, "The receiver wants no more messages (410).")
    return ended("failed", False, status, f"The receiver answered {status}.", retry_after)


def signed_headers(secret: str, message_id: str, body: str) -> dict[str, str]:
    """The headers by which a receiver recognises a message of this moment.

    Args:
        secret: One or several, as `checked_webhook_secret` wants them.
        message_id: The message's id.
        body: What is sent.

    Raises:
        ValueError: The secret is not one.
    """
    now = datetime.now(timezone.utc)
    signatures = (
        Webhook(part).sign(message_id, now, body) for part in checked_webhook_secret(secret).split()
    )
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def back_off(attempt: int, message_id: str) -> float:
    """How long to wait after an attempt that failed: the specification's schedule, from 5 s to 24 h.

    It varies by a tenth up and down between messages, so that those that failed together do not come back
    together, but not between calls, so that a durable workflow that starts over sees the same.

    Args:
        attempt: Which one failed, from 1.
        message_id: Of the message.

    Returns:
        Seconds.
    """
    pause = _SCHEDULE[min(attempt, len(_SCHEDULE)) - 1]
    digest = hashlib.sha256(f"{message_id}.{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64  # in [0, 1)
    return pause * (1 + _JITTER * (share - 0.5))


def next_wait(delivered: Delivered, attempt: int, message_id: str, policy: WebhookPolicy) -> float | None:
    """When to try again.

    Args:
        delivered: What became of the last attempt.
        attempt: Which one that was, from 1.
        message_id: Of the message.
        policy: Says how many there are.

    Returns:
        Seconds, at least as many as the receiver asked for; None if there is no other attempt.
    """
    if delivered.final or attempt >= policy.attempts:
        return None
    return max(back_off(attempt, message_id), delivered.retry_after or 0.0)


async def _post(
    url: str, headers: Mapping[str, str], body: bytes, policy: WebhookPolicy
) -> tuple[int, float | None]:
    """Status and `Retry-After` of the answer."""
    target = await check_webhook_url(url, policy)
    all_headers: list[tuple[bytes | str, bytes | str]] = [
        ("host", target.url.netloc.decode("ascii")),
        ("user-agent", f"ganserve/{package_version()}"),
        ("accept", "*/*"),
        ("connection", "close"),
        ("content-type", "application/json"),
        *headers.items(),
    ]
    request_url = httpcore.URL(
        scheme=target.url.raw_scheme,
        host=target.url.raw_host,
        port=target.url.port,
        target=target.url.raw_path,
    )
    pool = httpcore.AsyncConnectionPool(
        ssl_context=policy.tls, max_connections=1, network_backend=PinnedBackend(target)
    )
    async with pool, pool.stream("POST", request_url, headers=all_headers, content=body) as response:
        await _read_a_little(response)
        given = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        return response.status, retry_after_seconds(given.get(b"retry-after"))


async def _read_a_little(response: httpcore.Response) -> None:
    """Lets an ordinary receiver finish; what it writes, and whether it ever ends, changes nothing."""
    size = 0
    with contextlib.suppress(*_BROKEN):
        with anyio.move_on_after(_ANSWER_SECONDS):
            async for part in response.aiter_stream():
                size += len(part)
                if size > _MAX_ANSWER_BYTES:
                    return


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, in either of its forms.

    Args:
        value: The header; None if there is none.

    Returns:
        From 0 to a day; None if it cannot be read.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a time zone of many digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    wait = (moment - datetime.now(timezone.utc)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER_SECONDS)
