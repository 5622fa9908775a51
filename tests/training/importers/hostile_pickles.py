"""Pickles put together opcode by opcode, and the files that they may hide in."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.reading import read_weights

MAGIC = 0x1950A86A20F9469CFC6C
CONTAINERS = ("pickle", "old pickle", "zip", "row", "nested row", "nested zip")


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def text(content: str) -> bytes:
    """BINUNICODE."""
    raw = content.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def raw(content: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(content)) + content


def integer(value: int) -> bytes:
    """LONG1."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def items(*values: bytes) -> bytes:
    """TUPLE."""
    return b"(" + b"".join(values) + b"t"


MODULE_STATE = b"}" + text("_parameters") + b"}s" + text("_buffers") + b"}s" + text("_modules") + b"}s"
"""What the state of a module has; more may follow."""


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + items(*arguments) + b"R"


def pickled(body: bytes) -> bytes:
    """A pickle of protocol 4 with what builds its value."""
    return b"\x80\x04" + body + b"."


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    """A persistent id of today's torch.save."""
    persistent = items(text("storage"), name("torch", kind), text(key), text("cpu"), integer(count))
    return persistent + b"Q"


def old_storage(count: int, view: bytes = b"N") -> bytes:
    """A persistent id of torch.save before PyTorch 1.6, of the storage `a`."""
    return (
        items(text("storage"), name("torch", "FloatStorage"), text("a"), text("cpu"), integer(count), view)
        + b"Q"
    )


def tensor(stored: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A call of `_rebuild_tensor_v2`."""
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        stored,
        integer(offset),
        items(*(integer(each) for each in size)),
        items(*(integer(each) for each in stride)),
        b"\x89",
        b"}",
    )


def archive(pickle_bytes: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """An archive of torch.save with that pickle."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("archive/data.pkl", pickle_bytes)
        made.writestr("archive/byteorder", "little")
        for key, content in (storages or {}).items():
            made.writestr(f"archive/data/{key}", content)
        made.writestr("archive/version", "3\n")
    return target.getvalue()


def row(pickle_bytes: bytes, keys: bytes = b"]", behind: bytes = b"") -> bytes:
    """A file of torch.save before PyTorch 1.6 with that pickle."""
    system = {"protocol_version": 1001, "little_endian": True}
    head = b"".join(pickle.dumps(each, 2) for each in (MAGIC, 1001, system))
    return head + pickle_bytes + b"\x80\x02" + keys + b"." + behind


def nested(content: bytes) -> bytes:
    """What makes a storage of a file of torch.save inside a pickle."""
    return call(name("torch.storage", "_load_from_bytes"), raw(content))


def hidden(container: str, body: bytes) -> bytes:
    """A file in which reading comes upon what builds a value."""
    inner = pickled(body)
    return {
        "pickle": inner,
        "old pickle": body + b".",
        "zip": archive(inner),
        "row": row(inner),
        "nested row": pickled(b"}" + text("G_ema") + nested(row(inner)) + b"s"),
        "nested zip": pickled(b"}" + text("G_ema") + nested(archive(inner)) + b"s"),
    }[container]


def safetensors(header: str, numbers: bytes = bytes(16)) -> bytes:
    """A file of safetensors with that header."""
    return struct.pack("<Q", len(header)) + header.encode() + numbers


def refusal(path: Path) -> str:
    """What the refusal of a file says."""
    with pytest.raises((UnreadableWeightsError, UnsupportedWeightsError)) as caught:
        read_weights(path)
    return str(caught.value)


def write(path: Path, content: bytes) -> Path:
    """The file."""
    path.write_bytes(content)
    return path
