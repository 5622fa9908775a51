"""The mapping network of StyleGANs, and the truncation trick.

Sources: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (CVPR
2019), section 2 and appendix B; labels as in StyleGAN2-ADA (Karras et al., NeurIPS 2020), appendix D.1.

Symbols: z latent, w intermediate latent, `ws` one w for every layer that is styled.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from training.networks.layers import EqualizedLinear, normalize_2nd_moment, without_autocast


class MappingNetwork(nn.Module):
    """w = M(z): a multilayer perceptron that turns Gaussian latents into styles, and truncates them.

    A conditional one, w = M(z, c), takes the embedded label beside z, both normalised.

    Args:
        z_dim: Width of z.
        w_dim: Width of w.
        num_ws: Copies of w in the output, one for every styled layer.
        num_layers: Fully connected layers.
        w_avg_beta: Decay of the running average of w.
        c_dim: Classes; 0 if the network is unconditional.
        layer_features: Width between the layers; by default that of w.
        embed_features: Width of the embedded label; by default that of w.
        lr_multiplier: Learning rate of the layers relative to the optimiser's.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        w_avg_beta: float = 0.998,
        c_dim: int = 0,
        layer_features: int | None = None,
        embed_features: int | None = None,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.c_dim = c_dim
        self.w_avg_beta = w_avg_beta
        embedded = (embed_features or w_dim) if c_dim else 0
        if c_dim:
            self.embed = EqualizedLinear(c_dim, embedded)
        widths = [z_dim + embedded, *[layer_features or w_dim] * (num_layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(i, o, lr_multiplier=lr_multiplier, activate=True) for i, o in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def styles(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation and broadcast.

        Args:
            z: [N, z_dim].
            label: One-hot, [N, c_dim]; an unconditional network ignores it.

        Returns:
            [N, w_dim].

        Raises:
            ValueError: If the network is conditional and gets no label.
        """
        with without_autocast(z.device):
            x = normalize_2nd_moment(z)
            if self.c_dim:
                if label is None:
                    raise ValueError(f"a conditional network needs labels, [N, {self.c_dim}]")
                x = torch.cat([x, normalize_2nd_moment(self.embed(label))], dim=1)
            for layer in self.layers:
                x = layer(x)
            return x

    def ws(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Untruncated ws. [N, z_dim] and one-hot labels [N, c_dim] → [N, num_ws, w_dim]."""
        return self.broadcast(self.styles(z, label))

    @torch.no_grad()
    def track_average(self, w: Tensor) -> None:
        """Moves the running average, which truncation pulls towards, to the mean w of a batch, [w_dim]."""
        self.w_avg.copy_(w.lerp(self.w_avg, self.w_avg_beta))

    def broadcast(self, w: Tensor) -> Tensor:
        """The same w for every layer. [N, w_dim] → [N, num_ws, w_dim]."""
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int = -1,
        label: Tensor | None = None,
    ) -> Tensor:
        """Maps latents to styles.

        Args:
            z: [N, z_dim], standard normal.
            truncation_psi: 1 leaves w as it is, 0 is the average w.
            truncation_cutoff: Truncate the first so many layers only; −1 truncates all.
            label: One-hot, [N, c_dim], if the network is conditional.

        Returns:
            ws, [N, num_ws, w_dim].
        """
        n = z.shape[0]
        psi = torch.full((n, 1), truncation_psi, device=z.device)
        cutoff = torch.full((n, 1), truncation_cutoff, dtype=torch.int32, device=z.device)
        return truncate(self.ws(z, label), self.w_avg, psi, cutoff)


def truncate(ws: Tensor, w_avg: Tensor, psi: Tensor, cutoff: Tensor) -> Tensor:
    """The truncation trick, w' = w̄ + ψ(w − w̄), with its own ψ and cutoff for each sample.

    Args:
        ws: [N, num_ws, w_dim].
        w_avg: w̄, [w_dim].
        psi: [N, 1].
        cutoff: [N, 1] integer: the first so many layers are truncated; negative means all.

    Returns:
        [N, num_ws, w_dim].
    """
    layer = torch.arange(ws.shape[1], device=ws.device).unsqueeze(0)  # [1, num_ws]
    truncated = (cutoff < 0) | (layer < cutoff)  # [N, num_ws]
    pulled = w_avg + psi.unsqueeze(2) * (ws - w_avg)
    # Chosen rather than multiplied, so that an untruncated layer keeps w bit for bit.
    return torch.where(truncated.unsqueeze(2) & (psi != 1).unsqueeze(2), pulled, ws)
