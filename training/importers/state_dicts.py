"""The state dict of a stored file, out of whatever it was wrapped in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from training.importers.base import StoredFile, StoredModule, UnsupportedWeightsError

MAX_PARTS = 1_000
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel, and a compiled module, put before every name."""


def state_dict_of(
    stored: StoredFile, wanted_parts: Sequence[str], part: str | None = None
) -> tuple[str, dict[str, Tensor]] | None:
    """Finds the tensors of a network, by name.

    Taken are a bare state dict, a pickled module, and dictionaries of those, such as `{'params_ema': …}` and
    `{'state_dict': …}`, also one within another. What is no tensor beside them, such as the step of the
    training, is left out.

    Args:
        stored: The file.
        wanted_parts: Names of parts that the format knows, the best first; not looked at in a file without
            parts.
        part: The one that the user wants; None leaves it to the format.

    Returns:
        The name of the part, empty for a file that has no parts, and its tensors without the prefix of a
        wrapper such as DataParallel; None if there is no such part.

    Raises:
        UnsupportedWeightsError: If the user wants a part that the file lacks.
    """
    parts = parts_of(stored)
    if part is not None and part not in parts:
        has = f"its parts are {', '.join(parts)}" if parts else "it holds one network, which needs no name"
        raise UnsupportedWeightsError(f"{stored.path} has no part {part!r}; {has}")
    for name in wanted_parts if part is None else (part,):
        if name in parts:
            return name, unwrapped(parts[name])
    if not parts and (tensors := _tensors(stored.content)):
        return "", unwrapped(tensors)
    return None


def parts_of(stored: StoredFile) -> dict[str, dict[str, Tensor]]:
    """The networks that a file holds by name; those within a dictionary within it as `outer.inner`.

    The latter also stand under their own names, unless another part has it. Empty for a bare state dict.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    nested: dict[str, dict[str, Tensor]] = {}
    if isinstance(stored.content, Mapping):
        for name, value in stored.content.items():
            if isinstance(value, Mapping) and not _tensors(value):
                for inner_name, inner in value.items():
                    if tensors := _tensors(inner):
                        if len(parts) > MAX_PARTS:
                            raise UnsupportedWeightsError(
                                f"{stored.path} holds more than {MAX_PARTS:,} networks"
                            )
                        parts[f"{name}.{inner_name}"] = tensors
                        nested.setdefault(str(inner_name), tensors)
            elif tensors := _tensors(value):
                parts[str(name)] = tensors
    return {**nested, **parts}


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what a wrapper put before all of them."""
    plain = dict(tensors)
    while True:
        prefix = next((p for p in WRAPPERS if plain and all(name.startswith(p) for name in plain)), None)
        if prefix is None:
            return plain
        plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}


def _tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a state dict or a module; empty if it is neither."""
    if isinstance(value, StoredModule):
        return dict(value.tensors)
    if not isinstance(value, Mapping):
        return {}
    return {name: v for name, v in value.items() if isinstance(name, str) and isinstance(v, Tensor)}
