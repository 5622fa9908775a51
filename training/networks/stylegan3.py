"""The generator of StyleGAN3: Fourier features, and layers that neither alias nor know where pixels are.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (NeurIPS 2021): section 3.2 and figure 4
for the layers, table 1 and appendix B for cutoffs, appendix C.3 for positions of samples, appendix D for the
normalisation of weights and inputs, appendix F for the learned transformation of the input. `StyleGAN3-T` is
equivariant to translation; `StyleGAN3-R`, with 1×1 convolutions and radial filters, to rotation too.

Symbols are those of the paper: f_c cutoff, f_t stop band, f_h half width of the transition band, s sampling
rate. The unit of frequencies is cycles per image. Layers are named as NVIDIA's are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.alias_free import (
    PhaseKernels,
    Resampling,
    filtered_leaky_relu,
    lowpass_filter,
    phase_kernels,
)
from training.networks.layers import ACTIVATION_GAIN, EqualizedLinear
from training.networks.mapping import MappingNetwork

SLOPE = 0.2
"""Of the negative side of the leaky ReLU."""


@dataclass(frozen=True)
class SynthesisSettings:
    """What a synthesis network is made by; by default StyleGAN3-T of a given resolution.

    Attributes:
        resolution: Height and width of the image.
        channel_base: Feature maps times twice their cutoff.
        channel_max: Most feature maps of a layer.
        num_layers: Layers between the Fourier features and the colours.
        num_critical: So many of the last of them have their cutoff at half the sampling rate.
        first_cutoff: f_c of the first layer.
        first_stopband: f_t of the first layer.
        last_stopband_rel: f_t of the last layer, over its f_c.
        margin_size: Pixels computed beyond each edge of the image.
        output_scale: Scales the colours.
        conv_kernel: Height and width of the convolutions, 3 of T and 1 of R.
        filter_size: Taps of a filter for each sample of its coarser side.
        lrelu_upsampling: How much finer the leaky ReLU samples.
        use_radial_filters: Whether the filters before coarser samplings are radial, as those of R.
        conv_clamp: Feature maps are kept within ± this; None lets everything pass.
        channels: Feature maps of the signals but the image, where they follow no rule.
    """

    resolution: int
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256.0
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Signal:
    """What lies between two layers.

    Attributes:
        channels: Feature maps.
        size: Height and width in samples, margins included.
        sampling_rate: s.
        cutoff: f_c.
        half_width: f_h.
    """

    channels: int
    size: int
    sampling_rate: int
    cutoff: float
    half_width: float


def signals(settings: SynthesisSettings) -> list[Signal]:
    """The output of each layer: f_c and f_t grow geometrically up to the critical layers (section 3.2).

    Returns:
        `num_layers` + 1 signals, the last one being the image. The Fourier features are as the first.

    Raises:
        ValueError: If the settings are of no network.
    """
    g = settings
    if not 0 <= g.num_critical < g.num_layers:
        raise ValueError(f"{g.num_critical} of {g.num_layers} layers cannot be critically sampled")
    if g.resolution < 4 or g.resolution & (g.resolution - 1):
        raise ValueError(f"resolution must be a power of two, 4 or more; got {g.resolution}")
    last_cutoff = g.resolution / 2
    last_stopband = last_cutoff * g.last_stopband_rel
    found = []
    for i in range(g.num_layers + 1):
        grown = min(i / (g.num_layers - g.num_critical), 1)
        cutoff = g.first_cutoff * (last_cutoff / g.first_cutoff) ** grown
        stopband = g.first_stopband * (last_stopband / g.first_stopband) ** grown
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, g.resolution)))
        channels = round(min(g.channel_base / 2 / cutoff, g.channel_max))
        if i == g.num_layers:
            channels = 3
        elif g.channels is not None:
            channels = g.channels[i]
        size = rate + 2 * g.margin_size if i < g.num_layers - 1 else g.resolution
        found.append(Signal(channels, size, rate, cutoff, max(stopband, rate / 2) - cutoff))
    if any(after.sampling_rate < before.sampling_rate for before, after in pairwise(found)):
        raise ValueError("cutoffs and stop bands must grow from the first layer to the last")
    return found


def factors_between(before: Signal, after: Signal, settings: SynthesisSettings) -> tuple[int, int]:
    """How much finer the leaky ReLU of a layer samples than its input, and than its output."""
    rate = max(before.sampling_rate, after.sampling_rate) * settings.lrelu_upsampling
    return rate // before.sampling_rate, rate // after.sampling_rate


def filters_between(
    before: Signal, after: Signal, settings: SynthesisSettings, *, is_critical: bool
) -> tuple[Tensor, Tensor]:
    """The low-pass filters of a layer: of its finer sampling, and before its coarser one.

    Args:
        before: What the layer takes.
        after: What it gives.
        settings: Of the network.
        is_critical: Whether the cutoff is half the sampling rate.

    Returns:
        [taps] each, or the second one [taps, taps] if it is radial; a single 1 where nothing is resampled.
    """
    up, down = factors_between(before, after, settings)

    def design(signal: Signal, factor: int, *, radial: bool) -> Tensor:
        if factor == 1:
            return torch.ones(1, 1) if radial else torch.ones(1)
        rate = before.sampling_rate * up
        taps = settings.filter_size * factor
        return lowpass_filter(taps, signal.cutoff, 2 * signal.half_width, rate, radial=radial)

    radial = settings.use_radial_filters and not is_critical
    return design(before, up, radial=False), design(after, down, radial=radial)


def view_transform(rotation: Tensor, translation: Tensor) -> Tensor:
    """Which point of the network's plane is seen at each point of an image that was turned and then moved.

    Args:
        rotation: Degrees, counter-clockwise, [N, 1].
        translation: To the right and down, as fractions of the image, [N, 2].

    Returns:
        The inverse of the turn by `rotation` followed by the move, as an affine map [N, 2, 3] of
        homogeneous points, with y pointing down.
    """
    angle = rotation * (math.pi / 180)
    c, s = angle.cos(), angle.sin()  # [N, 1]
    x, y = translation[:, :1], translation[:, 1:]
    rows = [torch.cat([c, -s, s * y - c * x], dim=1), torch.cat([s, c, -s * x - c * y], dim=1)]
    return torch.stack(rows, dim=1)


class FourierInput(nn.Module):
    """Sines of frequencies up to the first cutoff, on a plane that w and the user turn and move (appendix F).

    Args:
        w_dim: Width of w.
        signal: What it gives.
    """

    freqs: Tensor
    phases: Tensor
    grid: Tensor

    def __init__(self, w_dim: int, signal: Signal) -> None:
        super().__init__()
        self.signal = signal
        n = signal.channels
        direction = F.normalize(torch.randn(n, 2), dim=1)
        # Uniform on the disc: the square root of a uniform number, as exp(−E/2) of E ~ Exp(1) is.
        radius = torch.rand(n, 1).sqrt() * signal.cutoff
        self.weight = nn.Parameter(torch.randn(n, n))
        self.affine = EqualizedLinear(w_dim, 4)  # r_c, r_s, t_x, t_y
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("freqs", direction * radius)
        self.register_buffer("phases", torch.rand(n) - 0.5)
        # Centres of the samples; the image reaches from −½ to ½, and margins beyond it.
        x = (torch.arange(signal.size, dtype=torch.float64) + 0.5 - signal.size / 2) / signal.sampling_rate
        y, x = torch.meshgrid(x, x, indexing="ij")
        self.register_buffer("grid", torch.stack([x.flatten(), y.flatten()]).float(), persistent=False)

    def forward(self, w: Tensor, view: Tensor | None = None) -> Tensor:
        """Computes the features.

        Args:
            w: [N, w_dim].
            view: What the user wants to see, [N, 2, 3], as by `view_transform`; None is what there is.

        Returns:
            [N, channels, size, size].
        """
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        c, s = t[:, :1], t[:, 1:2]
        turn = torch.stack([torch.cat([c, -s], dim=1), torch.cat([s, c], dim=1)], dim=1)  # [N, 2, 2]
        shift = -t[:, 2:, None]  # [N, 2, 1]
        if view is not None:
            shift = shift + view[:, :, 2:]
        # A frequency f of the plane is fᵀM in the image, and its phase moves by fᵀ of the image's centre.
        turned = self.freqs @ turn  # [N, channels, 2]
        phases = self.phases[:, None] + turned @ shift  # [N, channels, 1]
        freqs = turned if view is None else turned @ view[:, :, :2]
        # What the sampling cannot hold fades out between the cutoff and half the sampling rate.
        cutoff, nyquist = self.signal.cutoff, self.signal.sampling_rate / 2
        fade = 1 - (freqs.norm(dim=2, keepdim=True) - cutoff) / (nyquist - cutoff)
        x = torch.sin((freqs @ self.grid + phases) * (2 * math.pi)) * fade.clamp(0, 1)
        x = x.unflatten(2, (self.signal.size, self.signal.size))
        weight = self.weight / math.sqrt(self.signal.channels)
        return F.conv2d(x, weight[:, :, None, None])


class SynthesisLayer(nn.Module):
    """A modulated convolution and a filtered leaky ReLU; or for the last layer, the colours.

    Args:
        w_dim: Width of w.
        before: What it takes.
        after: What it gives.
        settings: Of the network.
        is_critical: Whether the cutoff is half the sampling rate.
        to_rgb: Whether it is the last layer: 1×1, without demodulation and non-linearity.
    """

    magnitude_ema: Tensor
    up_filter: Tensor
    down_filter: Tensor

    def __init__(
        self,
        w_dim: int,
        before: Signal,
        after: Signal,
        settings: SynthesisSettings,
        *,
        is_critical: bool,
        to_rgb: bool,
    ) -> None:
        super().__init__()
        self.in_channels = before.channels
        self.to_rgb = to_rgb
        self.clamp = settings.conv_clamp
        self.kernel = 1 if to_rgb else settings.conv_kernel
        self.affine = EqualizedLinear(w_dim, before.channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, self.kernel, self.kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        if to_rgb:
            return
        up_filter, down_filter = filters_between(before, after, settings, is_critical=is_critical)
        up, down = factors_between(before, after, settings)
        size = before.size + self.kernel - 1
        # So many samples lie before and behind the input; half a sample stays where it is (appendix C.3).
        taps = len(up_filter) + len(down_filter)
        pad = (after.size - 1) * down + 1 - size * up + taps - 2
        self.resampling = Resampling(
            up, down, size, after.size, (pad + up) // 2, len(up_filter), len(down_filter)
        )
        self.register_buffer("up_filter", up_filter, persistent=up > 1)
        self.register_buffer("down_filter", down_filter, persistent=down > 1)

    def normalized_weight(self) -> Tensor:
        """The weight as it is used before styles, the scale of its input taken into account. [O, I, k, k]."""
        weight: Tensor = self.weight
        gain = self.magnitude_ema.rsqrt()  # brings the input to unit variance
        if self.to_rgb:
            return weight * (gain / math.sqrt(self.in_channels))
        return weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt() * gain

    def squared_weight(self) -> Tensor:
        """ΣW² over the kernel, of the weight at unit variance, [O, I]."""
        squares = self.weight.square()
        return (squares / squares.mean(dim=(1, 2, 3), keepdim=True)).sum(dim=(2, 3))

    def kernels(self, channels: int) -> PhaseKernels:
        """Those of the filters, for so many channels."""
        return phase_kernels(self.up_filter, self.down_filter, self.resampling, channels, ACTIVATION_GAIN)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[N, in_channels, H, W] styled by w [N, w_dim] → the signal after it."""
        s, weight = self.affine(w), self.normalized_weight()
        if self.to_rgb:
            return colours(x, s, weight, self.bias, self.clamp)
        s = s * s.square().mean(dim=1, keepdim=True).rsqrt()
        y = styled(x, s, weight, self.squared_weight(), self.bias)
        kernels = self.kernels(weight.shape[0])
        return filtered_leaky_relu(y, kernels, self.resampling, slope=SLOPE, clamp=self.clamp)


