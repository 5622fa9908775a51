"""A reader of pickles that can do nothing but build plain data.

It is a machine of its own, not Python's: there is no code in it that imports, looks up or calls what a pickle
names. A name is looked for in a table of ours (`pickle_names.py`); what the table makes of it is plain data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.byte_reader import MAX_LINE, ByteReader
from training.importers.files.inert import (
    Attributes,
    InertModule,
    Known,
    NumpyArray,
    NumpyType,
    UnknownName,
    refused,
)
from training.importers.files.window import Window

MAX_STEPS = 1_000_000
MAX_TEXT = 64 * 2**20
MAX_ODD_KEYS = 10_000
MAX_INTEGER_BYTES = 256
MAX_INDEX_DIGITS = 10
_STOP = ord(".")
_NOTHING_RAN = "; nothing in it was executed"


@dataclass
class Budget:
    """What reading a file may cost, however many pickles are in it.

    Attributes:
        steps: Opcodes; each makes an object of at most some hundred bytes.
        text: Bytes of text.
        odd_keys: Keys of dictionaries that are not text: unlike text's, their hashes can be chosen so that a
            dictionary takes quadratic time.
    """

    steps: int = MAX_STEPS
    text: int = MAX_TEXT
    odd_keys: int = MAX_ODD_KEYS

    def check(self) -> None:
        """Raises UnreadableWeightsError if it is spent."""
        for left, limit in (
            (self.steps, f"takes more than {MAX_STEPS:,} steps to read, which no weights need"),
            (self.text, f"holds more than {MAX_TEXT:,} bytes of text"),
            (self.odd_keys, f"has more than {MAX_ODD_KEYS:,} keys of dictionaries that are no text"),
        ):
            if left < 0:
                raise UnreadableWeightsError(limit + _NOTHING_RAN)


class PickleReader:
    """Reads the pickles of a stretch of a file, one after another.

    Attributes:
        at: Where the next pickle begins.
    """

    def __init__(
        self,
        window: Window,
        names: Mapping[str, object],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        """Args: where to read, what names mean, what it may cost, what makes objects of persistent ids."""
        self._bytes, self._names, self._budget, self._persistent = (
            ByteReader(window),
            names,
            budget,
            persistent,
        )
        self._start()

    @property
    def at(self) -> int:
        """Position in the window."""
        return self._bytes.at

    def read(self) -> Any:
        """The next pickle.

        Returns:
            Plain data; and, of what the table of names makes, `inert.py`'s and `stored_tensors.py`'s objects.

        Raises:
            UnreadableWeightsError: If it is damaged, names what is not in the table, or costs too much.
            UnsupportedWeightsError: If the table knows a name as one that cannot be imported.
        """
        self._start()
        code = -1
        try:
            while (code := self._bytes.byte()) != _STOP:
                self._budget.steps -= 1
                if self._budget.steps < 0:
                    self._budget.check()
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise UnreadableWeightsError(
                        f"uses the opcode 0x{code:02x} of pickles, which no weights need" + _NOTHING_RAN
                    )
                operation(self)
            result = self._pop()
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
            raise UnreadableWeightsError(
                f"is damaged, or no pickle of weights: opcode 0x{code:02x} before byte {self.at:,} makes no "
                "sense" + _NOTHING_RAN
            ) from error
        for unknown in self._unknown:
            if not unknown.is_module:
                raise refused(unknown.name)
        return result

    def skip(self, size: int) -> None:
        """Goes on behind so many bytes that are no pickle.

        Raises:
            UnreadableWeightsError: If there are fewer.
        """
        self._bytes.stretch(size)

    def _start(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._unknown: list[UnknownName] = []

    def _text(self, size: int, encoding: str = "utf-8") -> str:
        self._budget.text -= size
        self._budget.check()
        return str(self._bytes.take(size), encoding)

    # The stack.

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("the stack is empty")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    # Containers.

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError("only lists are appended to")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise TypeError("only dictionaries have items")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[self._key(key)] = value

    def _key(self, key: Any) -> Any:
        if type(key) is not str:
            self._budget.odd_keys -= 1
            self._budget.check()
            # The hash of a deep tuple is computed by a recursion without an end, and those of long integers
            # may all be the same.
            for each in key if type(key) is tuple else (key,):
                if not (each is None or type(each) in _SCALARS) or (type(each) is int and abs(each) >= 2**63):
                    raise TypeError("no key of a dictionary")
        return key

    def _table(self, values: list[Any]) -> None:
        self.push({})
        self._set_items(values)

    # Names, and what is made of them.

    def _name(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name that is no text")
        full = f"{_RENAMED.get(module, module)}.{name}"
        found = self._names.get(full)
        if found is None:
            if len(full) > MAX_LINE:
                raise ValueError("a name without an end")
            found = UnknownName(full)
            self._unknown.append(found)
        elif isinstance(found, UnsupportedWeightsError):
            raise UnsupportedWeightsError(*found.args)
        self.push(found)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if isinstance(function, UnknownName):
            raise refused(function.name)
        if not isinstance(function, Known) or type(arguments) is not tuple:
            raise TypeError("this cannot be called")
        self._charge(arguments)
        if function.name == "copyreg._reconstructor":
            self._reconstruct(*arguments)
        elif function.call is None:
            raise refused(function.name)
        else:
            self.push(function.call(*arguments))

    def _reconstruct(self, kind: object, base: object, state: object) -> None:
        """What protocols 0 and 1 write where protocol 2 has NEWOBJ."""
        if not isinstance(base, Known) or base.name != "builtins.object" or state is not None:
            raise TypeError("an object made of another")
        self.push(_new(kind, ()))

    def _build(self) -> None:
        """Gives an object its state, by a rule of ours for each kind: no object here has a `__setstate__`."""
        state = self._pop()
        target = self._stack[-1]
        self._charge((state, *state) if isinstance(state, tuple) else (state,))
        if isinstance(target, NumpyType | NumpyArray | InertModule):
            target.build(state)
        elif isinstance(target, Attributes):
            if not isinstance(state, dict) or not all(type(key) is str for key in state):
                raise TypeError("attributes that have no names")
            target.update(state)
        elif not isinstance(
            target, dict
        ):  # An OrderedDict has attributes, such as versions, that are not needed.
            raise TypeError("this has no state")

    def _charge(self, values: tuple[Any, ...]) -> None:
        """Pays for what is about to be copied: the same list may be handed over again and again."""
        for value in values:
            if isinstance(value, str | bytes):
                self._budget.text -= len(value)
            elif isinstance(value, list | tuple | dict):
                self._budget.steps -= len(value)
        self._budget.check()

    def _persist(self) -> None:
        if self._persistent is None:
            raise UnreadableWeightsError("refers to objects outside of it, and there are none" + _NOTHING_RAN)
        self.push(self._persistent(self._pop()))


def _new(kind: object, arguments: object) -> Any:
    if isinstance(kind, UnknownName):
        if arguments != ():
            raise refused(kind.name)
        return InertModule(kind.name, kind=kind)
    if not isinstance(kind, Known) or type(arguments) is not tuple:
        raise TypeError("no object can be made of this")
    if kind.new is None:
        raise refused(kind.name)
    return kind.new(*arguments)


_SCALARS = frozenset({str, bytes, int, float, bool})
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}

Operation = Callable[[PickleReader], object]


def _proto(reader: PickleReader) -> None:
    if reader._bytes.byte() > 5:
        raise ValueError("a protocol that is not known")


def _frame(reader: PickleReader) -> None:
    size = reader._bytes.number(8)
    if size > reader._bytes.left:
        raise ValueError("a frame that ends behind the file")


def _pop(reader: PickleReader) -> None:
    if reader._marks and reader._marks[-1] == len(reader._stack):
        reader._marks.pop()
    else:
        reader._pop()


def _integer_line(reader: PickleReader) -> None:
    line = reader._bytes.line().rstrip(b"L")
    if len(line) > MAX_INTEGER_BYTES:
        raise ValueError("a number without an end")
    reader.push(line == b"01" if line in (b"00", b"01") else int(line))


def _long(reader: PickleReader, width: int) -> None:
    size = reader._bytes.number(width)
    if size > MAX_INTEGER_BYTES:
        raise ValueError("a number without an end")
    reader.push(int.from_bytes(reader._bytes.take(size), "little", signed=True))


def _string_line(reader: PickleReader) -> None:
    line = reader._bytes.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"') or b"\\" in line:
        raise ValueError("text without quotation marks")
    reader.push(str(line[1:-1], "latin-1"))


def _unicode_line(reader: PickleReader) -> None:
    line = reader._bytes.line()
    if b"\\" in line:
        raise ValueError("text with escapes")
    reader.push(str(line, "latin-1"))


def _index_line(reader: PickleReader) -> int:
    line = reader._bytes.line()
    if len(line) > MAX_INDEX_DIGITS:  # The hashes of long integers may all be the same.
        raise ValueError("an index without an end")
    return int(line)


def _name_lines(reader: PickleReader) -> None:
    module = str(reader._bytes.line(), "utf-8")
    reader._name(module, str(reader._bytes.line(), "utf-8"))


def _name_of_stack(reader: PickleReader) -> None:
    name, module = reader._pop(), reader._pop()
    reader._name(module, name)


def _new_object(reader: PickleReader) -> None:
    arguments, kind = reader._pop(), reader._pop()
    reader._charge(arguments)
    reader.push(_new(kind, arguments))


def _append(reader: PickleReader) -> None:
    value = reader._pop()
    reader._extend([value])


def _set_item(reader: PickleReader) -> None:
    value, key = reader._pop(), reader._pop()
    reader._set_items([key, value])


_OPERATIONS: dict[int, Operation] = {
    0x80: _proto,
    0x95: _frame,
    ord("("): lambda r: r._marks.append(len(r._stack)),
    ord("0"): _pop,
    ord("1"): lambda r: r._since_mark(),
    ord("2"): lambda r: r.push(r._stack[-1]),
    # Plain values.
    ord("N"): lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    ord("I"): _integer_line,
    ord("L"): _integer_line,
    ord("J"): lambda r: r.push(struct.unpack("<i", r._bytes.take(4))[0]),
    ord("K"): lambda r: r.push(r._bytes.byte()),
    ord("M"): lambda r: r.push(r._bytes.number(2)),
    0x8A: lambda r: _long(r, 1),
    0x8B: lambda r: _long(r, 4),
    ord("F"): lambda r: r.push(float(r._bytes.line())),
    ord("G"): lambda r: r.push(struct.unpack(">d", r._bytes.take(8))[0]),
    # Text; that of Python 2 may be bytes: Latin-1 keeps them.
    ord("S"): _string_line,
    ord("V"): _unicode_line,
    ord("U"): lambda r: r.push(r._text(r._bytes.byte(), "latin-1")),
    ord("T"): lambda r: r.push(r._text(r._bytes.number(4), "latin-1")),
    0x8C: lambda r: r.push(r._text(r._bytes.byte())),
    ord("X"): lambda r: r.push(r._text(r._bytes.number(4))),
    0x8D: lambda r: r.push(r._text(r._bytes.number(8))),
    ord("C"): lambda r: r.push(r._bytes.binary(r._bytes.byte())),
    ord("B"): lambda r: r.push(r._bytes.binary(r._bytes.number(4))),
    0x8E: lambda r: r.push(r._bytes.binary(r._bytes.number(8))),
    0x96: lambda r: r.push(r._bytes.binary(r._bytes.number(8))),
    # Containers.
    ord(")"): lambda r: r.push(()),
    0x85: lambda r: r._tuple_of(1),
    0x86: lambda r: r._tuple_of(2),
    0x87: lambda r: r._tuple_of(3),
    ord("t"): lambda r: r.push(tuple(r._since_mark())),
    ord("]"): lambda r: r.push([]),
    ord("l"): lambda r: r.push(r._since_mark()),
    ord("a"): _append,
    ord("e"): lambda r: r._extend(r._since_mark()),
    ord("}"): lambda r: r.push({}),
    ord("d"): lambda r: r._table(r._since_mark()),
    ord("s"): _set_item,
    ord("u"): lambda r: r._set_items(r._since_mark()),
    # Sets, as lists: the hashes of members may be chosen so that a set takes quadratic time.
    0x8F: lambda r: r.push([]),
    0x90: lambda r: r._extend(r._since_mark()),
    0x91: lambda r: r.push(r._since_mark()),
    # The memo: a dictionary, as an index may be anything.
    ord("p"): lambda r: r._remember(_index_line(r)),
    ord("q"): lambda r: r._remember(r._bytes.byte()),
    ord("r"): lambda r: r._remember(r._bytes.number(4)),
    0x94: lambda r: r._remember(len(r._memo)),
    ord("g"): lambda r: r.push(r._memo[_index_line(r)]),
    ord("h"): lambda r: r.push(r._memo[r._bytes.byte()]),
    ord("j"): lambda r: r.push(r._memo[r._bytes.number(4)]),
    # Names and objects; persistent ids.
    ord("c"): _name_lines,
    0x93: _name_of_stack,
    ord("R"): lambda r: r._reduce(),
    0x81: _new_object,
    ord("b"): lambda r: r._build(),
    ord("Q"): lambda r: r._persist(),
}
"""Left out: INST and OBJ of Python 2's classes, NEWOBJ_EX, extension codes, buffers outside the pickle, and
persistent ids as lines, of the oldest protocol."""
