"""Who could reach the gateway, and whether that is what the operator meant."""

from __future__ import annotations

import ipaddress
import socket

from service.keys import KeysFileError, read_keys
from service.rates import RateLimiter, StorageSettingError
from service.settings import OPEN_IN_WORDS, Settings


def startup_problem(settings: Settings) -> str | None:
    """What speaks against starting a gateway with these settings.

    Args:
        settings: The gateway's settings.

    Returns:
        What is wrong and what can be done about it, or None.
    """
    try:
        if settings.keys_file is not None:
            read_keys(settings.keys_file)
        RateLimiter(settings.rate_limit_storage.get_secret_value())
    except KeysFileError as error:
        hint = "" if settings.keys_file and settings.keys_file.exists() else _HOW_TO_MAKE
        return f"{error}{hint}"
    except StorageSettingError as error:
        return str(error)
    if settings.keys_file is None and settings.allow_open != OPEN_IN_WORDS and not is_loopback(settings.host):
        return (
            f"Whoever reaches {settings.host or 'this machine'}:{settings.port} could use this gateway "
            "without a key, so it does not start. Either make keys and name their file:\n"
            "    ganserve keys create NAME --scope generate --keys-file keys.json\n"
            "    GANSERVE_KEYS_FILE=keys.json\n"
            "or say that everybody may:\n"
            f"    GANSERVE_ALLOW_OPEN={OPEN_IN_WORDS}"
        )
    return None


def url_here(host: str, port: int) -> str:
    """The URL at which this machine reaches a server that listens on `host`, which may be every address."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


_HOW_TO_MAKE = " `ganserve keys create NAME --scope generate` makes one."


def answered_hosts(settings: Settings) -> tuple[str, ...]:
    """What `Host` may be.

    Args:
        settings: The gateway's settings.

    Returns:
        What the operator listed. Else, where anybody on this machine may call, this machine's names: a web
        page whose name was pointed at a loopback address is of one origin with the gateway to the browser,
        and has only its own name to be known by. With keys such a page gets nowhere, so any name will do.
    """
    if settings.allowed_hosts:
        return settings.allowed_hosts
    if settings.keys_file is None and is_loopback(settings.host):
        return ("localhost", "*.localhost", "loopback", settings.host)
    return ("*",)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at this address.

    Args:
        host: A name or an address, IPv4 or IPv6, as a server would be told.

    Returns:
        True if it stands for loopback addresses alone; False too for a name that stands for nothing.
    """
    if not host:
        return False  # every address there is
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_loopback(str(sockaddr[0])) for *_, sockaddr in found)


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