def styled(x: Tensor, s: Tensor, weight: Tensor, squares: Tensor, bias: Tensor) -> Tensor:
    """A modulated convolution, brought back to unit variance, and a bias.

    Args:
        x: [N, I, H, W].
        s: Styles, [N, I].
        weight: [O, I, k, k].
        squares: ΣW² over the kernel, [O, I].
        bias: [O].

    Returns:
        [N, O, H + k − 1, W + k − 1]: as far as the kernel touches the input.
    """
    y = F.conv2d(x * s[:, :, None, None], weight, padding=weight.shape[-1] - 1)
    return y * (s.square() @ squares.t() + 1e-8).rsqrt()[:, :, None, None] + bias[:, None, None]


def colours(x: Tensor, s: Tensor, weight: Tensor, bias: Tensor, clamp: float | None) -> Tensor:
    """The last layer: a modulated 1×1 convolution to colours, kept within ± `clamp`."""
    y = F.conv2d(x * s[:, :, None, None], weight, bias)
    return y if clamp is None else y.clamp(-clamp, clamp)


class SynthesisNetwork(nn.Module):
    """ws to an image.

    Args:
        w_dim: Width of w.
        settings: What it is made by.

    Raises:
        ValueError: If the settings are of no network.
    """

    def __init__(self, w_dim: int, settings: SynthesisSettings) -> None:
        super().__init__()
        after = signals(settings)
        self.w_dim = w_dim
        self.resolution = settings.resolution
        self.output_scale = settings.output_scale
        self.num_ws = settings.num_layers + 2
        self.largest_map = max(signal.channels * signal.size**2 for signal in after)  # numbers of one image
        self.input = FourierInput(w_dim, after[0])
        self.layer_names = []
        for i, signal in enumerate(after):
            layer = SynthesisLayer(
                w_dim, after[max(i - 1, 0)], signal, settings,
                is_critical=i >= settings.num_layers - settings.num_critical,
                to_rgb=i == settings.num_layers,
            )  # fmt: skip
            self.layer_names.append(f"L{i}_{signal.size}_{signal.channels}")
            self.add_module(self.layer_names[-1], layer)

    def layers(self) -> list[SynthesisLayer]:
        """Every layer in order; layer i is styled by ws[:, i + 1]."""
        return [cast(SynthesisLayer, self.get_submodule(name)) for name in self.layer_names]

    def constant_noise(self) -> list[Tensor]:
        """None of the layers takes noise."""
        return []

    def moved(self, ws: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """Images of ws [N, num_ws, w_dim], turned [N, 1] and moved [N, 2] as in `view_transform`."""
        images: Tensor = self(ws, view=view_transform(rotation, translation))
        return images

    def forward(self, ws: Tensor, noise: list[Tensor] | None = None, view: Tensor | None = None) -> Tensor:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim]; the first w is that of the Fourier features.
            noise: Ignored: there is none in this network.
            view: How the Fourier features are looked at, [N, 2, 3], as by `view_transform`.

        Returns:
            Images in about [−1, 1], [N, 3, resolution, resolution].
        """
        x: Tensor = self.input(ws[:, 0], view)
        for i, layer in enumerate(self.layers()):
            x = layer(x, ws[:, i + 1])
        return x * self.output_scale


class Generator(nn.Module):
    """Mapping and synthesis together.

    Args:
        z_dim: Width of z.
        w_dim: Width of w.
        settings: What the synthesis network is made by.
        mapping_layers: Fully connected layers of the mapping network.
        c_dim: Classes; 0 if the generator is unconditional.
        lr_multiplier: Learning rate of the mapping network's layers relative to the optimiser's.
    """

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        settings: SynthesisSettings,
        mapping_layers: int = 2,
        c_dim: int = 0,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.synthesis = SynthesisNetwork(w_dim, settings)
        self.mapping = MappingNetwork(
            z_dim, w_dim, self.synthesis.num_ws, mapping_layers, c_dim=c_dim, lr_multiplier=lr_multiplier
        )

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int = -1,
        label: Tensor | None = None,
    ) -> Tensor:
        """Images for latents. [N, z_dim] → [N, 3, R, R] in about [−1, 1]."""
        images: Tensor = self.synthesis(self.mapping(z, truncation_psi, truncation_cutoff, label))
        return images
