"""The graphs that are deployed: a generator's networks with truncation, noise and UINT8 pixels inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.export.seeded_noise import seeded_noise
from training.networks.stylegan2 import MappingNetwork, SynthesisNetwork, truncate
from training.pixels import to_uint8


class MappingGraph(nn.Module):
    """Latents to truncated ws, by the model contract.

    Args:
        mapping: The mapping network.
    """

    def __init__(self, mapping: MappingNetwork) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, truncation_psi: Tensor, truncation_cutoff: Tensor) -> Tensor:
        """From z [N, z_dim] FP32, truncation_psi [N, 1] FP32, truncation_cutoff [N, 1] INT32 → ws."""
        ws = self.mapping.broadcast(self.mapping.styles(z))
        return truncate(ws, self.mapping.w_avg, truncation_psi, truncation_cutoff)


class SynthesisGraph(nn.Module):
    """ws and a choice of noise to UINT8 pixels, by the model contract.

    Args:
        synthesis: The synthesis network.
    """

    def __init__(self, synthesis: SynthesisNetwork) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, ws: Tensor, noise_gain: Tensor, noise_seed: Tensor) -> tuple[Tensor, Tensor]:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim] FP32.
            noise_gain: [N, 1] FP32; 0 is no noise, 1 the trained strength.
            noise_seed: [N, 1] INT64; negative means the model's constant noise.

        Returns:
            UINT8 pixels [N, H, W, 3], and the images they were rounded from, [N, 3, H, W] FP32.
        """
        convs = self.synthesis.styled_convs()
        gain, is_seeded = noise_gain[:, :, None, None], noise_seed[:, :, None, None] >= 0
        seeded = seeded_noise(noise_seed, [conv.resolution for conv in convs])
        noise = [
            torch.where(is_seeded, s, conv.noise_const) * gain for conv, s in zip(convs, seeded, strict=True)
        ]
        images: Tensor = self.synthesis(ws, noise)
        return to_uint8(images).permute(0, 2, 3, 1), images
