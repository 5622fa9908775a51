"""What the original StyleGAN3 computes, written out from the paper for one purpose: to compare with.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (NeurIPS 2021). Every sample gets weights
of its own in a grouped convolution; the finer sampling is stored whole, zeros between the samples included,
and every second or fourth sample of what was filtered is kept. Nothing is shared with `training.networks`,
whose graph does the same by other means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.importers.generators.mapping_reference import StoredMapping, scaled_lrelu


@dataclass(frozen=True)
class Layer:
    """A layer between Fourier features and colours, or the colours.

    Attributes:
        name: Of its tensors, `synthesis.L3_52_512` or the like.
        size: Height of the output.
        up: Samples of the finer sampling for each of the input.
        down: Samples of the finer sampling for each of the output.
    """

    name: str
    size: int
    up: int
    down: int


@dataclass(frozen=True)
class Stored:
    """A generator as stored.

    Attributes:
        mapping: Its mapping network.
        tensors: All tensors in FP32, by their own names.
        layers: In order; the last one gives the colours.
        size: Height of the Fourier features.
        sampling_rate: Of the Fourier features, samples an image.
        cutoff: Of the Fourier features, cycles an image.
        clamp: What outputs of non-linearities are kept within; None if they are not.
        scale: Of the colours.
    """

    mapping: StoredMapping
    tensors: Mapping[str, Tensor]
    layers: Sequence[Layer]
    size: int
    sampling_rate: int
    cutoff: float
    clamp: float | None
    scale: float

    @torch.no_grad()
    def __call__(self, z: Tensor, label: Tensor | None, psi: float) -> Tensor:
        """Latents [N, z_dim], one-hot labels [N, c_dim], ψ to images [N, 3, R, R]; grey ones three times."""
        return self.images(self.mapping(z, label, psi))

    def images(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        """Images of w [N, w_dim], looked at through an inverse affine transform [3, 3] of the plane."""
        x = self._features(w, torch.eye(3) if transform is None else transform)
        for layer in self.layers[:-1]:
            x = self._layer(x, w, layer)
        y = self._convolve(x, w, self.layers[-1].name, demodulate=False)
        y = self._clamped(y + self.tensors[f"{self.layers[-1].name}.bias"][:, None, None])
        return (y * self.scale).expand(-1, 3, -1, -1)

    def _affine(self, w: Tensor, name: str) -> Tensor:
        weight, bias = (self.tensors[f"{name}.affine.{part}"] for part in ("weight", "bias"))
        return w @ weight.T / math.sqrt(w.shape[1]) + bias

    def _features(self, w: Tensor, transform: Tensor) -> Tensor:
        """Sines on the plane, seen through the learnt transformation and the user's, [N, C, size, size]."""
        t = self._affine(w, "synthesis.input")
        turned, moved = torch.eye(3).repeat(len(w), 1, 1), torch.eye(3).repeat(len(w), 1, 1)
        norm = torch.hypot(t[:, 0], t[:, 1])
        c, s, x, y = (t[:, i] / norm for i in range(4))
        turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 0], turned[:, 1, 1] = c, -s, s, c
        moved[:, 0, 2], moved[:, 1, 2] = -x, -y
        m = turned @ moved @ transform.float()  # [N, 3, 3]

        centres = (torch.arange(self.size) - (self.size - 1) / 2) / self.sampling_rate
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        points = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)  # [H, W, 3]
        seen = torch.einsum("nij,hwj->nhwi", m[:, :2], points)
        freqs = self.tensors["synthesis.input.freqs"]
        waves: Tensor = torch.sin(2 * math.pi * (seen @ freqs.T + self.tensors["synthesis.input.phases"]))
        length = torch.einsum("ci,nij->ncj", freqs, m[:, :2, :2]).norm(dim=2)
        fade = 1 - (length - self.cutoff) / (self.sampling_rate / 2 - self.cutoff)
        waves = waves * fade.clip(0, 1)[:, None, None]
        weight = self.tensors["synthesis.input.weight"] / math.sqrt(len(freqs))
        return (waves @ weight.T).permute(0, 3, 1, 2)

    def _convolve(self, x: Tensor, w: Tensor, name: str, *, demodulate: bool) -> Tensor:
        """A convolution of every sample with weights of its own, as far as it touches the input at all."""
        weight = self.tensors[f"{name}.weight"]
        s = self._affine(w, name)
        kernels = weight * s[:, None, :, None, None]  # [N, O, I, k, k]
        if demodulate:
            # Neither the scale of the weights nor that of the styles is left, except in the summand 1e-8.
            kernels = kernels / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            kernels = kernels / s.square().mean(dim=1).sqrt()[:, None, None, None, None]
            kernels = kernels / (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
        else:
            kernels = kernels / math.sqrt(weight[0].numel())
        kernels = kernels / self.tensors[f"{name}.magnitude_ema"].sqrt()
        n, k = len(w), weight.shape[-1]
        y = F.conv2d(x.flatten(0, 1)[None], kernels.flatten(0, 1), padding=k - 1, groups=n)
        return y.reshape(n, -1, *y.shape[2:])

    def _layer(self, x: Tensor, w: Tensor, layer: Layer) -> Tensor:
        x = self._convolve(x, w, layer.name, demodulate=True)
        x = x + self.tensors[f"{layer.name}.bias"][:, None, None]
        up = self.tensors.get(f"{layer.name}.up_filter", torch.ones(1))
        down = self.tensors.get(f"{layer.name}.down_filter", torch.ones(1))
        n, c, size, _ = x.shape
        spread = x.new_zeros(n, c, size * layer.up, size * layer.up)
        spread[:, :, :: layer.up, :: layer.up] = x
        # Both filters shorten; what is left must be one sample more than the last that is kept.
        total = (layer.size - 1) * layer.down + 1 - size * layer.up + len(up) + len(down) - 2
        before = (total + layer.up) // 2
        behind = total - before
        fine = _filtered(F.pad(spread, (before, behind, before, behind)), up) * layer.up**2
        fine = self._clamped(scaled_lrelu(fine))
        return _filtered(fine, down)[:, :, :: layer.down, :: layer.down]

    def _clamped(self, x: Tensor) -> Tensor:
        return x if self.clamp is None else torch.clip(x, -self.clamp, self.clamp)


def _filtered(x: Tensor, f: Tensor) -> Tensor:
    """Convolution of every map with a filter [k, k], or along each axis with one [k], without padding."""
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, w)
    if f.ndim == 2:
        x = F.conv2d(x, f.flip(0, 1)[None, None])
    else:
        x = F.conv2d(F.conv2d(x, f.flip(0).view(1, 1, -1, 1)), f.flip(0).view(1, 1, 1, -1))
    return x.reshape(n, c, *x.shape[2:])
