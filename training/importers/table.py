"""The formats of weights there are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from training.importers.base import (
    Recognised,
    StoredFile,
    StoredModule,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.files.inert import shown
from training.importers.generators.nvidia_stylegan2 import NvidiaStyleGAN2
from training.importers.generators.nvidia_stylegan3 import NvidiaStyleGAN3
from training.importers.generators.rosinality_stylegan2 import RosinalityStyleGAN2
from training.importers.sensible import sensible
from training.importers.translators.cut import CUT
from training.importers.translators.cyclegan_pix2pix import CycleGANPix2Pix
from training.importers.upscalers.esrgan import ESRGANFormat
from training.importers.upscalers.foreign_upscalers import ForeignUpscalers
from training.importers.upscalers.leftthomas_srgan import LeftthomasSRGANFormat
from training.importers.upscalers.msrresnet import MSRResNetFormat
from training.importers.upscalers.ncnn_upscalers import NcnnFormat
from training.importers.upscalers.real_esrgan_compact import CompactFormat

FORMATS: tuple[WeightFormat, ...] = (
    NvidiaStyleGAN2(),
    NvidiaStyleGAN3(),
    RosinalityStyleGAN2(),
    NcnnFormat(),
    CompactFormat(),
    ESRGANFormat(),
    MSRResNetFormat(),
    LeftthomasSRGANFormat(),
    CycleGANPix2Pix(),
    CUT(),
)
"""In the order they are tried; no file should be of two."""

REFUSED: tuple[WeightFormat, ...] = (ForeignUpscalers(),)
"""Formats that are known so that the reason can be said why they cannot be imported; tried last."""

OWN: Final = frozenset(("format", "config", "step", "family", "engine"))
"""What a checkpoint of our own training holds, among others."""

_NAMES_SHOWN: Final = 6


def recognise(stored: StoredFile, part: str | None = None) -> Recognised:
    """Finds out what a file is.

    Args:
        stored: The file, read.
        part: Which network of the file is wanted; None is the one that is usually served.

    Returns:
        What it is, of the first format that knows it.

    Raises:
        UnsupportedWeightsError: If no format knows it, or one knows that it cannot be imported.
    """
    for known in FORMATS + REFUSED:
        with sensible(stored.path):
            found = known.recognise(stored, part)
        if found is not None:
            return found
    if isinstance(stored.content, Mapping) and stored.content.keys() >= OWN:
        raise UnsupportedWeightsError(
            f"{stored.path} is a checkpoint of gantrain itself: serve it with `gantrain export {stored.path}`"
        )
    raise UnsupportedWeightsError(
        f"{stored.path} is of no format that can be imported. It holds {_contents(stored.content)}. "
        f"What can be: {'; '.join(known.title for known in FORMATS)}"
    )


def _contents(content: Any) -> str:
    """The first of the names in a file, with shapes, for a message."""
    if isinstance(content, StoredModule):
        return f"a module {shown(content.class_name)} with " + _contents(content.tensors)
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    first = [
        f"{shown(str(key))} {list(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for key, value in itertools.islice(content.items(), _NAMES_SHOWN)
    ]
    more = f" and {len(content) - len(first)} more" if len(content) > len(first) else ""
    return (", ".join(first) or "nothing") + more
