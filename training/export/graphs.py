"""The graphs of a generator: its halves with labels, truncation, edits, noise and UINT8 pixels inside."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from training.export.exportable import Graph
from training.export.seeded_noise import seeded_noise
from training.families.base import MappingHalf, MovableSynthesis, SynthesisHalf
from training.networks.mapping import truncate
from training.pixels import to_uint8

TRANSFORMS: dict[str, int] = {"rotation": 1, "translation": 2}
"""What a synthesis that can turn and move its images takes besides ws and noise, with the width of each."""


class MappingGraph(Graph):
    """Latents to truncated and edited ws, by the model contract.

    Args:
        mapping: The mapping network.
        directions: Edit directions, [n_directions, num_ws, w_dim], if the model ships any.
    """

    directions: Tensor | None

    def __init__(self, mapping: MappingHalf, directions: Tensor | None = None) -> None:
        super().__init__()
        self.mapping = cast(nn.Module, mapping)
        self.register_buffer("directions", directions)

    def forward(
        self,
        z: Tensor,
        truncation_psi: Tensor,
        truncation_cutoff: Tensor,
        label: Tensor | None = None,
        edits: Tensor | None = None,
    ) -> Tensor:
        """Makes ws.

        Args:
            z: [N, z_dim] FP32.
            truncation_psi: [N, 1] FP32.
            truncation_cutoff: [N, 1] INT32.
            label: [N, c_dim] FP32, of a conditional generator alone.
            edits: [N, n_directions] FP32, how far to go along each direction, if there are any.

        Returns:
            [N, num_ws, w_dim].
        """
        mapping = cast(MappingHalf, self.mapping)
        ws = truncate(mapping.ws(z, label), mapping.w_avg, truncation_psi, truncation_cutoff)
        if self.directions is not None and edits is not None:
            moved = edits @ self.directions.flatten(1)  # [N, num_ws · w_dim]
            ws = ws + moved.unflatten(1, self.directions.shape[1:])
        return ws


class SynthesisGraph(Graph):
    """ws and a choice of noise to UINT8 pixels, by the model contract.

    A generator that takes no noise keeps the inputs, without any effect.

    Args:
        synthesis: The synthesis network.
    """

    def __init__(self, synthesis: SynthesisHalf) -> None:
        super().__init__()
        self.synthesis = cast(nn.Module, synthesis)

    def forward(self, ws: Tensor, noise_gain: Tensor, noise_seed: Tensor) -> Any:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim] FP32.
            noise_gain: [N, 1] FP32; 0 is no noise, 1 the trained strength.
            noise_seed: [N, 1] INT64; negative means the model's constant noise.

        Returns:
            UINT8 pixels [N, H, W, 3], and the images they were rounded from, [N, H, W, 3] FP32, if asked for.
        """
        synthesis = cast(SynthesisHalf, self.synthesis)
        constant = synthesis.constant_noise()
        seeded = seeded_noise(noise_seed, [layer.shape[-1] for layer in constant]) if constant else []
        gain, is_seeded = noise_gain[:, :, None, None], noise_seed[:, :, None, None] >= 0
        noise = [torch.where(is_seeded, s, c) * gain for s, c in zip(seeded, constant, strict=True)]
        images = synthesis(ws, noise).permute(0, 2, 3, 1)
        return self.pixels(to_uint8(images), images)


class MovableSynthesisGraph(Graph):
    """ws and a view to UINT8 pixels, by the model contract.

    The inputs of noise are kept, without any effect: no network that can be moved takes any.

    Args:
        synthesis: The synthesis network.
    """

    def __init__(self, synthesis: MovableSynthesis) -> None:
        super().__init__()
        self.synthesis = cast(nn.Module, synthesis)

    def forward(
        self, ws: Tensor, noise_gain: Tensor, noise_seed: Tensor, rotation: Tensor, translation: Tensor
    ) -> Any:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim] FP32.
            noise_gain: [N, 1] FP32.
            noise_seed: [N, 1] INT64.
            rotation: [N, 1] FP32, degrees.
            translation: [N, 2] FP32, fractions of the image along x and y.

        Returns:
            UINT8 pixels [N, H, W, 3], and the images they were rounded from, [N, H, W, 3] FP32, if asked for.
        """
        synthesis = cast(MovableSynthesis, self.synthesis)
        images = synthesis.moved(ws, rotation, translation).permute(0, 2, 3, 1)
        return self.pixels(to_uint8(images), images)
