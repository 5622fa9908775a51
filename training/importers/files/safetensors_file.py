"""Files of safetensors: a header in JSON that says where each tensor lies, then the numbers.

The format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.inert import checked_name, shown
from training.importers.files.stored_tensors import Block, Storage, counts_of, pending_tensor
from training.importers.files.window import Window

MAX_HEADER = 4 * 2**20
"""Bytes; some 40,000 tensors."""
MAX_DIGITS = 19

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
_METADATA = "__metadata__"


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether a file that begins so has a header's length and a header."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def read_safetensors(window: Window) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a file of safetensors.

    Args:
        window: The file.

    Returns:
        The tensors and the metadata, both by name.

    Raises:
        UnreadableWeightsError: If the header is damaged, or says that tensors overlap, leave gaps, or lie
            outside the file.
        UnsupportedWeightsError: If a tensor is of a type that PyTorch has not.
    """
    length = int.from_bytes(window.read(0, 8), "little")
    if length > MAX_HEADER:
        raise _damaged(f"its header has {length:,} bytes, at most {MAX_HEADER:,} are read")
    try:
        header = json.loads(
            window.read(8, length).decode(),
            object_pairs_hook=_no_doubles,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is no JSON, or names something twice") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no table")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged("its metadata are no text")
    numbers = window.part(8 + length, window.size - 8 - length)
    places = sorted((_place(name, entry), name) for name, entry in header.items())
    behind = 0
    for (begin, end), name in places:
        if begin != behind or end < begin:
            raise _damaged(f"its tensor {shown(name)} overlaps another, or there is a gap before it")
        behind = end
    if behind != numbers.size:
        raise _damaged(f"its tensors take {behind:,} bytes, and there are {numbers.size:,}")
    order = {name: place for place, name in places}
    return {
        checked_name(name): _tensor(name, entry, numbers, order[name]) for name, entry in header.items()
    }, metadata


def _place(name: str, entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"it does not say what its tensor {shown(name)} is")
    place = counts_of(entry["data_offsets"])
    if len(place) != 2:
        raise _damaged(f"it does not say where its tensor {shown(name)} is")
    return place[0], place[1]


def _tensor(name: str, entry: dict[str, Any], numbers: Window, place: tuple[int, int]) -> Tensor:
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str):
        raise _damaged(f"it does not say what its tensor {shown(name)} is of")
    if dtype not in _DTYPES:
        raise UnsupportedWeightsError(f"has a tensor {shown(name)} of {shown(dtype)}, which is not read")
    kind, sizes = _DTYPES[dtype], counts_of(shape)
    begin, end = place
    if math.prod(sizes) * kind.itemsize != end - begin:
        raise _damaged(f"its tensor {shown(name)} of shape {list(sizes)} has {end - begin:,} bytes")
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    storage = Storage(Block(end - begin, numbers.part(begin, end - begin)), kind, 0, math.prod(sizes))
    return pending_tensor(storage, 0, sizes, strides if storage.count else [0] * len(sizes)).tensor()


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name twice")
    return table


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number without an end")
    return int(digits)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no size")


def _damaged(what: str) -> UnreadableWeightsError:
    return UnreadableWeightsError(f"is no file of safetensors, or a damaged one: {what}")
