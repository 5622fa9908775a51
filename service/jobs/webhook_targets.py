"""Where webhooks may go, so that nobody can make this service call what only it can reach.

A name is resolved once, every address it has is judged, and the connection is made to one of exactly these: a
name that leads elsewhere a moment later (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import certifi
import httpcore
import httpx
import structlog

from service.jobs.addresses import Address, AllowList, is_public, plain_address
from service.jobs.webhook_secrets import checked_webhook_secret
from service.settings import Settings

MAX_URL_CHARACTERS: Final = 2048

_CONNECT_SECONDS: Final = 5.0
_MAX_ADDRESSES_TRIED: Final = 3
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
# Names are resolved in threads of their own: one whose servers never answer holds its thread for a long time,
# and must not take those that images are encoded in.
_resolving: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="webhook-dns")

log = structlog.get_logger("ganserve.webhooks")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Of host and port: the addresses that the name has; `OSError` if it has none."""

Refusal = Literal["malformed", "scheme", "credentials", "port", "unresolved", "address"]


class WebhookRefusedError(Exception):
    """This URL is not called.

    Attributes:
        reason: `malformed`, `scheme`, `credentials` and `port` are said by the URL itself and so final;
            `unresolved` and `address` by what its name leads to now.
        detail: The same for people. It never says which addresses a name has: they may be a private
            network's.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.reason: Refusal = reason
        self.detail = detail

    @property
    def final(self) -> bool:
        """Whether the same URL is refused another time, too."""
        return self.reason not in ("unresolved", "address")


class WebhookSettingError(Exception):
    """A setting of webhooks cannot be used; the message says which, and why."""


@dataclass(frozen=True)
class WebhookTarget:
    """A URL that may be called, and the addresses that were looked at for that.

    Attributes:
        url: Its scheme is http or https, its host in ASCII.
        addresses: All that the name has, in the resolver's order; at least one.
    """

    url: httpx.URL
    addresses: tuple[Address, ...]

    @property
    def port(self) -> int:
        """The port, also where the URL does not say it."""
        return self.url.port or _DEFAULT_PORTS[self.url.scheme]


async def system_resolver(host: str, port: int) -> list[str]:
    """Asks the machine's own resolver (`getaddrinfo`) for the addresses of a host.

    Raises:
        OSError: The name is not known, or nobody could be asked.
    """
    found = await asyncio.get_running_loop().run_in_executor(
        _resolving, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class WebhookPolicy:
    """What an operator allows webhooks, and how they are sent.

    Attributes:
        allow: Hosts and networks that may be called although they are not public; with http too, on any port.
        ports: Ports of all others.
        timeout_seconds: How long one attempt may take altogether.
        attempts: How often one message is sent at most.
        tls: Which certificates are believed.
        secret: The operator's, for jobs that bring none.
        resolver: How names become addresses.
    """

    allow: AllowList
    ports: frozenset[int]
    timeout_seconds: float
    attempts: int
    tls: ssl.SSLContext
    secret: str | None = field(default=None, repr=False)
    resolver: Resolver = system_resolver

    @classmethod
    def of(cls, settings: Settings, resolver: Resolver = system_resolver) -> WebhookPolicy:
        """The policy that the settings describe. Make it once: reading certificates takes some 20 ms.

        Raises:
            WebhookSettingError: The file of certificate authorities cannot be read, or the secret is not one.
        """
        secret = settings.webhook_secret
        try:
            checked = None if secret is None else checked_webhook_secret(secret.get_secret_value())
        except ValueError as error:
            raise WebhookSettingError(f"GANSERVE_WEBHOOK_SECRET: {error}") from error
        return cls(
            allow=AllowList(settings.webhook_allow),
            ports=frozenset(settings.webhook_ports),
            timeout_seconds=settings.webhook_timeout_seconds,
            attempts=settings.webhook_attempts,
            tls=_tls_context(settings.webhook_ca),
            secret=checked,
            resolver=resolver,
        )


def _tls_context(authorities: Path | None) -> ssl.SSLContext:
    """Mozilla's list of authorities, and those of the operator's file."""
    context = ssl.create_default_context(cafile=certifi.where())
    if authorities is not None:
        try:
            context.load_verify_locations(cafile=authorities)
        except OSError as error:  # ssl.SSLError is one
            raise WebhookSettingError(
                f"GANSERVE_WEBHOOK_CA: {authorities} cannot be read: {error}"
            ) from error
    return context


async def check_webhook_url(url: str, policy: WebhookPolicy) -> WebhookTarget:
    """Decides whether a URL may be called, and finds out where it leads. Resolves its name once.

    Args:
        url: From a client.
        policy: What is allowed.

    Returns:
        What `PinnedBackend` connects to.

    Raises:
        WebhookRefusedError: It may not be called, or its name is not known.
    """
    parsed = _parsed(url)
    host = parsed.raw_host.decode("ascii")
    listed = policy.allow.has_host(host)
    port = parsed.port or _DEFAULT_PORTS[parsed.scheme]
    try:
        addresses = tuple(plain_address(text) for text in await policy.resolver(host, port))
    except (OSError, ValueError) as error:  # ValueError: a label too long for IDNA, an odd address
        log.info("webhook host not resolved", host=host, error=str(error))
        addresses = ()
    if not addresses:
        raise WebhookRefusedError("unresolved", f"The host {host!r} has no address.")
    if listed or all(map(policy.allow.has_address, addresses)):
        return WebhookTarget(parsed, addresses)
    refused = [each for each in addresses if not (is_public(each) or policy.allow.has_address(each))]
    if refused:
        log.warning("webhook host is not public", host=host, addresses=[str(each) for each in refused])
        raise WebhookRefusedError("address", f"The host {host!r} is not in the public Internet.")
    if parsed.scheme != "https":
        raise WebhookRefusedError(
            "scheme", "Webhooks are sent by https; by http only to hosts that are listed."
        )
    if port not in policy.ports:
        accepted = ", ".join(map(str, sorted(policy.ports)))
        raise WebhookRefusedError("port", f"Webhooks are not sent to port {port}; accepted: {accepted}.")
    return WebhookTarget(parsed, addresses)


def _parsed(url: str) -> httpx.URL:
    if len(url) > MAX_URL_CHARACTERS:
        raise WebhookRefusedError("malformed", f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise WebhookRefusedError("malformed", f"This is not a URL: {error}.") from error
    if parsed.scheme not in _DEFAULT_PORTS:
        raise WebhookRefusedError("scheme", "A webhook is an https URL.")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise WebhookRefusedError("malformed", "The URL's port is none from 1 to 65535.")
    if not host:
        raise WebhookRefusedError("malformed", "The URL has no host.")
    if parsed.userinfo:
        raise WebhookRefusedError("credentials", "The URL must not carry a user name or password.")
    return parsed


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses of one target, whatever it is asked for."""

    def __init__(self, target: WebhookTarget) -> None:
        self._target = target
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that takes one.

        Raises:
            httpcore.ConnectError: None does.
            httpcore.ConnectTimeout: The last one does not answer.
        """
        tried = self._target.addresses[:_MAX_ADDRESSES_TRIED]
        for last, address in enumerate(tried, start=1 - len(tried)):
            try:
                return await self._network.connect_tcp(
                    str(address), self._target.port, _CONNECT_SECONDS, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not last:
                    raise
        raise httpcore.ConnectError("no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never: webhooks go to hosts.

        Raises:
            httpcore.UnsupportedProtocol: Always.
        """
        raise httpcore.UnsupportedProtocol("webhooks are not sent to Unix sockets")

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)
