"""Directions of W that change an image the most, in closed form from a generator's weights.

Source: Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (CVPR 2021), section 3.2. A
direction n moves the style s = A w + b by A n; the directions that move it the furthest, orthogonal to each
other, are the eigenvectors of AᵀA with the largest eigenvalues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.networks.mapping import MappingNetwork
from training.networks.stylegan2 import Generator, SynthesisNetwork
from training.networks.stylegan3 import Generator as StyleGAN3Generator
from training.networks.stylegan3 import SynthesisNetwork as StyleGAN3Synthesis

SAMPLES = 10_000
"""Random w that the strength of a direction is measured on."""


@dataclass(frozen=True)
class Directions:
    """Edits of ws.

    Attributes:
        names: `direction-01`, `direction-02`, …
        vectors: [n, num_ws, w_dim]; strength 1 moves w by one standard deviation of what the mapping network
            makes, measured along the direction.
        explained: Share of the change of all styles that each direction accounts for.
        layers: Indices of the ws that the directions act on; `vectors` is zero in the others.
    """

    names: tuple[str, ...]
    vectors: Tensor
    explained: list[float]
    layers: tuple[int, ...]


@torch.no_grad()
def sefa(
    generator: Generator | StyleGAN3Generator, n: int = 8, layers: Sequence[int] | None = None
) -> Directions:
    """The n most effective directions.

    Args:
        generator: A trained generator.
        n: How many, at most w_dim.
        layers: Indices of the ws that may move; None moves all alike.

    Returns:
        Directions by falling effect. Of a direction and its opposite, which are equally good, it is the one
        whose largest component is positive.

    Raises:
        ValueError: If n or an index is out of range.
    """
    mapping, synthesis = generator.mapping, generator.synthesis
    chosen = tuple(range(synthesis.num_ws)) if layers is None else tuple(sorted(set(layers)))
    if not 0 < n <= mapping.w_dim:
        raise ValueError(f"there are {mapping.w_dim} directions; asked for {n}")
    if not chosen or chosen[0] < 0 or chosen[-1] >= synthesis.num_ws:
        raise ValueError(f"layers are 0 to {synthesis.num_ws - 1}; got {chosen}")

    a = torch.cat([affine_weights(synthesis)[layer] for layer in chosen]).double()  # [styles, w_dim]
    eigenvalues, eigenvectors = torch.linalg.eigh(a.T @ a)  # rising
    top = eigenvectors.flip(1)[:, :n].T  # [n, w_dim]
    largest = top.gather(1, top.abs().argmax(dim=1, keepdim=True))
    top = top * largest.sign()

    deviation = (sample_w(mapping) @ top.T).std(dim=0)  # [n]
    vectors = torch.zeros(n, synthesis.num_ws, mapping.w_dim)
    vectors[:, chosen] = (top * deviation[:, None]).float().unsqueeze(1)
    return Directions(
        names=tuple(f"direction-{i:02d}" for i in range(1, n + 1)),
        vectors=vectors,
        explained=(eigenvalues.flip(0)[:n] / eigenvalues.sum()).tolist(),
        layers=chosen,
    )


def affine_weights(synthesis: SynthesisNetwork | StyleGAN3Synthesis) -> list[Tensor]:
    """A for each of the ws, [·, w_dim].

    That of its styled convolution, or for the last one of StyleGAN2 of the last to-RGB, and for the first one
    of StyleGAN3 of the Fourier features.
    """
    if isinstance(synthesis, StyleGAN3Synthesis):
        affines = [synthesis.input.affine, *(layer.affine for layer in synthesis.layers())]
    else:
        affines = [conv.affine for conv in synthesis.styled_convs()]
        affines.append(synthesis.last_torgb.affine)
    return [affine.weight.detach().cpu() * affine.weight_gain for affine in affines]


def sample_w(mapping: MappingNetwork, count: int = SAMPLES) -> Tensor:
    """Random w, always the same, of all classes in equal shares. FP64, [count, w_dim]."""
    device = mapping.w_avg.device
    z = torch.randn(count, mapping.z_dim, generator=torch.Generator().manual_seed(0)).to(device)
    label = None
    if mapping.c_dim:
        label = torch.eye(mapping.c_dim, device=device)[torch.arange(count, device=device) % mapping.c_dim]
    return mapping.styles(z, label).double().cpu()
