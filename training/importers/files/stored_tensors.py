"""Tensors of a file before their numbers are read: what they claim, held against what is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.window import Window

MAX_RANK = 32
MAX_EMPTY_EXTENT = 2**16
"""Of one axis where another is empty: no bytes of the file bound it, and networks are sized by it."""

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "float64", "double", "float32", "float", "float16", "half", "bfloat16",
        "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
        "int64", "long", "int32", "int", "int16", "short", "int8", "uint8", "uint16", "uint32", "uint64",
        "bool", "complex64", "cfloat", "complex128", "cdouble",
    )
}  # fmt: skip
"""By the name that PyTorch gives them."""

STORAGE_DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


@dataclass(eq=False)
class Block:
    """The bytes that tensors share.

    Attributes:
        size: In bytes, as claimed.
        source: Where they are; of the older format of PyTorch only known at the end of the pickle.
    """

    size: int
    source: Window | None = None
    _numbers: Tensor | None = field(default=None, repr=False)

    def numbers(self) -> Tensor:
        """The bytes [size] UINT8, read once."""
        if self._numbers is None:
            if self.source is None or self.source.size != self.size:
                raise UnreadableWeightsError("has tensors without their numbers: it is cut off or damaged")
            self._numbers = (
                torch.frombuffer(self.source.all(), dtype=torch.uint8)
                if self.size
                else torch.empty(0, dtype=torch.uint8)
            )
        return self._numbers


@dataclass(frozen=True, eq=False)
class StorageType:
    """A class of storages; without a dtype, one that counts in bytes."""

    dtype: torch.dtype | None


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a row.

    Attributes:
        block: Where they are.
        dtype: None for bare bytes.
        start: First of them, in elements of the block.
        count: In elements.
    """

    block: Block
    dtype: torch.dtype | None
    start: int
    count: int

    def tensor(self, dtype: torch.dtype | None = None) -> Tensor:
        """The numbers [count], sharing the memory of the block."""
        unit = item_size(self.dtype)
        numbers = self.block.numbers()[self.start * unit : (self.start + self.count) * unit]
        return numbers.view(dtype or self.dtype or torch.uint8)


@dataclass(frozen=True, eq=False)
class PendingTensor:
    """A view of a storage, its numbers not read yet."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """What it would take if it were copied."""
        return math.prod(self.size) * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """The tensor, sharing the memory of its storage unless it is of bools.

        Raises:
            UnreadableWeightsError: If PyTorch cannot make such a tensor.
        """
        try:
            if not math.prod(self.size):
                return torch.empty(self.size, dtype=self.dtype)
            if self.dtype is torch.bool:
                # A byte that is neither 0 nor 1 is no bool, and what computes with it then is undefined.
                numbers = self.storage.tensor(torch.uint8)
                return numbers.as_strided(self.size, self.stride, numbers.storage_offset() + self.offset).ne(
                    0
                )
            numbers = self.storage.tensor(self.dtype)
            # An offset of PyTorch's counts from the beginning of the block, ours from that of the storage.
            return numbers.as_strided(self.size, self.stride, numbers.storage_offset() + self.offset)
        except RuntimeError as error:
            raise UnreadableWeightsError(f"has a tensor of an impossible shape, {list(self.size)}") from error


def item_size(dtype: torch.dtype | None) -> int:
    """Bytes of an element; of bare bytes, 1."""
    return 1 if dtype is None else dtype.itemsize


def count_of(value: object) -> int:
    """A size or an offset of a pickle.

    Raises:
        UnreadableWeightsError: If it is no such number.
    """
    if type(value) is not int or not 0 <= value < 2**62:
        raise UnreadableWeightsError("has a tensor whose sizes are no numbers, or impossible ones")
    return value


def counts_of(value: object) -> tuple[int, ...]:
    """Sizes or strides of a pickle, as `count_of`."""
    if not isinstance(value, tuple | list) or len(value) > MAX_RANK:
        raise UnreadableWeightsError("has a tensor whose sizes are no numbers, or impossible ones")
    return tuple(count_of(each) for each in value)


def pending_tensor(
    storage: object, offset: object, size: object, stride: object, dtype: torch.dtype | None = None
) -> PendingTensor:
    """A tensor as a pickle claims it.

    Args:
        storage: The numbers.
        offset: Of the first element.
        size: Of each axis.
        stride: Of each axis, in elements.
        dtype: If the storage is of bytes.

    Returns:
        The tensor.

    Raises:
        UnreadableWeightsError: If it reaches beyond its storage, or has more elements than that has.
    """
    if not isinstance(storage, Storage):
        raise UnreadableWeightsError("has a tensor without a storage")
    kind = dtype or storage.dtype
    if kind is None:
        raise UnreadableWeightsError("has a tensor of which it does not say what numbers it is of")
    first, sizes, strides = count_of(offset), counts_of(size), counts_of(stride)
    total = storage.count * item_size(storage.dtype)
    if total % kind.itemsize or len(sizes) != len(strides) or not _fills(sizes):
        raise UnreadableWeightsError("has a tensor of an impossible shape")
    held, claimed = total // kind.itemsize, math.prod(sizes)
    last = first + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) if claimed else first
    if claimed > held or (claimed and last >= held) or first > held:
        raise UnreadableWeightsError(
            f"has a tensor of {claimed:,} elements (shape {list(sizes)}) in a storage of {held:,}"
        )
    return PendingTensor(storage, kind, first, sizes, strides)


def _fills(shape: Sequence[int]) -> bool:
    """Whether its extents are bounded, by elements or because it is small."""
    return math.prod(shape) > 0 or all(extent <= MAX_EMPTY_EXTENT for extent in shape)


def numpy_tensor(
    content: bytes | bytearray, dtype: np.dtype[np.generic], shape: Sequence[int], *, fortran: bool
) -> Tensor:
    """An array of NumPy as a tensor.

    Args:
        content: The bytes.
        dtype: Of numbers or bools.
        shape: Of the array.
        fortran: Whether the first axis is the innermost.

    Returns:
        The tensor, in memory of its own.

    Raises:
        UnreadableWeightsError: If the shape does not go with the bytes.
        UnsupportedWeightsError: If PyTorch has no such numbers.
    """
    if math.prod(shape) * dtype.itemsize != len(content) or not _fills(shape):
        raise UnreadableWeightsError(f"has an array of shape {list(shape)} in {len(content):,} bytes")
    try:
        array: npt.NDArray[np.generic] = np.frombuffer(content, dtype)
        array = array.reshape(tuple(shape), order="F" if fortran else "C")
        if dtype.kind == "b":
            array = array.view(np.uint8) != 0
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
    except ValueError as error:
        raise UnreadableWeightsError(f"has an array of an impossible shape, {list(shape)}") from error
    except TypeError as error:
        raise UnsupportedWeightsError(f"has an array of NumPy's {dtype}, which PyTorch has not") from error
