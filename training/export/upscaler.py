"""An upscaler becomes one Triton model: pixels in, `scale` times as many rows and columns out."""

from __future__ import annotations

import torch
from torch import Tensor

from training.export.exportable import Product
from training.export.image_product import image_product
from training.families.base import Deployable


def upscaler_product(deployable: Deployable) -> Product:
    """The model of a network that enlarges images in [0, 1]; its card says the `scale`."""
    return image_product(deployable, to_zero_one, from_zero_one, scale=int(deployable.card["scale"]))


def to_zero_one(pixels: Tensor) -> Tensor:
    """UINT8 0…255 to float 0…1, any shape."""
    return pixels.float() / 255


def from_zero_one(images: Tensor) -> Tensor:
    """Float 0…1 to UINT8, rounded half to even and clamped, any shape."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)
