"""What the client raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

_LONGEST_HINT = 300


class ClientError(Exception):
    """Base class of everything the client raises."""


class UnreachableError(ClientError):
    """No answer: nothing listens at the URL, or the connection broke or timed out."""


class UnexpectedAnswerError(ClientError):
    """An answer that no ganserve gives: something else listens at the URL, or a much older or newer one."""


class ProblemError(ClientError):
    """The server's RFC 9457 problem.

    Attributes:
        status: The HTTP status.
        type: The problem's stable identifier.
        title: What kind of problem it is.
        detail: What it is this time.
        body: The whole problem document; empty when the answer was not one.
    """

    def __init__(self, status: int, body: Mapping[str, Any], reason: str) -> None:
        self.status = status
        self.body = dict(body)
        self.type = str(body.get("type", "about:blank"))
        self.title = str(body.get("title") or reason or "unexpected answer")
        self.detail = str(body.get("detail", ""))
        errors = body.get("errors")
        fields = [
            _field(error)
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, Mapping)
        ]
        # The detail of a request that is not valid only counts what the fields say.
        said = (self.title, *(fields or (self.detail,)))
        super().__init__(". ".join(part.rstrip(".") for part in said if part))


def _field(error: Mapping[str, Any]) -> str:
    text = f"{error.get('field')}: {str(error.get('detail')).rstrip('.')}"
    accepted = error.get("accepted")
    if isinstance(accepted, list):
        accepted = ", ".join(map(str, accepted))
    return f"{text} (accepted: {accepted})" if accepted and len(str(accepted)) <= _LONGEST_HINT else text


def problem_of(response: httpx.Response) -> ProblemError:
    """The problem that an answer is.

    Args:
        response: Read, with a status that is no success.

    Returns:
        The exception to raise.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    return ProblemError(
        response.status_code,
        body if isinstance(body, dict) else {},
        f"HTTP {response.status_code} {response.reason_phrase}".strip(),
    )


def broken(url: str, error: httpx.RequestError) -> UnreachableError:
    """What to raise when the connection breaks in the middle of an answer.

    Args:
        url: Of the server.
        error: What happened.
    """
    return UnreachableError(f"{url} stopped answering: {error or type(error).__name__}")
