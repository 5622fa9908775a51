"""SRGAN and its successors: a generator that enlarges images, learnt on pixels, then against a discriminator.

Sources: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network"
(CVPR 2017); Wang et al., "ESRGAN" (ECCV Workshops 2018); Wang et al., "Real-ESRGAN" (ICCV Workshops 2021).
The relativistic discriminator of ESRGAN is left out.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.degrade import LowHigh
from training.ema import ema_decay, update_ema
from training.engine import Batch, Engine
from training.families.base import Deployable, Family, State, TransferError
from training.families.srgan_config import SRGANConfig
from training.losses import ADVERSARIAL
from training.networks.compact import CompactNet
from training.networks.rrdb import RRDBNet
from training.networks.sr_discriminators import UNetDiscriminator, VGGDiscriminator
from training.networks.srresnet import SRResNet
from training.perceptual import VGG19_VARIABLE, PerceptualError, perceptual_distance
from training.regularizers import gradient_penalty

NO_FEATURES = "none (trained on pixels alone)"


def build_generator(config: SRGANConfig) -> SRResNet | RRDBNet | CompactNet:
    """An untrained generator of the configured architecture and size."""
    g = config.generator
    if g.architecture == "srresnet":
        return SRResNet(config.scale, g.features, g.blocks or 16, g.norm)
    if g.architecture == "rrdb":
        return RRDBNet(config.scale, g.features, g.blocks or 23, g.growth)
    return CompactNet(config.scale, g.features, g.blocks or 16)


def build_discriminator(config: SRGANConfig) -> VGGDiscriminator | UNetDiscriminator:
    """An untrained discriminator of the configured architecture and size."""
    d = config.discriminator
    if d.architecture == "vgg":
        return VGGDiscriminator(config.data.crop, d.features, d.norm)
    return UNetDiscriminator(d.features)


class SRGAN(Family[SRGANConfig]):
    """The networks, optimisers and steps of one run, of either stage."""

    Config = SRGANConfig
    kind = "upscaler"
    layout = "images"

    def __init__(self, config: SRGANConfig, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine, classes)
        o = config.optimization
        self.G = engine.prepare(build_generator(config))
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.networks = {"G": self.G, "G_ema": self.G_ema}
        self.G_opt = torch.optim.Adam(self.G.parameters(), lr=o.g_lr, betas=(o.beta1, o.beta2))
        self.optimizers = {"G": self.G_opt}
        self.features = NO_FEATURES
        if config.stage == "gan":
            self.D = engine.prepare(build_discriminator(config))
            self.networks["D"] = self.D
            self.D_opt = torch.optim.Adam(self.D.parameters(), lr=o.d_lr, betas=(o.beta1, o.beta2))
            self.optimizers["D"] = self.D_opt
            self.adversarial = ADVERSARIAL[config.loss.adversarial]
            self.perceptual = perceptual_distance(config.perceptual, engine.device)
            self.features = self.perceptual.name
            self.notes.append(f"perceptual features: {self.features}")

    @classmethod
    def transform(cls, config: SRGANConfig) -> LowHigh:
        """A random crop and the low-resolution image made of it."""
        return LowHigh(
            config.scale, config.data.crop, config.degradation, config.data.mirror, config.data.rotate
        )

    @classmethod
    def heldout_transform(cls, config: SRGANConfig) -> LowHigh:
        """The crop at the centre and the low-resolution image made of it."""
        return LowHigh(config.scale, config.data.crop, config.degradation, centre=True)

    def step(self, batch: Batch, step: int) -> None:
        """Optimises the generator and, in stage `gan`, the discriminator once."""
        o, engine = self.config.optimization, self.engine
        pairs = {"low": batch["low"].float() / 255, "high": batch["high"].float() / 255}
        if self.config.stage == "pixels":
            engine.minimize(self.G_opt, self.pixel_loss, pairs)
        else:
            engine.minimize(self.G_opt, self.generator_loss, pairs, through=[self.D])
            position = engine.rand(len(pairs["low"]))
            engine.minimize(self.D_opt, self.discriminator_loss, {**pairs, "position": position})
        update_ema(self.G_ema, self.G, ema_decay(o.batch, (step + 1) * o.batch, o.ema_kimg, None))

    def compare_pixels(self, images: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute or squared difference. Scalar."""
        difference = images.float() - targets
        loss = (difference.abs() if self.config.loss.pixel == "l1" else difference.square()).mean()
        self.engine.report("loss/pixel", loss)
        return loss

    def pixel_loss(self, part: Batch) -> Tensor:
        """The loss of the first stage (Ledig et al., equation 4)."""
        return self.compare_pixels(self.G(part["low"]), part["high"])

    def generator_loss(self, part: Batch) -> Tensor:
        """The loss of the second stage: pixels, features, and D's belief (Ledig et al., equation 3)."""
        weights, engine = self.config.loss, self.engine
        fakes = self.G(part["low"])
        l_pixel = self.compare_pixels(fakes, part["high"])
        l_perceptual = self.perceptual(fakes, part["high"]).mean()
        l_adversarial = self.adversarial.generator(self.D(fakes))
        engine.report("loss/perceptual", l_perceptual)
        engine.report("loss/G", l_adversarial)
        loss: Tensor = (
            weights.pixel_weight * l_pixel
            + weights.perceptual_weight * l_perceptual
            + weights.adversarial_weight * l_adversarial
        )
        return loss

    def discriminator_loss(self, part: Batch) -> Tensor:
        """The discriminator's side of the game, on real crops and enlarged ones."""
        with torch.no_grad():
            fakes = self.G(part["low"])
        real_logits, fake_logits = self.D(part["high"]), self.D(fakes)
        loss = self.adversarial.discriminator(real_logits, fake_logits)
        self.engine.report("loss/D", loss)
        self.engine.report("logits/real", real_logits)
        self.engine.report("logits/fake", fake_logits)
        if self.adversarial.gradient_penalty:
            penalty = gradient_penalty(self.D, part["high"], fakes, part["position"])
            self.engine.report("gradient_penalty", penalty)
            loss = loss + self.adversarial.gradient_penalty * penalty
        return loss

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """A row a sample: low (nearest neighbours), bicubic, the network's, high. [n, 4, 3, crop, crop]."""
        low, high = batch["low"].float() / 255, batch["high"].float() / 255
        size = high.shape[2:]
        columns = [
            F.interpolate(low, size, mode="nearest"),
            F.interpolate(low, size, mode="bicubic", antialias=True),  # a = −0.5, as Pillow's
            self.G_ema(low).float(),
            high,
        ]
        return torch.stack(columns, dim=1) * 2 - 1

    def extra_state(self) -> dict[str, Any]:
        """Which features images were compared by."""
        return {"perceptual_features": self.features}

    def load_extra_state(self, state: State) -> None:
        """Refuses to go on with other features.

        Raises:
            PerceptualError: If these features are not those the run began with.
        """
        if state["perceptual_features"] != self.features:
            raise PerceptualError(
                f"the run began with the perceptual features {state['perceptual_features']!r} and cannot go "
                f"on with {self.features!r}; ${VGG19_VARIABLE} may name the file of VGG-19's weights"
            )

    def transfer(self, state: State) -> str:
        """Starts from the averaged generator of another run, such as the first stage, and its D if any.

        Raises:
            TransferError: If nothing fits the generator.
        """
        theirs = state["networks"]
        if not theirs.get("G_ema", {}).keys() & self.G.state_dict().keys():
            raise TransferError("that run has no generator of the architecture of this one")
        return super().transfer({**state, "networks": {**theirs, "G": theirs["G_ema"]}})

    @classmethod
    def deployables(cls, config: SRGANConfig, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The averaged generator."""
        generator: nn.Module = build_generator(config)
        generator.load_state_dict(state["networks"]["G_ema"])
        card = {
            "scale": config.scale,
            "architecture": describe(config),
            "degradation": config.degradation.describe(),
            "stage": config.stage,
            "perceptual_features": state["extra"]["perceptual_features"],
        }
        return [Deployable(config.name, config.title, generator.eval().requires_grad_(False), card=card)]


def describe(config: SRGANConfig) -> str:
    """The generator in words, for a model card."""
    g = config.generator
    if g.architecture == "srresnet":
        norm = "batch normalisation" if g.norm == "batch" else "no normalisation"
        return f"SRResNet, {g.blocks or 16} blocks of {g.features}, {norm}"
    if g.architecture == "rrdb":
        return f"RRDB, {g.blocks or 23} blocks of {g.features}, growth {g.growth}"
    return f"compact VGG-style, {g.blocks or 16} convolutions of {g.features}"
