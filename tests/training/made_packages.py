"""Packages as npm, Debian and Qt build them, small and made in the test."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from training.data.registry import Package


def picture(seed: int, size: tuple[int, int] = (16, 16), mode: str = "RGB", kind: str = "PNG") -> bytes:
    """A picture of noise, in which no two are alike."""
    width, height = size
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, len(mode)), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels, mode).save(out, kind, lossless=True)
    return out.getvalue()


def tarball(files: Mapping[str, bytes], compression: Literal["gz", "xz"]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo(next(iter(files)) + ".link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()


def npm(files: Mapping[str, bytes]) -> bytes:
    return tarball({f"package/{name}": data for name, data in files.items()}, "gz")


def ar(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}".encode() + b"`\n")
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def deb(files: Mapping[str, bytes]) -> bytes:
    # The member before the data has an odd length, so that the padding counts.
    data = tarball({f"./{name}": content for name, content in files.items()}, "xz")
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data})


def rcc(files: Mapping[str, bytes], version: int = 3, flags: int = 0) -> bytes:
    """A resource file with one folder `top` in its root; `flags` 1 compresses with zlib."""
    names, offsets = b"", {}
    for name in ("", "top", *files):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    time = struct.pack(">Q", 0) if version > 1 else b""
    nodes = [struct.pack(">IHII", offsets[""], 2, 1, 1) + time]
    nodes += [struct.pack(">IHII", offsets["top"], 2, len(files), 2) + time]
    payload = b""
    for name, data in files.items():
        nodes.append(struct.pack(">IHHHI", offsets[name], flags, 0, 0, len(payload)) + time)
        content = struct.pack(">I", len(data)) + zlib.compress(data) if flags & 1 else data
        payload += struct.pack(">I", len(content)) + content
    tree = b"".join(nodes)
    header = 20 + (4 if version > 2 else 0)
    start = struct.pack(
        ">4s4I", b"qres", version, header, header + len(tree), header + len(tree) + len(payload)
    )
    return start + b"\0" * (header - 20) + tree + payload + names


def cached(cache: Path, registry: Literal["npm", "Debian"], name: str, files: Mapping[str, bytes]) -> Package:
    """Builds a package and puts it where `fetch_package` finds it."""
    data = npm(files) if registry == "npm" else deb(files)
    package = Package(registry, name, "1.0", hashlib.sha256(data).hexdigest())
    cache.mkdir(parents=True, exist_ok=True)
    (cache / package.file_name).write_bytes(data)
    return package
