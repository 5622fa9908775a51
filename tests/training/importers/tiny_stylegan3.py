"""Tiny StyleGAN3 generators as NVIDIA stores them, of random weights, magnitudes and means."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.training.importers.nvidia_container import Module
from tests.training.importers.tiny_stylegan2 import Draw
from training.networks.stylegan3 import Generator, SynthesisSettings

SMALL = {"channel_base": 96, "channel_max": 7, "num_layers": 4, "num_critical": 1}
R = {"conv_kernel": 1, "use_radial_filters": True}


def lively_generator(
    c_dim: int = 0, resolution: int = 16, lr_multiplier: float = 0.01, **options: Any
) -> Generator:
    """A generator of ours in evaluation mode, whose buffers are as training leaves them."""
    draw = Draw()
    g = Generator(6, 8, SynthesisSettings(resolution, **{**SMALL, **options}), 2, c_dim, lr_multiplier)
    for name, tensor in g.state_dict().items():
        if name.endswith("magnitude_ema"):
            tensor.fill_(float(draw().abs()) + 0.3)
        elif name.endswith("affine.bias"):
            tensor += draw(*tensor.shape, std=0.2)
        elif name.endswith((".bias", "w_avg")):
            tensor += draw(*tensor.shape, std=0.3 / (lr_multiplier if "layers" in name else 1))
        elif name.endswith(".weight"):
            tensor.copy_(draw(*tensor.shape, std=1 / (lr_multiplier if "layers" in name else 1)))
        elif name.endswith("freqs"):
            tensor.copy_(draw(*tensor.shape))
        elif name.endswith("phases"):
            tensor.copy_(draw(*tensor.shape, std=0.3))
    return g.eval().requires_grad_(False)


def nvidia(
    c_dim: int = 0, resolution: int = 16, colours: int = 3, lr_multiplier: float = 0.01, **options: Any
) -> Module:
    """The generator as stylegan3 holds it in memory, made with these options."""
    options = {**SMALL, **options}
    g = lively_generator(c_dim, resolution, lr_multiplier, **options)
    mapping = {f"fc{i}": _module("FullyConnectedLayer", fc) for i, fc in enumerate(g.mapping.layers)}
    for layer in mapping.values():
        layer.attributes["bias_gain"] = lr_multiplier
    if c_dim:
        mapping["embed"] = _module("FullyConnectedLayer", g.mapping.embed)
    synthesis = {"input": _module("SynthesisInput", g.synthesis.input)}
    synthesis["input"].buffers["transform"] = torch.eye(3)
    for name, layer in zip(g.synthesis.layer_names, g.synthesis.layers(), strict=True):
        synthesis[name] = _module("SynthesisLayer", layer)
        synthesis[name].attributes["conv_clamp"] = options.get("conv_clamp", 256)
    if colours != 3:
        last = synthesis.pop(g.synthesis.layer_names[-1])
        last.parameters = {
            name: value[:1].repeat(colours, *[1] * (value.ndim - 1))
            for name, value in last.parameters.items()
        }
        synthesis[f"L{options['num_layers']}_{resolution}_{colours}"] = last
    common = {"w_dim": 8, "img_resolution": resolution, "img_channels": colours, "magnitude_ema_beta": 0.999}
    return Module(
        "Generator",
        {"z_dim": 6, "c_dim": c_dim, "mapping_kwargs": {"num_layers": 2}, **common, **options},
        children={
            "mapping": Module("MappingNetwork", {}, {}, {"w_avg": g.mapping.w_avg}, {}, mapping),
            "synthesis": Module("SynthesisNetwork", {**common, **options}, children=synthesis),
        },
    )


def _module(class_name: str, module: nn.Module) -> Module:
    """A module with the tensors of one of ours."""
    kept = module.state_dict()
    buffers = {name: value for name, value in module.named_buffers(recurse=False) if name in kept}
    parameters: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
    children = {name: _module("FullyConnectedLayer", child) for name, child in module.named_children()}
    return Module(class_name, {}, parameters, buffers, {}, children)
