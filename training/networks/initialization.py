"""Initial weights of the convolutional GANs that came before equalised learning rates."""

from __future__ import annotations

from torch import nn


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draws weights of (de)convolutions and fully connected layers from N(0, std²), biases 0.

    Scales of normalisations come from N(1, std²). Source: Radford et al. (2016), section 4; Isola et al.
    (2017), section 6.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
