"""What Pix2Pix and CycleGAN share: settings, how their networks are built, and how they are served."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from training.config import DataConfig, OptimizationConfig, Section
from training.families.base import Deployable, State
from training.losses import ADVERSARIAL, AdversarialName
from training.networks.dropout import Dropout
from training.networks.norms import NormName, normalise_by_image
from training.networks.patchgan import PatchGAN
from training.networks.resnet import ResNet
from training.networks.unet import UNet


class TranslationData(DataConfig):
    """Which pairs, or which two sets, are learnt from."""

    enlarge: float = Field(
        286 / 256, ge=1, le=2, description="Images are enlarged so much and cropped back at random; 1 is off."
    )
    mirror: bool = Field(True, description="Whether half the samples are shown mirrored left to right.")


class GeneratorConfig(Section):
    """The generator."""

    network: Literal["unet", "resnet"] = Field("unet", description="Architecture.")
    channels: int = Field(64, gt=0, description="Channels of the outermost layers.")
    channel_max: int | None = Field(None, gt=0, description="unet: most channels; by default 8 · channels.")
    num_downs: int = Field(8, ge=2, le=10, description="unet: halvings down to the bottleneck.")
    blocks: int = Field(9, gt=0, description="resnet: residual blocks.")
    downs: int = Field(2, ge=0, le=4, description="resnet: halvings before the blocks.")
    antialias: bool = Field(False, description="resnet: resamples by filters, as CUT does, not by strides.")
    norm: NormName = Field("batch", description="Normalisation layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of units dropped in inner layers.")


class DiscriminatorConfig(Section):
    """The PatchGAN discriminator."""

    channels: int = Field(64, gt=0, description="Channels of the first layer.")
    n_layers: int = Field(
        3, ge=1, le=6, description="Halvings: 3 make patches of 70 × 70 pixels, 2 of 34 × 34."
    )
    norm: NormName = Field("batch", description="Normalisation layers.")


class TranslationOptimization(OptimizationConfig):
    """How generators and discriminators are optimised."""

    g_lr: float = Field(2e-4, gt=0, description="Adam's learning rate, generators.")
    d_lr: float = Field(2e-4, gt=0, description="Adam's learning rate, discriminators.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    ema_kimg: float = Field(
        0.0, ge=0, description="Half-life of averaged generators, in kimg; 0 keeps no average."
    )


class TestTime(Section):
    """What a trained generator does with what was random, or taken from the batch, while it trained."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    dropout: bool = Field(
        False, description="Whether units stay dropped: one draw of the noise, kept for good."
    )
    statistics: Literal["running", "batch"] = Field(
        "running",
        description="Batch normalisation by averages of the training, or by a batch of the image alone.",
    )


def build_generator(config: GeneratorConfig) -> UNet | ResNet:
    """An untrained generator."""
    c = config
    if c.network == "unet":
        return UNet(c.num_downs, c.channels, c.channel_max, c.norm, c.dropout)
    return ResNet(
        c.blocks,
        c.channels,
        c.downs,
        c.norm,
        c.dropout,
        antialias_down=c.antialias,
        antialias_up=c.antialias,
    )


def build_discriminator(config: DiscriminatorConfig, in_channels: int) -> PatchGAN:
    """An untrained discriminator."""
    return PatchGAN(in_channels, config.channels, config.n_layers, config.norm)


def check_networks(
    generator: GeneratorConfig, discriminator: DiscriminatorConfig, resolution: int, loss: AdversarialName
) -> None:
    """Checks that the networks fit the images and the loss.

    Raises:
        ValueError: If they do not; the message names the keys.
    """
    unet = generator.network == "unet"
    key, halvings = ("num_downs", generator.num_downs) if unet else ("downs", generator.downs)
    if resolution % 2**halvings:
        raise ValueError(
            f"generator.{key}={halvings} needs sides that are multiples of {2**halvings}, "
            f"unlike data.resolution={resolution}; choose a smaller one"
        )
    if resolution < 3 * 2**discriminator.n_layers:
        raise ValueError(
            f"discriminator.n_layers={discriminator.n_layers} needs images of at least "
            f"{3 * 2**discriminator.n_layers} pixels, unlike data.resolution={resolution}; "
            "choose a smaller one"
        )
    if ADVERSARIAL[loss].gradient_penalty > 0 and discriminator.norm == "batch":
        raise ValueError(
            f"optimization.loss={loss!r} penalises the slope of D at each image, which batch normalisation "
            "mixes with other images; set discriminator.norm to 'instance' or 'none'"
        )


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Undoes `Engine.split`: parts k::K of equal length to the whole, [n / K, …] → [n, …]."""
    return torch.stack(list(parts), dim=1).flatten(0, 1)


def as_served(generator: nn.Module, test_time: TestTime) -> nn.Module:
    """A copy of a generator that translates each image by itself, always to the same pixels."""
    served = copy.deepcopy(generator).eval().requires_grad_(False)
    if test_time.statistics == "batch":
        normalise_by_image(served)
    if test_time.dropout:
        for module in served.modules():
            if isinstance(module, Dropout):
                module.keep_at_test_time()
    return served


def policies(config: GeneratorConfig, test_time: TestTime) -> dict[str, Any]:
    """How a served generator normalises and drops units, in sentences for the model card."""
    if config.norm == "batch" and test_time.statistics == "running":
        normalisation = (
            "Batch normalisation by running averages of the training. The Pix2Pix paper (section 3.3) "
            "normalises by the statistics of the test batch instead."
        )
    elif config.norm == "batch":
        normalisation = (
            "Batch normalisation by the statistics of each image alone, as in the Pix2Pix paper (section "
            "3.3) with a test batch of one."
        )
    elif config.norm.startswith("instance"):
        normalisation = "Instance normalisation, by the statistics of each image, in training as in use."
    else:
        normalisation = "None."
    if config.dropout == 0:
        dropout = "None, in training or in use."
    elif test_time.dropout:
        dropout = (
            f"A share of {config.dropout:g} of the units in some inner layers stays dropped, always the same "
            "ones. The Pix2Pix paper (section 3.3) draws them anew for each image, as its only noise."
        )
    else:
        dropout = (
            "Off in use, so that the same image gives the same pixels. The Pix2Pix paper (section 3.3) keeps "
            "it on, as its only noise."
        )
    return {"normalisation": normalisation, "dropout": dropout}


def served_state(state: State, name: str) -> dict[str, Tensor]:
    """The weights of a generator in the state of a checkpoint: its average, if the run kept one."""
    networks = state["networks"]
    weights: dict[str, Tensor] = networks.get(f"{name}_ema", networks[name])
    return weights


def deployable(
    name: str,
    title: str,
    source: Literal["A", "B"],
    config: GeneratorConfig,
    test_time: TestTime,
    weights: dict[str, Tensor],
) -> Deployable:
    """A trained generator as it is to be served."""
    generator = build_generator(config)
    generator.load_state_dict(weights)
    card = {
        "size_multiple": generator.size_multiple,
        "min_size": generator.min_size,
        **policies(config, test_time),
    }
    return Deployable(name, title, as_served(generator, test_time), source, card)
