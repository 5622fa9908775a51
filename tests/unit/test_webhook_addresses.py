"""Which addresses are public, and what an operator's list lets through beside them."""

from __future__ import annotations

import pytest

from service.jobs.addresses import AllowList, checked_entry, is_public, plain_address

NOT_PUBLIC = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    "::ffff:0:8.8.8.8",
    *("64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:db8::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1"),
    *("5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
)
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "172.15.0.1", "172.32.0.1", "192.167.255.255"),
    *("2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8"),
    "::ffff:8.8.8.8",
)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not_public(text: str) -> None:
    assert not is_public(plain_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert is_public(plain_address(text))


def test_ipv4_written_as_ipv6_is_compared_as_ipv4() -> None:
    allow = AllowList(["10.0.0.0/8"])
    assert allow.has_address(plain_address("::ffff:10.1.2.3"))
    assert not allow.has_address(plain_address("::ffff:11.1.2.3"))


def test_names_addresses_and_networks_are_told_apart() -> None:
    allow = AllowList(["Hooks.Example.com.", "*.internal", "127.0.0.1", "[::1]", "fd00::/8"])
    assert allow.has_host("hooks.example.com")
    assert allow.has_host("HOOKS.example.com.")
    assert allow.has_host("a.b.internal")
    assert allow.has_address(plain_address("127.0.0.1"))
    assert allow.has_address(plain_address("::1"))
    assert allow.has_address(plain_address("fd00::5"))
    for host in ("example.com", "evil-hooks.example.com", "internal", "xinternal", "127.0.0.1"):
        assert not allow.has_host(host)
    for address in ("127.0.0.2", "::2", "8.8.8.8"):
        assert not allow.has_address(plain_address(address))


@pytest.mark.parametrize("entry", ["", "*", "https://a.example", "a b", "10.0.0.1/8", "300.1.1.1", "a..b:1"])
def test_what_is_no_entry(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        checked_entry(entry)
