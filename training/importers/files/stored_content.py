"""What a pickle held, as content that anything can walk: of plain values, tensors and modules, and finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from training.importers.base import StoredModule, UnreadableWeightsError
from training.importers.files.inert import (
    InertModule,
    Known,
    NumpyArray,
    UnknownName,
    checked_name,
    owned,
    refused,
    shown,
)
from training.importers.files.stored_tensors import Block, PendingTensor, Storage, numpy_tensor
from training.importers.files.window import Window

MAX_DEPTH = 150
MAX_NODES = 2_000_000
"""Of the content written out as a tree: a list of ten of a list of ten of … is small in the file alone."""
MAX_CLAIMS = 4
"""How many times the file's size all tensors together may take, if each were copied."""
SLACK = 64 * 2**20
SMALL_ARRAY = 4_096
"""Elements; attributes that are arrays of NumPy so small are lists."""

_PLAIN = (str, int, float, bool, complex, bytes, type(None))
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


class _NotPlainError(UnreadableWeightsError):
    """Something that is no plain value."""


def settle(value: Any, file_size: int) -> Any:
    """Makes content of what a pickle held.

    Args:
        value: Of `PickleReader.read`.
        file_size: In bytes; what the tensors claim is held against it.

    Returns:
        Dictionaries, lists (sets too), tuples, plain values, tensors, `StoredModule`.

    Raises:
        UnreadableWeightsError: If it refers to itself, is too deep or too large written out, or holds what
            is neither of these.
    """
    return _Settler(file_size).settle(value, 0, plain=False)[0]


