"""What pytorch-CycleGAN-and-pix2pix calls the layers of a ResNet and a U-Net, and what we call them.

There a network is a `Sequential` whose places count layers without weights too, and one that normalises
nothing keeps the place. A U-Net is nested: each level holds the next one between its way down and its way up.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from training.networks.resnet import ResidualBlock, ResNet
from training.networks.unet import UNet

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)


def public_names(network: ResNet | UNet) -> dict[str, str]:
    """The public name of every layer that may have weights or buffers, by its name here."""
    names = _resnet(network) if isinstance(network, ResNet) else _unet(network)
    layers = {name for name, _ in network.named_modules()}
    return {here: there for here, there in names.items() if here in layers}


def _resnet(network: ResNet) -> dict[str, str]:
    names = {}
    for here, there, layer in _places(network.layers):
        if isinstance(layer, ResidualBlock):
            for inner_here, inner_there, _ in _places(layer.layers):
                names[f"layers.{here}.layers.{inner_here}"] = f"model.{there}.conv_block.{inner_there}"
        else:
            names[f"layers.{here}"] = f"model.{there}"
    return names


def _places(layers: nn.Sequential) -> Iterator[tuple[int, int, nn.Module]]:
    """Each layer with its place here and there."""
    there = 0
    for here, layer in enumerate(layers):
        yield here, there, layer
        follower = layers[here + 1] if here + 1 < len(layers) else None
        keeps_place = isinstance(layer, _CONVOLUTIONS) and not isinstance(follower, (*_NORMS, nn.Tanh))
        there += 2 if keeps_place else 1


def _unet(network: UNet) -> dict[str, str]:
    names = {}
    prefix, levels = "model.model", len(network.down)
    for depth in range(levels):
        outermost, innermost = depth == 0, depth == levels - 1
        down, up = f"down.{depth}", f"up.{levels - 1 - depth}"
        if outermost:  # convolution, next level, ReLU, convolution, tanh
            names[down] = f"{prefix}.0"
            next_level, up_at = 1, 3
        elif innermost:  # leaky ReLU, convolution, ReLU, convolution, norm
            names[f"{down}.1"] = f"{prefix}.1"
            next_level, up_at = None, 3
        else:  # leaky ReLU, convolution, norm, next level, ReLU, convolution, norm, dropout
            names[f"{down}.1"] = f"{prefix}.1"
            names[f"{down}.2"] = f"{prefix}.2"
            next_level, up_at = 3, 5
        names[f"{up}.1"] = f"{prefix}.{up_at}"
        if not outermost:
            names[f"{up}.2"] = f"{prefix}.{up_at + 1}"
        prefix = f"{prefix}.{next_level}.model"
    return names
