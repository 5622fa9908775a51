"""What a pickle's objects become instead of themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.importers.base import UnreadableWeightsError
from training.importers.files.stored_tensors import count_of, counts_of
from training.importers.files.window import Window

MAX_NAME = 500
"""Characters of the name of a tensor or a module; those of networks have a tenth."""
MAX_SHOWN = 100
"""Characters of a name in a message."""


@dataclass(frozen=True, eq=False)
class Known:
    """A name that a pickle may use, as a function of ours that makes plain data.

    Attributes:
        name: As the pickle says it.
        call: What is made when the pickle calls it; None if it may not be called.
        new: What is made when the pickle makes an object of it without calling it; None if it may not.
    """

    name: str
    call: Callable[..., Any] | None = None
    new: Callable[..., Any] | None = None


@dataclass(eq=False)
class UnknownName:
    """A name that is not on the list: never looked up; of a module, its class may be told by it.

    Attributes:
        name: As the pickle says it.
        is_module: Whether an object of it turned out to be a module.
    """

    name: str
    is_module: bool = False


def checked_name(name: str) -> str:
    """The name of a tensor or a module, which travels on into tables, messages and graphs.

    Raises:
        UnreadableWeightsError: If it is very long, or has characters that cannot be shown.
    """
    if len(name) > MAX_NAME or not name.isprintable():
        raise UnreadableWeightsError(f"has a tensor or a module of the name {shown(name)}, which is none")
    return name


def shown(name: str) -> str:
    """A name of a file as messages may say it: short, and without characters that a terminal obeys."""
    return ascii(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…")


def refused(name: str) -> UnreadableWeightsError:
    """The error for a name that is not on the list."""
    return UnreadableWeightsError(
        f"uses {shown(name)}, which is not on the list of what files of weights may use; nothing in it was "
        "executed. If you trust it, load it with the code it came from and save its state_dict"
    )


class Attributes(dict[str, Any]):
    """An object that is but its attributes, such as `argparse.Namespace`."""


@dataclass(eq=False)
class InertModule:
    """A module of a network, as its state.

    Attributes:
        class_name: As the pickle says it.
        state: What its `__dict__` was.
        kind: The name of its class, if that is not on the list.
    """

    class_name: str
    state: dict[Any, Any] | None = None
    kind: UnknownName | None = None

    def build(self, state: object) -> None:
        """Takes the state.

        Raises:
            UnreadableWeightsError: If it has one already, or this is no module's.
        """
        parts = ("_parameters", "_buffers", "_modules")
        if not isinstance(state, dict) or self.state is not None:
            raise UnreadableWeightsError("has a module whose state is none")
        if self.kind is not None:
            if not all(isinstance(state.get(part), dict) for part in parts):
                raise refused(self.class_name)
            self.kind.is_module = True
        self.state = state


@dataclass(eq=False)
class NumpyType:
    """A dtype of NumPy."""

    code: str
    order: str = "<"

    def build(self, state: object) -> None:
        """Takes the byte order, and refuses structures."""
        if not isinstance(state, tuple) or len(state) < 5 or any(each is not None for each in state[2:5]):
            raise UnreadableWeightsError("has an array of structures, which no weights are")
        if state[1] not in ("<", ">", "|", "="):
            raise UnreadableWeightsError("has an array of an unknown byte order")
        self.order = state[1]

    def dtype(self) -> np.dtype[np.generic]:
        """NumPy's own."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # checked above


@dataclass(eq=False)
class NumpyArray:
    """An array of NumPy, its numbers not read yet."""

    dtype: np.dtype[np.generic] | None = None
    shape: tuple[int, ...] = ()
    fortran: bool = False
    content: bytes | bytearray | Window = b""

    def build(self, state: object) -> None:
        """Takes shape, dtype, order and bytes."""
        if not isinstance(state, tuple) or len(state) not in (4, 5) or self.dtype is not None:
            raise UnreadableWeightsError("has an array of NumPy that does not say what it holds")
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(dtype, NumpyType):
            raise UnreadableWeightsError("has an array of NumPy without a dtype")
        self.dtype, self.shape, self.fortran = dtype.dtype(), counts_of(shape), bool(fortran)
        self.content = bytes_of(content)

    @property
    def nbytes(self) -> int:
        """Of its numbers."""
        return self.content.size if isinstance(self.content, Window) else len(self.content)


def bytes_of(value: object) -> bytes | bytearray | Window:
    """Bytes of a pickle; Python 2 wrote them as text.

    Raises:
        UnreadableWeightsError: If it is something else.
    """
    if isinstance(value, bytes | bytearray | Window):
        return value
    if isinstance(value, str):
        return value.encode("latin-1")
    raise UnreadableWeightsError("has numbers that are no bytes")


def owned(value: bytes | bytearray | Window) -> bytes | bytearray:
    """The bytes themselves."""
    return value.all() if isinstance(value, Window) else value


NUMPY_CODES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"})


def numpy_type(code: object, *_: object) -> NumpyType:
    """What `numpy.dtype(code, align, copy)` is.

    Raises:
        UnreadableWeightsError: If it is not of numbers or bools.
    """
    if type(code) is not str or code not in NUMPY_CODES:
        kind = shown(code) if type(code) is str else "something"
        raise UnreadableWeightsError(f"has an array of NumPy's {kind}; only numbers are read")
    return NumpyType(code)


def numpy_scalar(dtype: object, content: object) -> Any:
    """What `numpy.core.multiarray.scalar(dtype, bytes)` is, as a plain number."""
    if not isinstance(dtype, NumpyType):
        raise UnreadableWeightsError("has a number of NumPy without a dtype")
    kind, number = dtype.dtype(), bytes_of(content)
    if isinstance(number, Window) or len(number) != kind.itemsize:
        raise UnreadableWeightsError("has a number of NumPy of a wrong length")
    return number != bytes(1) if kind.kind == "b" else np.frombuffer(number, kind)[0].item()


def numpy_array(content: object, dtype: object, shape: object, order: object) -> NumpyArray:
    """What `numpy.core.numeric._frombuffer` is, which pickles of protocol 5 call."""
    array = NumpyArray()
    array.build((counts_of(shape), dtype, order == "F", content))
    return array


def empty_array(_: object, shape: object, __: object) -> NumpyArray:
    """What `numpy.core.multiarray._reconstruct` makes, to be filled."""
    for each in counts_of(shape):
        count_of(each)
    return NumpyArray()
