"""`{epoch}_net_G.pth`, `_net_G_A.pth` and `_net_G_B.pth` of pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from training.importers.base import Recognised, StoredFile, Tensors, UnsupportedWeightsError, WeightFormat
from training.importers.state_dicts import state_dict_of
from training.importers.translators.building import publish_translator, recognised
from training.importers.translators.translator_shapes import (
    is_resnet,
    is_unet,
    resnet_options,
    unet_options,
    with_public_names,
)
from training.networks.grey import GreyTranslator
from training.networks.resnet import ResNet
from training.networks.unet import UNet

PARTS = (
    "netG",
    "net_G",
    "G",
    "generator",
    "netG_A",
    "net_G_A",
    "G_A",
    "state_dict",
    "model_state_dict",
    "model",
)
"""What people call the generator in files of several networks."""


class CycleGANPix2Pix(WeightFormat):
    """ResNet and U-Net generators of CycleGAN and Pix2Pix."""

    name: ClassVar[str] = "cyclegan-pix2pix"
    title: ClassVar[str] = "pytorch-CycleGAN-and-pix2pix"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """See the base class."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        part, tensors = found[0], with_public_names(found[1])
        about = {"format": self.name, "part": part}
        if is_resnet(tensors):
            options = resnet_options(tensors)
            if options["antialias_down"] or options["antialias_up"]:
                return None
            title = f"CycleGAN translator, ResNet of {options['blocks']} blocks"
            return recognised(tensors, ResNet, options, family="cyclegan", title=title, **about)
        if is_unet(tensors):
            options = unet_options(tensors)
            side = 2 ** options["num_downs"]
            title = f"Pix2Pix translator, U-Net for {side} × {side} pixels"
            return recognised(tensors, UNet, options, family="pix2pix", title=title, **about)
        refuse_discriminators(stored, tensors)
        return None

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """See the base class."""
        if isinstance(network, GreyTranslator):
            network = network.network
        if not isinstance(network, ResNet | UNet):
            return None
        tensors = publish_translator(network, self.title)
        if any(name.endswith(".filt") for name in tensors):
            raise UnsupportedWeightsError(
                f"{self.title} resamples by strides, and this network by filters: write it as `cut`"
            )
        return tensors


def refuse_discriminators(stored: StoredFile, tensors: Tensors) -> None:
    """Raises `UnsupportedWeightsError` for `net_D` files: stacks of convolutions with one logit a patch."""
    for first, side in (("model.0.weight", 4), ("net.0.weight", 1)):
        if first in tensors and tensors[first].ndim == 4 and tensors[first].shape[2] == side:
            raise UnsupportedWeightsError(
                f"{stored.path} is a discriminator: it judges images and makes none. Import the generator "
                "that was saved beside it, named net_G, net_G_A or net_G_B"
            )
