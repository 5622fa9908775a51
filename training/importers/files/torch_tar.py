"""Files of `torch.save` before PyTorch 0.1.12: a tar archive of pickles and numbers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from training.importers.base import UnreadableWeightsError
from training.importers.files.inert import shown
from training.importers.files.pickle_names import NAMES
from training.importers.files.safe_pickle import Budget, PickleReader
from training.importers.files.stored_tensors import (
    MAX_RANK,
    Block,
    PendingTensor,
    Storage,
    StorageType,
    count_of,
    item_size,
    pending_tensor,
)
from training.importers.files.window import Window

_BLOCK = 512
_REGULAR = (b"0", b"\0")
_DIRECTORY = b"5"
_EXTENSIONS = b"xgLK"
MAX_ENTRIES = 64
"""Entries and what belongs to them; PyTorch wrote four."""
MAX_OBJECTS = 100_000


def looks_like_tar(head: bytes) -> bool:
    """Whether a file begins with the header of a tar's entry, by its checksum."""
    return len(head) >= _BLOCK and head[0] != 0 and _octal(head[148:156]) == _checksum(head[:_BLOCK])


def read_tar(archive: Window, budget: Budget) -> Any:
    """A file of the oldest `torch.save`.

    Args:
        archive: The file.
        budget: What reading may cost.

    Returns:
        What was saved, as `PickleReader.read` says.

    Raises:
        UnreadableWeightsError: If it is damaged or hostile, or another archive.
    """
    entries = _entries(archive)
    missing = {"storages", "tensors", "pickle"} - set(entries)
    if missing:
        raise UnreadableWeightsError(
            "is a tar archive, but not of torch.save: unpack it, and import what is in it"
        )
    objects: dict[object, Storage | PendingTensor] = {}
    _read_storages(entries["storages"], budget, objects)
    _read_tensors(entries["tensors"], budget, objects)

    def persistent(saved: Any) -> Any:
        if type(saved) is tuple and saved:
            return saved[0]  # A class, its file and its source, which is not looked at.
        return _found(objects, saved)

    return PickleReader(entries["pickle"], NAMES, budget, persistent).read()


def _entries(archive: Window) -> dict[str, Window]:
    entries: dict[str, Window] = {}
    at = 0
    for _ in range(MAX_ENTRIES):
        header = archive.read(at, _BLOCK)
        if header == bytes(_BLOCK):
            break
        size, kind = _octal(header[124:136]), header[156:157]
        if _octal(header[148:156]) != _checksum(header) or size < 0:
            raise UnreadableWeightsError("is a damaged tar archive")
        name = header[:100].rstrip(b"\0").decode("latin-1").removeprefix("./")
        if kind not in (*_REGULAR, _DIRECTORY) and kind not in _EXTENSIONS:
            raise UnreadableWeightsError(
                f"is a tar archive whose entry {shown(name)} is a link or a device, no file"
            )
        if name.startswith("/") or ".." in name.split("/"):
            raise UnreadableWeightsError(f"is a tar archive whose entry {shown(name)} leads out of it")
        if kind in _REGULAR:
            if name in entries or len(entries) >= MAX_ENTRIES:
                raise UnreadableWeightsError(f"is a tar archive with two entries {shown(name)}, or very many")
            entries[name] = archive.part(at + _BLOCK, size)
        at += _BLOCK + size + -size % _BLOCK
    return entries


def _read_storages(window: Window, budget: Budget, objects: dict[object, Storage | PendingTensor]) -> None:
    """Fills in the storages: of each a pickle of its key and type, its count, its numbers."""
    reader = PickleReader(window, NAMES, budget)
    for _ in range(_number_of(reader.read())):
        described = reader.read()
        if (
            not isinstance(described, tuple)
            or len(described) != 3
            or not isinstance(described[2], StorageType)
        ):
            raise UnreadableWeightsError("has a storage that does not say what it is")
        key, _, kind = described
        count = count_of(int.from_bytes(window.read(reader.at, 8), "little"))
        numbers = window.part(reader.at + 8, count * item_size(kind.dtype))
        _add(objects, key, Storage(Block(numbers.size, numbers), kind.dtype, 0, count))
        reader.skip(8 + numbers.size)
    for view in reader.read():
        if not isinstance(view, tuple) or len(view) != 4:
            raise UnreadableWeightsError("has a part of a storage that does not say which")
        target, root = view[0], _found(objects, view[1])
        start, count = count_of(view[2]), count_of(view[3])
        if not isinstance(root, Storage) or start + count > root.count:
            raise UnreadableWeightsError("has a part of a storage that reaches beyond it")
        _add(objects, target, Storage(root.block, root.dtype, root.start + start, count))


def _read_tensors(window: Window, budget: Budget, objects: dict[object, Storage | PendingTensor]) -> None:
    """Fills in the tensors: of each a pickle of its key and storage, its rank, sizes, strides, offset."""
    reader = PickleReader(window, NAMES, budget)
    for _ in range(_number_of(reader.read())):
        described = reader.read()
        if not isinstance(described, tuple) or len(described) != 3:
            raise UnreadableWeightsError("has a tensor that does not say what it is")
        key, storage, _ = described
        rank = int.from_bytes(window.read(reader.at, 4), "little")
        if rank > MAX_RANK:
            raise UnreadableWeightsError("has a tensor of very many axes")
        places = struct.unpack(f"<{2 * rank + 1}q", window.read(reader.at + 8, 16 * rank + 8))
        reader.skip(16 + 16 * rank)
        _add(
            objects,
            key,
            pending_tensor(_found(objects, storage), places[-1], places[:rank], places[rank : 2 * rank]),
        )


def _add(objects: dict[object, Storage | PendingTensor], key: object, value: Storage | PendingTensor) -> None:
    if type(key) not in (int, str):
        raise UnreadableWeightsError("has a tensor without a name")
    objects[str(key)] = value


def _found(objects: Mapping[object, Storage | PendingTensor], key: object) -> Storage | PendingTensor:
    found = objects.get(str(key)) if type(key) in (int, str) else None
    if found is None:
        raise UnreadableWeightsError("refers to a tensor that it does not have")
    return found


def _number_of(value: object) -> int:
    count = count_of(value)
    if count > MAX_OBJECTS:
        raise UnreadableWeightsError(f"has {count:,} tensors; at most {MAX_OBJECTS:,} are read")
    return count


def _octal(field: bytes) -> int:
    """A number of a header; −1 if it is none."""
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1


def _checksum(header: bytes) -> int:
    """The sum of a header's bytes, its own field taken for spaces."""
    return sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