class _Settler:
    """Settles each object once; a pair of what became of it, and its nodes written out as a tree."""

    def __init__(self, file_size: int) -> None:
        self._file_size = file_size
        self._tensor_bytes = MAX_CLAIMS * file_size + SLACK
        self._block_bytes = file_size + SLACK
        self._blocks: set[int] = set()
        self._done: dict[tuple[int, bool], tuple[Any, int]] = {}
        self._not_plain: dict[tuple[int, bool], _NotPlainError] = {}
        self._open: set[int] = set()

    def settle(self, value: Any, depth: int, *, plain: bool) -> tuple[Any, int]:
        """What becomes of a value; with `plain`, only what is neither a tensor nor a module."""
        if type(value) in _PLAIN:
            return value, 1
        key = (id(value), plain)
        if key in self._not_plain:
            raise self._not_plain[key]
        if key not in self._done:
            if depth > MAX_DEPTH or id(value) in self._open:
                raise UnreadableWeightsError(
                    "refers to itself" if id(value) in self._open else f"is more than {MAX_DEPTH} levels deep"
                )
            self._open.add(id(value))
            try:
                self._done[key] = self._fresh(value, depth + 1, plain)
            except _NotPlainError as error:
                self._not_plain[key] = error
                raise
            finally:
                self._open.discard(id(value))
        return self._done[key]

    def _fresh(self, value: Any, depth: int, plain: bool) -> tuple[Any, int]:
        if isinstance(value, dict):
            return self._dictionary(value, depth, plain)
        if isinstance(value, list | tuple):
            members, nodes = [], 1
            for each in value:
                member, weight = self.settle(each, depth, plain=plain)
                members.append(member)
                nodes = _checked(nodes + weight)
            return members if isinstance(value, list) else tuple(members), nodes
        if isinstance(value, torch.dtype):
            return str(value).removeprefix("torch."), 1
        if isinstance(value, NumpyArray):
            return self._array(value, plain)
        if not plain:
            if isinstance(value, InertModule):
                return self._module(value, depth)
            if isinstance(value, PendingTensor):
                self._claim(value.storage.block, value.nbytes)
                return value.tensor(), 1
            if isinstance(value, Storage):
                self._claim(value.block, value.block.size)
                return value.tensor(), 1
            if isinstance(value, bytearray | Window):
                size = value.size if isinstance(value, Window) else len(value)
                self._spend(size)
                return bytes(owned(value)), 1
        if isinstance(value, UnknownName | Known):
            raise _NotPlainError(str(refused(value.name)))
        raise _NotPlainError("holds what is neither a number, text nor a tensor; nothing in it was executed")

    def _dictionary(self, value: Mapping[Any, Any], depth: int, plain: bool) -> tuple[dict[Any, Any], int]:
        settled, nodes = {}, 1
        for key, each in value.items():
            settled[key], weight = self.settle(each, depth, plain=plain)
            nodes = _checked(nodes + 1 + weight)
            if type(key) is str and isinstance(settled[key], Tensor | StoredModule | dict):
                checked_name(key)
        return settled, nodes

    def _array(self, array: NumpyArray, plain: bool) -> tuple[Any, int]:
        if array.dtype is None:
            raise UnreadableWeightsError("has an array of NumPy without content")
        if plain and array.nbytes > SMALL_ARRAY * array.dtype.itemsize:
            raise _NotPlainError("has a large array where a plain value belongs")
        self._spend(array.nbytes)
        tensor = numpy_tensor(owned(array.content), array.dtype, array.shape, fortran=array.fortran)
        return (tensor.tolist(), 1 + tensor.numel()) if plain else (tensor, 1)

    def _module(self, module: InertModule, depth: int) -> tuple[StoredModule, int]:
        if module.state is None:
            raise refused(module.class_name)
        parameters, buffers, modules = (self._part(module, name) for name in _MODULE_PARTS)
        children: dict[str, StoredModule] = {}
        # Modules may share a state; each that looks through it pays for it.
        nodes = 1 + sum(len(each) for each in (module.state, parameters, buffers, modules))
        for name, child in modules.items():
            if child is None:
                continue
            if not isinstance(child, InertModule):
                raise UnreadableWeightsError(f"has a module in {shown(module.class_name)} that is none")
            children[checked_name(name)], weight = self.settle(child, depth, plain=False)
            nodes = _checked(nodes + weight)
        tensors: dict[str, Tensor] = {}
        for name, tensor in (*parameters.items(), *buffers.items()):
            if tensor is None:
                continue
            if not isinstance(tensor, PendingTensor) or name in tensors:
                raise UnreadableWeightsError(f"has a parameter in {shown(module.class_name)} that is none")
            tensors[checked_name(name)] = self.settle(tensor, depth, plain=False)[0]
        for name, stored in children.items():
            for below, tensor in stored.tensors.items():
                whole = checked_name(f"{name}.{below}")
                if whole in tensors:
                    raise UnreadableWeightsError(f"has two parameters of the name {shown(whole)}")
                tensors[whole] = tensor
        others = {name: each for name, each in module.state.items() if type(name) is str and name[:1] != "_"}
        attributes, weight = self._plain_items(others, depth)
        nodes = _checked(nodes + len(tensors) + weight)
        arguments = module.state.get("_init_args")
        options = module.state.get("_init_kwargs")
        arguments = arguments if isinstance(arguments, list | tuple) else ()
        plain_arguments, weight = self._plain_items(dict(enumerate(arguments)), depth)
        named = (
            {name: each for name, each in options.items() if type(name) is str}
            if isinstance(options, dict)
            else {}
        )
        plain_options, more = self._plain_items(named, depth)
        return (
            StoredModule(
                class_name=checked_name(module.class_name),
                arguments=tuple(plain_arguments.get(index) for index in range(len(arguments))),
                options=plain_options,
                tensors=tensors,
                attributes=attributes,
                children=children,
            ),
            _checked(nodes + weight + more),
        )

    def _part(self, module: InertModule, name: str) -> dict[str, Any]:
        assert module.state is not None
        part = module.state.get(name, {})
        if not isinstance(part, dict) or not all(type(key) is str for key in part):
            raise UnreadableWeightsError(
                f"has a module {shown(module.class_name)} without names for its parts"
            )
        return part

    def _plain_items(self, values: Mapping[Any, Any], depth: int) -> tuple[dict[Any, Any], int]:
        """Those items whose values are plain; a function or an object among a module's attributes is left."""
        settled: dict[Any, Any] = {}
        nodes = 1
        for key, value in values.items():
            try:
                settled[key], weight = self.settle(value, depth, plain=True)
            except _NotPlainError:
                continue
            nodes = _checked(nodes + 1 + weight)
        return settled, nodes

    def _claim(self, block: Block, size: int) -> None:
        self._spend(size)
        if id(block) not in self._blocks:
            self._blocks.add(id(block))
            self._block_bytes -= block.size
        if self._block_bytes < 0:
            raise UnreadableWeightsError(f"has tensors of more bytes than its own {self._file_size:,}")

    def _spend(self, size: int) -> None:
        self._tensor_bytes -= size
        if self._tensor_bytes < 0:
            raise UnreadableWeightsError(
                f"has tensors that together claim more than {MAX_CLAIMS} times its {self._file_size:,} bytes"
            )


def _checked(nodes: int) -> int:
    if nodes > MAX_NODES:
        raise UnreadableWeightsError(f"is more than {MAX_NODES:,} values when written out")
    return nodes
