"""The formats of weights there are."""

from __future__ import annotations

from training.importers.base import Recognised, StoredFile, UnsupportedWeightsError, WeightFormat
from training.importers.cut import CUT
from training.importers.cyclegan_pix2pix import CycleGANPix2Pix
from training.importers.esrgan import ESRGANFormat
from training.importers.foreign_upscalers import ForeignUpscalers
from training.importers.leftthomas_srgan import LeftthomasSRGANFormat
from training.importers.msrresnet import MSRResNetFormat
from training.importers.ncnn_upscalers import NcnnFormat
from training.importers.nvidia_stylegan2 import NvidiaStyleGAN2
from training.importers.real_esrgan_compact import CompactFormat
from training.importers.rosinality_stylegan2 import RosinalityStyleGAN2

FORMATS: tuple[WeightFormat, ...] = (
    NvidiaStyleGAN2(),
    RosinalityStyleGAN2(),
    NcnnFormat(),
    CompactFormat(),
    ESRGANFormat(),
    MSRResNetFormat(),
    LeftthomasSRGANFormat(),
    CycleGANPix2Pix(),
    CUT(),
    ForeignUpscalers(),
)
"""In the order they are tried; no file should be of two."""


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
    for known in FORMATS:
        found = known.recognise(stored, part)
        if found is not None:
            return found
    raise UnsupportedWeightsError(f"{stored.path} is of no format that can be imported")
