"""A translator becomes one Triton model: pixels in, as many pixels out."""

from __future__ import annotations

from training.export.exportable import Product
from training.export.image_product import image_product
from training.families.base import Deployable
from training.pixels import to_uint8, to_unit_range


def translator_product(deployable: Deployable) -> Product:
    """The model of a network that translates images in [−1, 1]."""
    return image_product(deployable, to_unit_range, to_uint8, scale=1)
