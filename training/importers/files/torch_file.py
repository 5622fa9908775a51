"""Files of `torch.save`: zip archives since PyTorch 1.6, a row of pickles before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.inert import shown
from training.importers.files.pickle_names import NAMES
from training.importers.files.safe_pickle import Budget, PickleReader
from training.importers.files.stored_tensors import Block, Storage, StorageType, count_of, item_size
from training.importers.files.window import Window
from training.importers.files.zip_directory import read_directory

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of the older format."""
_PROTOCOL = 1001
_PICKLE = "data.pkl"


def read_archive(archive: Window, budget: Budget) -> Any:
    """A file of today's `torch.save`.

    Args:
        archive: The file.
        budget: What reading may cost.

    Returns:
        What was saved, as `PickleReader.read` says.

    Raises:
        UnreadableWeightsError: If it is damaged or hostile.
        UnsupportedWeightsError: If it is another kind of archive, such as TorchScript.
    """
    found = read_directory(archive)
    budget.steps -= len(found)
    entries = {name: content for name, content in found.items() if content is not None}
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith(f"/{_PICKLE}")]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in found):
        raise UnsupportedWeightsError(
            "is a TorchScript program, not weights: load it with torch.jit.load where you trust it, and save "
            "its state_dict with torch.save"
        )
    if len(pickles) != 1:
        raise UnsupportedWeightsError(_other_archive(list(found)))
    if len(entries) != len(found):
        raise UnreadableWeightsError("has compressed entries, which torch.save never writes; save it again")
    root = pickles[0].removesuffix(_PICKLE)
    order = entries.get(f"{root}byteorder")
    if order is not None and order.read(0, min(order.size, 6)) != b"little":
        raise UnsupportedWeightsError("was written by a big-endian machine; save it again on another")
    blocks: dict[str, Block] = {}

    def storage(saved: Any) -> Storage:
        kind, key, count = _storage_id(saved)
        size = count * item_size(kind.dtype)
        content = entries.get(f"{root}data/{key}")
        if content is None or content.size != size:
            there = "none" if content is None else f"{content.size:,}"
            raise UnreadableWeightsError(f"has a storage that claims {size:,} bytes where there are {there}")
        return Storage(blocks.setdefault(key, Block(size, content)), kind.dtype, 0, count)

    pickle = entries[pickles[0]]
    reader = PickleReader(pickle, NAMES, budget, storage)
    content = reader.read()
    if reader.at != pickle.size:
        raise UnreadableWeightsError("has something behind the end of its pickle")
    return content


def read_row(window: Window, budget: Budget) -> Any:
    """A file of `torch.save` before PyTorch 1.6: pickles in a row, then the numbers.

    Args:
        window: The file.
        budget: What reading may cost.

    Returns:
        What was saved, as `PickleReader.read` says.

    Raises:
        UnreadableWeightsError: If it is damaged or hostile.
        UnsupportedWeightsError: If it is of a big-endian machine.
    """
    storages: dict[str, tuple[Block, StorageType]] = {}

    def persistent(saved: Any) -> Any:
        if type(saved) is tuple and len(saved) == 4 and saved[0] == "module":
            return saved[1]  # A class, its file and its source, which is not looked at.
        if type(saved) is not tuple or len(saved) not in (5, 6):
            raise UnreadableWeightsError("has a storage that does not say what it is")
        kind, key, count = _storage_id(saved[:5])
        size = count * item_size(kind.dtype)
        block, known = storages.setdefault(key, (Block(size), kind))
        if block.size != size or known.dtype != kind.dtype:
            raise UnreadableWeightsError("has a storage of two sizes")
        view = saved[5] if len(saved) == 6 else None
        if view is None:
            return Storage(block, kind.dtype, 0, count)
        if type(view) is not tuple or len(view) != 3:
            raise UnreadableWeightsError("has a part of a storage that does not say which")
        start, length = count_of(view[1]), count_of(view[2])
        if start + length > count:
            raise UnreadableWeightsError("has a part of a storage that reaches beyond it")
        return Storage(block, kind.dtype, start, length)

    head = PickleReader(window, NAMES, budget)
    if head.read() != MAGIC or head.read() != _PROTOCOL:
        raise UnreadableWeightsError("is no file of torch.save, or of an unknown version")
    system = head.read()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnsupportedWeightsError("was written by a big-endian machine; save it again on another")
    rest = window.part(head.at, window.size - head.at)
    body = PickleReader(rest, NAMES, budget, persistent)
    content, keys = body.read(), body.read()
    if not isinstance(keys, list) or not all(type(key) in (str, int) for key in keys):
        raise UnreadableWeightsError("does not list the storages that it uses")
    if len(keys) != len(storages) or {str(key) for key in keys} != set(storages):
        raise UnreadableWeightsError("does not list the storages that it uses")
    at = body.at
    for key in keys:
        block, kind = storages[str(key)]
        unit = item_size(kind.dtype)
        if int.from_bytes(rest.read(at, 8), "little") * unit != block.size:
            raise UnreadableWeightsError("has a storage of another size than it claims")
        block.source = rest.part(at + 8, block.size)
        at += 8 + block.size
    if at != rest.size:
        raise UnreadableWeightsError("has something behind its last storage")
    return content


def _storage_id(saved: Any) -> tuple[StorageType, str, int]:
    """Type, key and count of a persistent id."""
    if type(saved) is not tuple or len(saved) != 5 or saved[0] != "storage":
        raise UnreadableWeightsError("has a storage that does not say what it is")
    _, kind, key, _, count = saved
    if not isinstance(kind, StorageType) or type(key) not in (str, int):
        raise UnreadableWeightsError("has a storage that does not say what it is of")
    return kind, str(key), count_of(count)


def _other_archive(names: Sequence[str]) -> str:
    if any(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays: load them, and save a state_dict with torch.save"
    endings = (".pth", ".pt", ".pkl", ".safetensors", ".param", ".ckpt")
    inner = [name for name in names if name.endswith(endings) and not name.endswith(f"/{_PICKLE}")]
    if inner:
        return f"is an archive with {shown(inner[0])} in it: unpack it, and import that"
    return "is an archive, but not of torch.save"
