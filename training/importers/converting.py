"""Weights of ours in the layouts of others, so that people can leave again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.checkpoint import load_checkpoint
from training.errors import GantrainError
from training.families.base import Deployable, Kind
from training.families.table import FAMILIES
from training.files import atomic_write
from training.importers.base import UnsupportedWeightsError, WeightFormat
from training.importers.files.reading import read_weights
from training.importers.proof import prove
from training.importers.table import FORMATS, OWN, recognise


class ConversionError(GantrainError):
    """Weights cannot be written that way; the message says what can be done."""


@dataclass(frozen=True)
class Source:
    """Networks that can be written in another layout.

    Attributes:
        kind: What they do.
        networks: Names and networks; two of a CycleGAN.
        classes: Names of the classes, of a run whose dataset has labels.
    """

    kind: Kind
    networks: Sequence[tuple[str, nn.Module]]
    classes: tuple[str, ...] = ()


def read_source(path: Path, part: str | None = None) -> Source:
    """Networks of a run of ours, of one of its checkpoints, or of a file that can be imported.

    Args:
        path: A folder of a run, or a file.
        part: Which network of an imported file.

    Raises:
        CheckpointError: If a folder holds no checkpoint.
        UnreadableWeightsError: If a file is neither; PyTorch does not get to see it then.
    """
    if path.is_dir():
        return _of_checkpoint(path)
    stored = read_weights(path)
    if isinstance(stored.content, dict) and stored.content.keys() >= OWN:
        return _of_checkpoint(path)
    found = recognise(stored, part)
    return Source(found.kind, [(path.stem, found.build().network)])


def _of_checkpoint(path: Path) -> Source:
    checkpoint = load_checkpoint(path)
    family = FAMILIES[checkpoint.config.family]
    deployables: Sequence[Deployable] = family.deployables(
        checkpoint.config, checkpoint.classes, checkpoint.family
    )
    return Source(family.kind, [(d.name, d.network) for d in deployables], checkpoint.classes)


def formats_for(network: nn.Module) -> dict[str, dict[str, Any]]:
    """What `torch.save` would write, by the name of each format that has a place for the network."""
    return _tried(network)[0]


def _tried(network: nn.Module) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What each format would write, and why others would be the right ones but cannot."""
    found, reasons = {}, []
    for known in FORMATS:
        try:
            content = known.publish(network)
        except UnsupportedWeightsError as error:
            reasons.append(f"{known.name}: {error}")
            continue
        if content is not None:
            found[known.name] = content
    return found, reasons


def convert(name: str, network: nn.Module, kind: Kind, to: str | None, out: Path) -> str:
    """Writes a network in the layout of others, and reads it back.

    Args:
        name: What the network is called, for messages.
        network: In evaluation mode.
        kind: What it does.
        to: Name of the format; None takes the only one there is.
        out: The file; one that ends in `.safetensors` is written as such.

    Returns:
        Name of the format.

    Raises:
        ConversionError: If there is no such format for this network, or a choice of several.
        UnsupportedWeightsError: If the format cannot say what this network does.
    """
    if to is None:
        possible, reasons = _tried(network)
        if len(possible) != 1:
            raise ConversionError(
                f"{name} can be written as {' or '.join(possible)}: choose with --to"
                if possible
                else "; ".join([f"no public layout has a place for {name}", *reasons])
            )
        to, content = next(iter(possible.items()))
    else:
        content = _published(name, network, to)
    _write(content, out)
    back = read_weights(out)
    found = recognise(back)
    if found.format != to:
        raise ConversionError(f"{out} reads back as {found.format} and not as {to}; please report this")
    prove(found.build(), kind)
    return to


def _published(name: str, network: nn.Module, to: str) -> dict[str, Any]:
    known: WeightFormat | None = next((known for known in FORMATS if known.name == to), None)
    content = None if known is None else known.publish(network)
    if content is None:
        possible = ", ".join(formats_for(network)) or "none"
        raise ConversionError(f"{name} cannot be written as {to!r}; possible: {possible}")
    return content


def _write(content: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".safetensors":
        from safetensors.torch import save

        flat = content
        if len(content) == 1 and isinstance(next(iter(content.values())), dict):  # {"params_ema": …}
            flat = next(iter(content.values()))
        tensors = {
            key: value.contiguous().clone() for key, value in flat.items() if isinstance(value, Tensor)
        }
        if len(tensors) != len(flat):
            raise ConversionError("this layout is more than tensors: write it as .pt or .pth")
        with atomic_write(out) as file:
            file.write(save(tensors))
        return
    with atomic_write(out) as file:
        torch.save(content, file)
