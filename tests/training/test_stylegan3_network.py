"""StyleGAN3: its filters, what makes it equivariant, and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.training.importers.tiny_stylegan3 import R, lively_generator
from training.networks.alias_free import Resampling, filtered_leaky_relu, lowpass_filter, phase_kernels
from training.networks.stylegan3 import SynthesisSettings, signals

SCIPY_SINC = [0.0205553, 0.0428327, 0.0711669, 0.1007278, 0.1253533, 0.139364]
"""Left half of `scipy.signal.firwin(12, cutoff=2, width=4.6, fs=32)`."""
SCIPY_JINC = [0.0132642, 0.0160483, 0.017609]
"""Middle of the row above the centre of the same, radial, by `scipy.special.j1` and `numpy.kaiser`."""


def test_filters_are_those_of_scipy():
    f = lowpass_filter(12, 2.0, 4.6, 32, radial=False)
    torch.testing.assert_close(f[:6], torch.tensor(SCIPY_SINC), atol=1e-6, rtol=0)
    torch.testing.assert_close(f, f.flip(0))
    assert f.sum().item() == pytest.approx(1)
    jinc = lowpass_filter(12, 2.0, 4.6, 32, radial=True)
    torch.testing.assert_close(jinc[5, 3:6], torch.tensor(SCIPY_JINC), atol=1e-6, rtol=0)
    torch.testing.assert_close(jinc, jinc.T)


def test_layers_are_those_of_the_paper():
    """Table 1 of the appendix: StyleGAN3-T at 1024²."""
    found = signals(SynthesisSettings(1024))
    rates = [16, 16, 32, 32, 64, 128, 128, 256, 256, 512]
    assert [s.sampling_rate for s in found] == [*rates, 1024, 1024, 1024, 1024, 1024]
    assert [s.size for s in found][-4:] == [1044, 1044, 1024, 1024]
    assert [s.channels for s in found][-6:] == [128, 81, 51, 32, 32, 3]
    assert (found[0].cutoff, found[-1].cutoff) == (2, 512)
    for bad in (
        {"num_critical": 14},
        {"resolution": 48},
        {"first_stopband": 400.0, "last_stopband_rel": 0.01},
    ):
        with pytest.raises(ValueError, match=r"layers|resolution|grow"):
            signals(SynthesisSettings(**{"resolution": 64, **bad}))


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize(
    ("up", "down", "size", "out_size", "pad"), [(2, 2, 9, 8, 9), (4, 2, 9, 13, -6), (4, 2, 7, 12, 3)]
)
def test_phases_are_zeros_between_samples_and_samples_left_out(radial, up, down, size, out_size, pad):
    torch.manual_seed(0)
    x = torch.randn(2, 3, size, size)
    u, d = torch.randn(6 * up), torch.randn(6 * down, 6 * down) if radial else torch.randn(6 * down)
    r = Resampling(up, down, size, out_size, pad, len(u), len(d))
    ours = filtered_leaky_relu(x, phase_kernels(u, d, r, 3, 1.5), r, slope=0.2, clamp=4.0)

    fine = torch.zeros(2, 3, size * up, size * up)
    fine[:, :, ::up, ::up] = x
    behind = (out_size - 1) * down + 1 + len(u) + len(d) - 2 - size * up - pad
    fine = F.pad(fine, (pad, behind, pad, behind)).flatten(0, 1)[:, None]
    fine = F.conv2d(fine, torch.outer(u, u).flip(0, 1)[None, None] * up**2 * 1.5)
    fine = F.leaky_relu(fine, 0.2).clamp(-4, 4)
    both = d if radial else torch.outer(d, d)
    plain = F.conv2d(fine, both.flip(0, 1)[None, None])[:, :, ::down, ::down].unflatten(0, (2, 3))[:, :, 0]
    torch.testing.assert_close(ours, plain, atol=1e-3, rtol=1e-4)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of two images in about [−1, 1], 4 pixels from their edges."""
    error = (a - b)[..., 4:-4, 4:-4].square().mean().item()
    return 10 * math.log10(4 / error) if error else math.inf


def image(
    g, seed: int = 1, rotation: float = 0.0, translation: tuple[float, float] = (0.0, 0.0)
) -> torch.Tensor:
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, g.mapping.z_dim).astype(np.float32))
    ws = g.mapping.ws(z, None)
    picture = g.synthesis.moved(ws, torch.tensor([[rotation]]), torch.tensor([translation]))
    return (picture - picture.mean()) / picture.std() / 3


@pytest.mark.parametrize("options", [{}, R], ids=["t", "r"])
def test_moving_by_whole_pixels_moves_the_picture(options):
    """What other generators cannot do, whose details stick to coordinates: to the right, and down."""
    g = lively_generator(resolution=32, **options)
    still = image(g)
    right, down = image(g, translation=(3 / 32, 0.0)), image(g, translation=(0.0, 3 / 32))
    # Not for ever: what was cut off by finite filters, and the edges of the margins, are seen at 40 dB or so.
    assert psnr(right[..., 3:], still[..., :-3]) > 40
    assert psnr(down[..., 3:, :], still[..., :-3, :]) > 40
    assert psnr(right, still) < 38
    assert psnr(down, still) < 38


def test_r_turns_counter_clockwise_and_t_does_not():
    """By right angles without any error, as its kernels are the same from all four sides."""
    g = lively_generator(resolution=32, **R)
    still = image(g)
    assert psnr(image(g, rotation=90.0), still.rot90(1, (2, 3))) > 100
    assert psnr(image(g, rotation=-90.0), still.rot90(-1, (2, 3))) > 100
    assert psnr(image(g, rotation=90.0), still) < 40
    t = lively_generator(resolution=32)
    assert psnr(image(t, rotation=90.0), image(t).rot90(1, (2, 3))) < 25


def test_a_sub_pixel_move_is_between_two_pixels():
    g = lively_generator(resolution=32)
    still, half, whole = (image(g, translation=(step / 32, 0.0)) for step in (0.0, 0.5, 1.0))
    assert psnr(half, (still + whole) / 2) > psnr(half, still) + 3


def test_gradients_reach_ws_weights_and_the_view():
    g = lively_generator(resolution=16)
    g.requires_grad_(True)
    ws = torch.randn(2, g.mapping.num_ws, 8, requires_grad=True)
    view = torch.zeros(2, 3, requires_grad=True)
    g.synthesis.moved(ws, view[:, :1], view[:, 1:]).square().mean().backward()
    assert ws.grad is not None
    assert view.grad is not None
    assert (ws.grad.abs().sum(dim=2) > 0).all()  # of every layer
    assert (view.grad != 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in g.synthesis.parameters())


def test_a_sample_does_not_depend_on_its_batch():
    """Styles are normalised one by one, where the original takes the mean of the batch."""
    g = lively_generator(resolution=16)
    ws = torch.randn(3, g.mapping.num_ws, 8) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1)
    together = g.synthesis(ws)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], g.synthesis(ws[i : i + 1]), atol=1e-5, rtol=1e-4)
