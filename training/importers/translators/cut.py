"""`{epoch}_net_G.pth` of CUT and FastCUT: a ResNet that resamples without aliases."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from training.importers.base import Recognised, StoredFile, Tensors, UnsupportedWeightsError, WeightFormat
from training.importers.state_dicts import state_dict_of
from training.importers.translators.building import publish_translator, recognised
from training.importers.translators.cyclegan_pix2pix import PARTS
from training.importers.translators.translator_shapes import is_resnet, resnet_options, with_public_names
from training.networks.grey import GreyTranslator
from training.networks.resnet import ResNet


class CUT(WeightFormat):
    """Generators of CUT and FastCUT, with anti-aliased halvings, doublings or both.

    Those with neither are as CycleGAN has them.
    """

    name: ClassVar[str] = "cut"
    title: ClassVar[str] = "contrastive-unpaired-translation"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """See the base class."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        part, tensors = found[0], with_public_names(found[1])
        if not is_resnet(tensors):
            _refuse_others(stored, tensors)
            return None
        options = resnet_options(tensors)
        if not (options["antialias_down"] or options["antialias_up"]):
            return None
        title = f"CUT translator, ResNet of {options['blocks']} blocks"
        return recognised(tensors, ResNet, options, family="cut", title=title, format=self.name, part=part)

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """See the base class."""
        if isinstance(network, GreyTranslator):
            network = network.network
        if not isinstance(network, ResNet):
            return None
        tensors = publish_translator(network, self.title)
        if not any(name.endswith(".filt") for name in tensors):
            raise UnsupportedWeightsError(
                "this network resamples by strides, as CycleGAN's do: write it as `cyclegan-pix2pix`, which "
                "the code of CUT loads with --no_antialias --no_antialias_up"
            )
        return tensors


def _refuse_others(stored: StoredFile, tensors: Tensors) -> None:
    """Raises `UnsupportedWeightsError` for the other networks of that code."""
    if "mlp_0.0.weight" in tensors:
        raise UnsupportedWeightsError(
            f"{stored.path} is CUT's net_F, which projects patches for the loss and makes no images: "
            "import the net_G beside it"
        )
    if any(name.startswith("encoder.convs.") for name in tensors):
        raise UnsupportedWeightsError(
            f"{stored.path} is CUT's generator of StyleGAN2 blocks (--netG stylegan2 or smallstylegan2), "
            "which cannot be imported; those named resnet_4blocks, resnet_6blocks and resnet_9blocks can"
        )
    if any(name.startswith("enc_content.") for name in tensors):
        raise UnsupportedWeightsError(
            f"{stored.path} is CUT's generator with a separate code of style (--netG resnet_cat), which "
            "cannot be imported; those named resnet_4blocks, resnet_6blocks and resnet_9blocks can"
        )
