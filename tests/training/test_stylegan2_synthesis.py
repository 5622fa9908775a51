"""StyleGAN2 as it is served, against the network as the paper has it."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional as F

from training.export import stylegan2_synthesis
from training.export.exportable import FLOATS
from training.export.graphs import SynthesisGraph
from training.export.onnx_graph import to_onnx
from training.export.stylegan2_synthesis import ServedSynthesis, served_synthesis
from training.export.winograd import Winograd
from training.networks.layers import binomial_filter, blur
from training.networks.stylegan2 import Generator


def random_synthesis(**sizes):
    torch.manual_seed(0)
    synthesis = Generator(8, 8, mapping_layers=1, **sizes).eval().requires_grad_(False).synthesis
    for name, parameter in synthesis.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter.normal_()
    return synthesis


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("o", "i", "side"), [(3, 5, 8), (6, 4, 32), (40, 4, 16)])
def test_fewer_multiplications_make_the_same_convolution(o, i, side, up, scaled):
    torch.manual_seed(0)
    x, weight, scale = torch.randn(2, i, side, side), torch.randn(o, i, 3, 3), torch.randn(2, i, o)
    convolve = Winograd(weight, side, up=up)
    if scaled and convolve.kernels_first:
        return  # kernels are larger than maps there, and never scaled
    got = convolve(x.permute(0, 2, 3, 1), scale if scaled else None).permute(0, 3, 1, 2)
    expected = []
    for sample, factor in zip(x.double(), scale.double(), strict=True):
        kernels = weight.double() * factor.t()[:, :, None, None] if scaled else weight.double()
        if up:
            y = F.conv_transpose2d(sample[None], kernels.transpose(0, 1), stride=2)
            expected.append(blur(y, binomial_filter().double(), o, padding=1, gain=4))
        else:
            expected.append(F.conv2d(sample[None], kernels, padding=1))
    torch.testing.assert_close(got.double(), torch.cat(expected), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("channels", "computed"),
    [
        ((6, 5, 7, 8), [(False, True), (True, False), (False, True)]),
        ((40, 40, 36, 20), [(False, False), (False, True)]),  # a layer between with channels first
    ],
)
@pytest.mark.parametrize("sizes", [{}, {"noise": False}, {"bound": 0.7}])
def test_the_served_order_of_sums_makes_the_same_images(fast, channels, computed, sizes, monkeypatch):
    monkeypatch.setattr(stylegan2_synthesis, "WIDE", 4)
    synthesis = random_synthesis(resolution=32, channels=channels, **sizes)
    served = ServedSynthesis(synthesis, fast=fast)
    winograd = [(layer.up, layer.scales_kernels) for layer in served.layers[3:] if layer.channels_last]
    assert winograd == (computed if fast else [])
    ws = torch.randn(3, synthesis.num_ws, 8)
    for noise in (None, synthesis.constant_noise(), synthesis.random_noise(3)):
        if noise and not sizes.get("noise", True):
            continue
        torch.testing.assert_close(served(ws, noise), synthesis(ws, noise), rtol=1e-4, atol=3e-5)
    assert len(served.constant_noise()) == len(synthesis.constant_noise())


def test_wide_convolutions_stay_where_rounding_would_show(monkeypatch):
    monkeypatch.setattr(stylegan2_synthesis, "WIDE", 4)
    synthesis = random_synthesis(resolution=32, channels=(4, 4, 4, 4))
    assert served_synthesis(synthesis).layers[-1].convolve is not None
    for block in synthesis.blocks:
        block.torgb.weight *= 1e4  # whatever such a network is for
    assert served_synthesis(synthesis).layers[-1].convolve is None


@pytest.mark.thorough
def test_images_do_not_depend_on_what_else_is_in_their_batch(monkeypatch):
    """In ONNX Runtime, to the bit, before they are rounded; over layers of every kind, and many channels."""
    monkeypatch.setattr(stylegan2_synthesis, "WIDE", 4)
    synthesis = random_synthesis(resolution=64, channels=(8, 512, 20, 6, 4))
    graph = SynthesisGraph(ServedSynthesis(synthesis, fast=True)).eval()
    kinds = [(layer.up, layer.scales_kernels) for layer in graph.synthesis.layers if layer.channels_last]
    assert kinds == [(False, False), (False, True), (True, True), (False, True)]
    inputs = {
        "ws": torch.randn(3, synthesis.num_ws, 8),
        "noise_gain": torch.rand(3, 1),
        "noise_seed": torch.tensor([[-1], [7], [2**53]]),
    }
    graph.with_floats = True
    file = to_onnx(graph, inputs, ["images", FLOATS]).SerializeToString()
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    for threads in (2, 4):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        (together,) = session.run([FLOATS], arrays)
        assert together.std() > 0.1
        for i in range(3):
            (alone,) = session.run([FLOATS], {name: array[i : i + 1] for name, array in arrays.items()})
            np.testing.assert_array_equal(alone[0], together[i])
