"""Writes pickles as NVIDIA's StyleGANs do: modules whose class travels as source code, here a trap."""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = "raise SystemExit('source code of a pickle was executed')"


@dataclass
class Module:
    """A module of theirs.

    Attributes:
        class_name: Of its class.
        options: By which it was constructed.
        parameters: Its own, by name.
        buffers: Its own, by name.
        attributes: What else it holds.
        children: Modules right below it.
        arguments: By which it was constructed, those without a name.
        source: The source code that travels with it.
    """

    class_name: str
    options: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    children: dict[str, Module] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()
    source: str = SOURCE

    def state(self) -> dict[str, Any]:
        """The attributes of a `torch.nn.Module`."""
        hooks = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_pre_hooks")
        return {
            "training": False,
            "_parameters": OrderedDict(
                (name, torch.nn.Parameter(value, requires_grad=False))
                for name, value in self.parameters.items()
            ),
            "_buffers": OrderedDict(self.buffers),
            "_non_persistent_buffers_set": set(),
            "_is_full_backward_hook": None,
            **{hook: OrderedDict() for hook in hooks},
            "_modules": OrderedDict((name, _Persistent(child)) for name, child in self.children.items()),
            **self.attributes,
            "_init_args": self.arguments,
            "_init_kwargs": dict(self.options),
        }

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Its tensors, and those below it, by name."""
        tensors = {prefix + name: value for name, value in {**self.parameters, **self.buffers}.items()}
        for name, child in self.children.items():
            tensors |= child.state_dict(f"{prefix}{name}.")
        return tensors


class _Persistent:
    def __init__(self, module: Module) -> None:
        self._module = module

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self._module.source,
            "class_name": self._module.class_name,
            "state": self._module.state(),
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


@contextlib.contextmanager
def _their_names() -> Iterator[type]:
    """Their packages, as far as a pickle names them; and their dictionary with attributes."""

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("a pickle of theirs was executed")

    class EasyDict(dict):  # type: ignore[type-arg]  # as theirs is
        pass

    packages = {
        name: types.ModuleType(name)
        for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    for owner, thing in (("torch_utils.persistence", _reconstruct_persistent_obj), ("dnnlib.util", EasyDict)):
        thing.__module__, thing.__qualname__ = owner, thing.__name__
        setattr(packages[owner], thing.__name__, thing)
    sys.modules.update(packages)
    try:
        yield EasyDict
    finally:
        for name in packages:
            del sys.modules[name]


def write_pickle(
    path: Path, networks: dict[str, Module | None], *, protocol: int = pickle.DEFAULT_PROTOCOL, **beside: Any
) -> Path:
    """Writes networks by name, and dictionaries beside them, as their training loop does."""
    with _their_names() as EasyDict:
        content: dict[str, Any] = {
            name: network and _Persistent(network) for name, network in networks.items()
        }
        content.update((name, EasyDict(value)) for name, value in beside.items())
        path.write_bytes(pickle.dumps(content, protocol))
    return path
