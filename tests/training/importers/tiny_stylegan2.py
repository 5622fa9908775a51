"""Tiny StyleGAN2 generators as NVIDIA and rosinality store them, of random weights, noise and means."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.training.importers.nvidia_container import Module

FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


class Draw:
    """Random numbers, always the same."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> Tensor:
        return mean + std * torch.randn(shape, generator=self._generator)


def nvidia(
    channels: tuple[int, ...] = (8, 8, 6),
    *,
    z_dim: int = 6,
    w_dim: int = 8,
    c_dim: int = 0,
    embed_features: int | None = None,
    layer_features: int | None = None,
    layers: int = 2,
    colours: int = 3,
    clamp: float | None = 256,
    noise: bool = True,
    lr_multiplier: float = 0.01,
    architecture: str = "skip",
    activation: str = "lrelu",
    w_avg: bool = True,
    fir: Tensor = FIR,
    seed: int = 0,
) -> Module:
    """A generator as stylegan2-ada-pytorch holds it in memory."""
    draw = Draw(seed)

    def dense(i: int, o: int, lr: float = 1.0, act: str = "linear", mean: float = 0.0) -> Module:
        gains = {"activation": act, "weight_gain": lr / math.sqrt(i), "bias_gain": lr}
        weight, bias = draw(o, i, std=1 / lr), draw(o, std=0.3 / lr, mean=mean)
        return Module("FullyConnectedLayer", {}, {"weight": weight, "bias": bias}, attributes=gains)

    def styled(i: int, o: int, r: int, up: int) -> Module:
        parameters = {"weight": draw(o, i, 3, 3), "bias": draw(o, std=0.3)}
        buffers = {"resample_filter": fir}
        if noise:
            parameters["noise_strength"] = draw(std=0.5)
            buffers["noise_const"] = draw(r, r)
        attributes = {
            "resolution": r, "up": up, "use_noise": noise, "activation": activation, "conv_clamp": clamp,
        }  # fmt: skip
        return Module(
            "SynthesisLayer", {}, parameters, buffers, attributes, {"affine": dense(w_dim, i, mean=1)}
        )

    embedded = (embed_features or w_dim) if c_dim else 0
    widths = [z_dim + embedded, *[layer_features or w_dim] * (layers - 1), w_dim]
    mapping = {f"fc{i}": dense(widths[i], widths[i + 1], lr_multiplier, activation) for i in range(layers)}
    if c_dim:
        mapping["embed"] = dense(c_dim, embedded)
    blocks = {}
    for i, o in enumerate(channels):
        r = 4 * 2**i
        torgb = Module(
            "ToRGBLayer", {}, {"weight": draw(colours, o, 1, 1, std=0.3), "bias": draw(colours, std=0.1)},
            {}, {"conv_clamp": clamp}, {"affine": dense(w_dim, o, mean=1)},
        )  # fmt: skip
        children = {"conv1": styled(o, o, r, 1), "torgb": torgb}
        if i:
            children["conv0"] = styled(channels[i - 1], o, r, 2)
        blocks[f"b{r}"] = Module(
            "SynthesisBlock", {}, {} if i else {"const": draw(o, 4, 4)}, {"resample_filter": fir},
            {"architecture": architecture, "use_fp16": r >= 8}, children,
        )  # fmt: skip
    options: dict[str, Any] = {"z_dim": z_dim, "c_dim": c_dim, "w_dim": w_dim, "img_resolution": r}
    buffers = {"w_avg": draw(w_dim, std=0.3)} if w_avg else {}
    children = {
        "mapping": Module("MappingNetwork", {}, {}, buffers, {"num_layers": layers}, mapping),
        "synthesis": Module("SynthesisNetwork", {}, {}, {}, {"img_channels": colours}, blocks),
    }
    return Module("Generator", options, children=children)


def rosinality(
    channels: tuple[int, ...] = (8, 8, 6), *, dim: int = 8, layers: int = 2, noise: bool = True, seed: int = 0
) -> dict[str, Tensor]:
    """The state dict of a generator of rosinality's stylegan2-pytorch."""
    draw = Draw(seed)
    state: dict[str, Tensor] = {}
    for i in range(1, layers + 1):
        state |= {f"style.{i}.weight": draw(dim, dim, std=100), f"style.{i}.bias": draw(dim, std=30)}
    state["input.input"] = draw(1, channels[0], 4, 4)

    def modulated(name: str, i: int, o: int, k: int) -> None:
        state[f"{name}.conv.weight"] = draw(1, o, i, k, k, std=1 if k == 3 else 0.3)
        state[f"{name}.conv.modulation.weight"] = draw(i, dim)
        state[f"{name}.conv.modulation.bias"] = draw(i, std=0.3, mean=1)

    def styled(name: str, i: int, o: int) -> None:
        modulated(name, i, o, 3)
        state[f"{name}.noise.weight"] = draw(1, std=0.5)
        state[f"{name}.activate.bias"] = draw(o, std=0.3)

    def coloured(name: str, i: int) -> None:
        state[f"{name}.bias"] = draw(1, 3, 1, 1, std=0.1)
        modulated(name, i, 3, 1)

    styled("conv1", channels[0], channels[0])
    coloured("to_rgb1", channels[0])
    for i, o in enumerate(channels[1:]):
        styled(f"convs.{2 * i}", channels[i], o)
        state[f"convs.{2 * i}.conv.blur.kernel"] = FIR * 4
        styled(f"convs.{2 * i + 1}", o, o)
        coloured(f"to_rgbs.{i}", o)
        state[f"to_rgbs.{i}.upsample.kernel"] = FIR * 4
    for i in range(2 * len(channels) - 1 if noise else 0):
        r = 4 * 2 ** ((i + 1) // 2)
        state[f"noises.noise_{i}"] = draw(1, 1, r, r)
    return state
