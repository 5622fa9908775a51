"""Who calls, what they may do, and how often: decided before anything of a request's body is read."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final

from limits import RateLimitItem, parse
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.access.scopes import ACCESS, SCOPES, Access, KeyScope
from service.api.errors.problems import ProblemError
from service.keyring import Keyring
from service.keys import ANONYMOUS, Key
from service.rates import RateLimiter, StorageAwayError, Verdict
from service.telemetry.records import ANSWERED_METHODS, record_of

_KEY: Final = "ganserve.caller"


@dataclass(frozen=True)
class Caller:
    """Who a request comes from.

    Attributes:
        name: Of the key, or `anonymous`.
        scopes: What they may do; everything, where no keys are configured.
    """

    name: str
    scopes: frozenset[KeyScope]


_EVERYBODY: Final = Caller(ANONYMOUS, frozenset(SCOPES))
_NOBODY: Final = Caller(ANONYMOUS, frozenset())


def caller_of(request: Request) -> Caller:
    """Who this request comes from.

    Args:
        request: One that reached a route.

    Returns:
        The caller.
    """
    caller: Caller = request.scope[_KEY]
    return caller


def require(request: Request, scope: KeyScope) -> None:
    """For calls that need one scope more than their route does, depending on what they are asked for.

    Args:
        request: The request.
        scope: What its caller must be allowed.

    Raises:
        ProblemError: `forbidden`.
    """
    _check_scope(caller_of(request), scope)


class Guard:
    """Lets only those through to the application that may call the route, and not more often than they may.

    Plain ASGI, and in front of the router: FastAPI would read a form before any dependency could refuse it.
    What matches no route is answered here, so that nothing is served that `ACCESS` does not know.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        keyring: Keyring | None,
        limiter: RateLimiter,
        respond: Callable[[Request, ProblemError], Response],
        anonymous_rate: str | None = None,
        open_metrics: bool = True,
    ) -> None:
        """Wraps an application.

        Args:
            app: What handles the requests.
            routes: All routes of the application, in its order; see `check_access`.
            keyring: The keys; None lets everybody do everything.
            limiter: Counts the calls.
            respond: Renders a problem.
            anonymous_rate: Without a keyring: how often one address may call.
            open_metrics: Whether `/metrics` asks for no key; otherwise it needs the scope `admin`.
        """
        self.app = app
        self._routes = tuple(routes)
        self._access: dict[str, Access] = {**ACCESS, **({} if open_metrics else {"metrics": "admin"})}
        self._keyring = keyring
        self._limiter = limiter
        self._respond = respond
        self._anonymous_rate = anonymous_rate
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self._let_in(scope, receive, send)
        except _RefusedError as refused:
            response = self._respond(Request(scope), refused.problem)
            await response(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        match, name, path = self._route(scope)
        if match is Match.NONE:
            raise _RefusedError(ProblemError("not-found", f"Nothing is served at {scope['path']}."))
        if match is Match.PARTIAL:
            scope[ANSWERED_METHODS] = self._methods(scope)
            await self.app(scope, receive, send)  # answers 405
            return
        record = record_of(scope)
        record.operation, record.route = name, path
        access = self._access[name]
        if access == "open":
            scope[_KEY] = _NOBODY if self._keyring else _EVERYBODY
            await self.app(scope, receive, send)
            return
        key = None if self._keyring is None else _identified(Headers(scope=scope), self._keyring)
        caller = scope[_KEY] = _EVERYBODY if key is None else Caller(key.name, key.scopes)
        record.caller = caller.name
        if access != "any key":
            try:
                _check_scope(caller, access)
            except ProblemError as problem:
                raise _RefusedError(problem) from None
        await self._within_limits(key, scope, receive, send)

    async def _within_limits(self, key: Key | None, scope: Scope, receive: Receive, send: Send) -> None:
        holder = _address(scope) if key is None else f"key:{key.id}"
        most = None if key is None else key.concurrency
        rate = self._anonymous_rate if key is None else key.rate
        if most is not None and self._under_way[holder] >= most:
            raise _RefusedError(
                ProblemError(
                    "too-many-concurrent",
                    f"{most} calls with this key are under way; wait until one of them is answered.",
                    headers={"retry-after": "1"},
                    limit=most,
                )
            )
        self._under_way[holder] += 1
        try:
            headers = {} if rate is None else await self._count(_parsed(rate), holder)
            await self.app(scope, receive, _with_headers(send, headers) if headers else send)
        finally:
            self._under_way[holder] -= 1
            if not self._under_way[holder]:
                del self._under_way[holder]

    async def _count(self, rate: RateLimitItem, holder: str) -> dict[str, str]:
        try:
            verdict = await self._limiter.hit(rate, holder)
        except StorageAwayError:
            raise _RefusedError(
                ProblemError(
                    "rate-limit-unavailable",
                    "Calls cannot be counted at the moment, and so none is let in.",
                    headers={"retry-after": "2"},
                )
            ) from None
        headers = _rate_headers(verdict)
        if not verdict.allowed:
            retry_after = str(verdict.retry_after)
            raise _RefusedError(
                ProblemError(
                    "rate-limited",
                    f"{verdict.limit} calls in {verdict.window} s are allowed; the next in {retry_after} s.",
                    headers={"retry-after": retry_after, **headers},
                    limit=verdict.limit,
                    window_seconds=verdict.window,
                )
            )
        return headers

    def _methods(self, scope: Scope) -> list[str]:
        """All that are answered at a path, which may have several routes."""
        found: set[str] = set()
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                found |= getattr(route, "methods", None) or set()
        return sorted(found)

    def _route(self, scope: Scope) -> tuple[Match, str, str]:
        """The first route that fits, as the router looks for it; its name and the template of its path."""
        found = Match.NONE
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                # `check_access` saw that it has a name, and what is no route of a path matches nothing.
                return match, route.name, route.path  # type: ignore[attr-defined]
            if match is Match.PARTIAL:
                found = match
        return found, "", ""


class _RefusedError(Exception):
    """Not a `ProblemError`, so that one of the application is never taken for the guard's own."""

    def __init__(self, problem: ProblemError) -> None:
        super().__init__(problem.problem.slug)
        self.problem = problem


def _identified(headers: Headers, keyring: Keyring) -> Key:
    """The key that a request carries.

    Raises:
        _RefusedError: With `unauthenticated`.
    """
    presented = set(headers.getlist("x-api-key"))
    for value in headers.getlist("authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            presented.add(token.strip())
    if not presented:
        raise _unauthenticated(
            "This call needs an API key: `Authorization: Bearer gsk_…` or `x-api-key: gsk_…`."
        )
    if len(presented) > 1:
        raise _unauthenticated("The request carries several API keys; send one.", "invalid_request")
    key = keyring.keys.find(presented.pop())
    if key is None:
        raise _unauthenticated("This API key is not known; it may have been revoked.", "invalid_token")
    if key.has_expired(datetime.now(timezone.utc)):
        raise _unauthenticated(f"The API key {key.name!r} expired at {key.expires}.", "invalid_token")
    return key


def _unauthenticated(detail: str, error: str | None = None) -> _RefusedError:
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return _RefusedError(ProblemError("unauthenticated", detail, headers={"www-authenticate": challenge}))


def _check_scope(caller: Caller, scope: KeyScope) -> None:
    if scope not in caller.scopes:
        has = ", ".join(sorted(caller.scopes))
        raise ProblemError(
            "forbidden",
            f"This call needs the scope {scope!r}; the API key {caller.name!r} has: {has}.",
            headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            scope=scope,
        )


def _address(scope: MutableMapping[str, Any]) -> str:
    """Whose calls are counted together when nobody has a key; of IPv6, what one site has to itself."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "address:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"address:{mapped or ipaddress.IPv6Network((int(address) >> 64 << 64, 64))}"
    return f"address:{address}"


def _rate_headers(verdict: Verdict) -> dict[str, str]:
    """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers has them."""
    return {
        "ratelimit-policy": f'"calls";q={verdict.limit};w={verdict.window}',
        "ratelimit": f'"calls";r={verdict.remaining};t={verdict.retry_after}',
    }


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *extra]
        await send(message)

    return send_with_headers


@lru_cache(maxsize=1024)
def _parsed(rate: str) -> RateLimitItem:
    return parse(rate)
