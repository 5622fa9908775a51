"""Which network addresses a URL that came from a client may lead to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
# IPv6 that is routed in the Internet, without what lies in it for other ends. What `ipaddress` itself counts
# as global differs between the versions of Python, so it has the last word only over what these leave.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address, possibly a private one, inside
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def plain_address(text: str) -> Address:
    """An address from its text; an IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) becomes IPv4.

    Args:
        text: As `getaddrinfo` gives it, possibly with a zone.

    Raises:
        ValueError: It is no address.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet: not this machine, not a private network, not a group.

    Args:
        address: Any. One that carries an IPv4 address by NAT64 is judged by that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def checked_entry(entry: str) -> str:
    """An entry of an operator's allow-list as it is compared.

    Args:
        entry: A host name, `*.` and a domain, an IP address, or a network such as 10.0.0.0/8.

    Returns:
        The same in lower case, without the brackets around IPv6.

    Raises:
        ValueError: It is none of these.
    """
    text = entry.strip().lower().rstrip(".")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text or "/" in text or text.replace(".", "").isdigit():
        ipaddress.ip_network(text)
        return text
    if not _HOST.fullmatch(text):
        raise ValueError(f"{entry!r} is not a host name, `*.` and a domain, an IP address or a network")
    return text


class AllowList:
    """Hosts and networks that an operator trusts although they are not public."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Reads the entries.

        Args:
            entries: Each as `checked_entry` wants it.

        Raises:
            ValueError: One is something else.
        """
        names: set[str] = set()
        networks: list[Network] = []
        for entry in map(checked_entry, entries):
            if ":" in entry or "/" in entry or entry.replace(".", "").isdigit():
                networks.append(ipaddress.ip_network(entry))
            else:
                names.add(entry)
        self._names: Final = frozenset(names)
        self._networks: Final = tuple(networks)

    def has_host(self, host: str) -> bool:
        """Whether a host is listed by its name, or by `*.` and a domain above it."""
        name = host.lower().rstrip(".")
        if name in self._names:
            return True
        _, dot, domain = name.partition(".")
        while dot:
            if f"*.{domain}" in self._names:
                return True
            _, dot, domain = domain.partition(".")
        return False

    def has_address(self, address: Address) -> bool:
        """Whether an address is listed, by itself or in a network."""
        return any(address in network for network in self._networks if network.version == address.version)
