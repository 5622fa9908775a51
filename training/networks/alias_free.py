"""Non-linearities without aliasing: low-pass filters, and the leaky ReLU between two of them.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (NeurIPS 2021), section 3.1 and appendix
C. A point-wise non-linearity is applied to a finer sampling of the signal, and what it adds above the band of
the output is filtered out before the sampling becomes coarse again.

The finer sampling is never stored as an image. It is kept as its *phases*: those samples whose row and column
leave a given remainder divided by the factor. Each phase is an ordinary depthwise convolution of the input,
the non-linearity does not care in which order samples lie, and each phase adds an ordinary convolution to the
output. No zeros are multiplied, and none of the samples computed is thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def kaiser_beta(taps: int, width: float, sampling_rate: float) -> float:
    """Shape of the Kaiser window whose filter has a transition band of this width (appendix C.1).

    Args:
        taps: Length of the filter.
        width: Of the transition band, in the unit of the sampling rate.
        sampling_rate: Samples per unit.
    """
    attenuation = 2.285 * (taps - 1) * math.pi * 2 * width / sampling_rate + 7.95  # dB
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * math.pow(attenuation - 21, 0.4) + 0.07886 * (attenuation - 21)
    return 0.0


def lowpass_filter(taps: int, cutoff: float, width: float, sampling_rate: float, *, radial: bool) -> Tensor:
    """A low-pass filter by Kaiser's method (appendix C.1).

    Args:
        taps: Length along each axis.
        cutoff: Frequency at which half of the amplitude passes.
        width: Of the transition band.
        sampling_rate: Samples per unit.
        radial: Whether it is the same in every direction: a jinc, instead of a sinc along each axis.

    Returns:
        FP32 [taps] of a separable filter, [taps, taps] of a radial one; the sum is one.
    """
    x = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    beta = kaiser_beta(taps, width, sampling_rate)
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
    if radial:
        r = torch.hypot(x[:, None], x[None]) / sampling_rate
        jinc = torch.special.bessel_j1(2 * math.pi * cutoff * r) / (math.pi * r)
        f = torch.where(r > 0, jinc, cutoff) * torch.outer(window, window)
    else:
        f = torch.sinc(2 * cutoff / sampling_rate * x) * window
    return (f / f.sum()).float()


@dataclass(frozen=True)
class Resampling:
    """Sizes of a filtered non-linearity; height and width are alike.

    Attributes:
        up: Samples of the finer sampling for each of the input.
        down: Samples of the finer sampling for each of the output; `up` is a multiple of it.
        size: Height of the input.
        out_size: Height of the output.
        pad: Zero samples of the finer sampling before the first of the input; cut off if negative.
        up_taps: Length of the filter of the finer sampling.
        down_taps: Length of the filter before the coarser sampling.
    """

    up: int
    down: int
    size: int
    out_size: int
    pad: int
    up_taps: int
    down_taps: int

    @property
    def rate(self) -> int:
        """Samples of the output for each of the input, a whole number."""
        return self.up // self.down

    @property
    def up_kernel(self) -> int:
        """Taps that a phase of the finer sampling takes from the input."""
        return -(-(self.up_taps + self.up - 1 - self.pad % self.up) // self.up)

    @property
    def down_kernel(self) -> int:
        """Taps that a phase of the output takes from a phase of the finer sampling."""
        return -(-(self.down_taps + self.down * (self.rate - 1)) // self.up)

    @property
    def margins(self) -> tuple[int, int]:
        """Zeros before and behind the input that the phases of the finer sampling are computed from."""
        before = self.pad // self.up
        phase_size = -(-self.out_size // self.rate) + self.down_kernel - 1
        return before, phase_size + self.up_kernel - 1 - before - self.size


def up_phases(f: Tensor, r: Resampling) -> Tensor:
    """Taps of each phase of the finer sampling; they make up for the zeros. [up_taps] → [up, up_kernel]."""
    before = r.up - 1 - r.pad % r.up
    behind = r.up_kernel * r.up - r.up_taps - before
    taps = F.pad(f.flip(0) * r.up, (before, behind))
    return taps.view(r.up_kernel, r.up).t().flip(0)


def down_phases(f: Tensor, r: Resampling) -> Tensor:
    """What each phase of the finer sampling gives to each phase of the output.

    Args:
        f: [down_taps], or [down_taps, down_taps] of a radial filter.
        r: The sizes.

    Returns:
        [rate, up, down_kernel]; of a radial filter [rate, rate, up, up, down_kernel, down_kernel].
    """
    length = r.down_kernel * r.up
    places = [(r.down * i, length - r.down_taps - r.down * i) for i in range(r.rate)]
    if f.ndim == 1:
        taps = torch.stack([F.pad(f.flip(0), place) for place in places])
        return taps.view(r.rate, r.down_kernel, r.up).transpose(1, 2)
    taps = torch.stack([F.pad(f.flip(0, 1), (*x, *y)) for y in places for x in places])
    split = taps.view(r.rate, r.rate, r.down_kernel, r.up, r.down_kernel, r.up)
    return split.permute(0, 1, 3, 5, 2, 4)


@dataclass(frozen=True)
class PhaseKernels:
    """Depthwise kernels between the input, the phases of the finer sampling, and those of the output.

    Attributes:
        up_columns: By the phase of rows, [C, 1, up_kernel, 1].
        up_rows: By the phase of columns, [C, 1, 1, up_kernel].
        down_rows: By the phase of the output's columns and that of the finer sampling's.
        down_columns: By the phase of the output's rows and that of the finer sampling's.
        down_planes: Of a radial filter, in place of the two before: by the phases of the output's rows and
            columns, then by those of the finer sampling, all in one list.
    """

    up_columns: Sequence[Tensor]
    up_rows: Sequence[Tensor]
    down_rows: Sequence[Sequence[Tensor]] = ()
    down_columns: Sequence[Sequence[Tensor]] = ()
    down_planes: Sequence[Tensor] = ()


def phase_kernels(
    up_filter: Tensor, down_filter: Tensor, r: Resampling, channels: int, gain: float
) -> PhaseKernels:
    """The kernels of filters [up_taps] and [down_taps], or [down_taps, down_taps] if it is radial.

    Args:
        up_filter: Of the finer sampling.
        down_filter: Before the coarser one.
        r: The sizes.
        channels: Of the signal.
        gain: Scales the finer sampling.
    """
    up = up_phases(up_filter, r)
    down = down_phases(down_filter, r)

    def lines(taps: Tensor, axis: int) -> list[Tensor]:
        """[phases, K] → for each phase [channels, 1, K, 1] or [channels, 1, 1, K]."""
        taps = taps[:, None, None, :, None] if axis == 0 else taps[:, None, None, None, :]
        return list(taps.expand(-1, channels, -1, -1, -1).unbind(0))

    columns, rows = lines(up * gain, 0), lines(up, 1)
    if down.ndim == 3:
        return PhaseKernels(columns, rows, [lines(d, 1) for d in down], [lines(d, 0) for d in down])
    planes = down.flatten(0, 3)[:, None, None].expand(-1, channels, -1, -1, -1)
    return PhaseKernels(columns, rows, down_planes=planes.unbind(0))


def filtered_leaky_relu(
    x: Tensor, kernels: PhaseKernels, r: Resampling, *, slope: float, clamp: float | None
) -> Tensor:
    """Finer sampling, leaky ReLU, filter, coarser sampling (figure 4b of the paper).

    Args:
        x: [N, C, size, size].
        kernels: Of C channels.
        r: The sizes.
        slope: Of the negative side.
        clamp: What comes out of the leaky ReLU is kept within ± this; None lets everything pass.

    Returns:
        [N, C, out_size, out_size].
    """
    before, behind = r.margins
    margin = before if before == behind and before >= 0 else 0
    if not margin:
        x = F.pad(x, (before, behind, before, behind))
    outputs = [_Sum() for _ in range(r.rate**2)]
    for p in range(r.up):
        stretched = _depthwise(x, kernels.up_columns[p], (margin, 0))
        sums = [_Sum() for _ in range(r.rate)]
        for q in range(r.up):
            phase = F.leaky_relu(_depthwise(stretched, kernels.up_rows[q], (0, margin)), slope)
            if clamp is not None:
                phase = phase.clamp(-clamp, clamp)
            if kernels.down_planes:
                for i, output in enumerate(outputs):
                    output.add(_depthwise(phase, kernels.down_planes[(i * r.up + p) * r.up + q]))
            else:
                for j in range(r.rate):
                    sums[j].add(_depthwise(phase, kernels.down_rows[j][q]))
        if not kernels.down_planes:
            for i in range(r.rate):
                for j in range(r.rate):
                    outputs[i * r.rate + j].add(_depthwise(sums[j].value(), kernels.down_columns[i][p]))
    return _interleave([output.value() for output in outputs], r)


class _Sum:
    """Adds up tensors without a zero to begin with."""

    def __init__(self) -> None:
        self._value: Tensor | None = None

    def add(self, part: Tensor) -> None:
        self._value = part if self._value is None else self._value + part

    def value(self) -> Tensor:
        assert self._value is not None
        return self._value


def _interleave(parts: Sequence[Tensor], r: Resampling) -> Tensor:
    """The phases of the output as one image."""
    if r.rate == 1:
        return parts[0]
    y = torch.stack(list(parts), dim=2).flatten(1, 2)  # [N, C · rate², H, W]
    return F.pixel_shuffle(y, r.rate)[:, :, : r.out_size, : r.out_size]


def _depthwise(x: Tensor, kernel: Tensor, margin: tuple[int, int] = (0, 0)) -> Tensor:
    return F.conv2d(x, kernel, padding=margin, groups=kernel.shape[0])
