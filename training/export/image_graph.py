"""The graph of a network from images to images: UINT8 in and out, any height and width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from training.export.exportable import Graph

Colours = Callable[[Tensor], Tensor]


class ImageGraph(Graph):
    """A translator or an upscaler with the conversion of pixels around it.

    A network may ask for sides that are multiples of something. Images are mirrored beyond their right and
    lower edges up to the next multiple, and what is made of that is cut off again.

    Args:
        network: [N, 3, H, W] → [N, 3, scale·H, scale·W].
        decode: From UINT8 to what the network sees, any shape.
        encode: From what the network makes to UINT8, any shape.
        scale: Enlargement.
        multiple: What the network needs heights and widths to be multiples of.
    """

    def __init__(
        self, network: nn.Module, decode: Colours, encode: Colours, scale: int, multiple: int
    ) -> None:
        super().__init__()
        self.network = network
        self.decode = decode
        self.encode = encode
        self.scale = scale
        self.multiple = multiple

    def forward(self, source: Tensor) -> Any:
        """Translates or enlarges images.

        Args:
            source: UINT8 [N, H, W, 3].

        Returns:
            UINT8 pixels [N, scale·H, scale·W, 3], and the floats they were rounded from, if asked for.
        """
        h, w, m = source.shape[1], source.shape[2], self.multiple
        if m > 1:
            source = _mirrored(source, 1, (h + m - 1) // m * m)
            source = _mirrored(source, 2, (w + m - 1) // m * m)
        images: Tensor = self.network(self.decode(source.permute(0, 3, 1, 2)))
        if m > 1:
            images = images[:, :, : h * self.scale, : w * self.scale]
        images = images.permute(0, 2, 3, 1)
        return self.pixels(self.encode(images), images)


def _mirrored(x: Tensor, axis: int, length: int) -> Tensor:
    """Lengthens an axis of n by reflection, without repeating the edge."""
    # The last index as a tensor: exporters have no remainder by a symbolic number.
    last = torch.arange(x.shape[axis], device=x.device)[-1:]
    period = (2 * last).clamp(min=1)
    index = torch.arange(length, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - index))
