"""DCGAN: both networks, their optimisers, and one optimisation step, under any adversarial loss.

Sources: Radford et al. (ICLR 2016), section 4: Adam 2e-4 with momentum 0.5; Gulrajani et al. (NIPS 2017),
algorithm 1: a gradient penalty and several steps of the critic for each of the generator; Miyato et al.
(ICLR 2018): spectral normalisation.
"""

from __future__ import annotations

import copy
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from training.config import DataConfig, OptimizationConfig, RunConfig, Section
from training.ema import ema_decay, update_ema
from training.engine import Batch, Engine
from training.families.base import Deployable, Family, State
from training.losses import ADVERSARIAL, AdversarialName
from training.networks.dcgan import Discriminator, Generator, feature_maps, take_standing_statistics
from training.networks.norms import NormName
from training.pixels import to_unit_range
from training.regularizers import gradient_penalty

PREVIEW = (4, 8)
"""Rows and columns of a preview."""


class GeneratorConfig(Section):
    """Size of the generator."""

    z_dim: int = Field(100, gt=0, description="Width of z.")
    channels: int = Field(
        64, gt=0, description="Feature maps at half the resolution, doubled by each halving."
    )
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")


class DiscriminatorConfig(Section):
    """Size of the discriminator, and what keeps it steady."""

    channels: int = Field(
        64, gt=0, description="Feature maps at half the resolution, doubled by each halving."
    )
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")
    norm: NormName = Field("batch", description="Normalisation layers.")
    spectral_norm: bool = Field(
        False, description="Whether each kernel is divided by its largest singular value."
    )


class DCGANOptimization(OptimizationConfig):
    """How the two networks are optimised."""

    loss: AdversarialName = Field("nonsaturating", description="Adversarial loss.")
    critic_steps: int = Field(
        1, gt=0, description="Steps of D, each on images of its own, for one of G; 5 is usual for `wgan-gp`."
    )
    g_lr: float = Field(2e-4, gt=0, description="Adam's learning rate, generator.")
    d_lr: float = Field(2e-4, gt=0, description="Adam's learning rate, discriminator.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    ema_kimg: float = Field(5.0, gt=0, description="Half-life of the averaged generator, in kimg.")


class DCGANConfig(RunConfig):
    """A run of DCGAN."""

    family: Literal["dcgan"] = "dcgan"
    data: DataConfig
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimization: DCGANOptimization

    @model_validator(mode="after")
    def _fits(self) -> DCGANConfig:
        feature_maps(self.data.resolution, 1, 1)
        d, loss = self.discriminator, self.optimization.loss
        if d.norm == "batch" and ADVERSARIAL[loss].gradient_penalty > 0:
            raise ValueError(
                f"optimization.loss={loss!r} penalises the slope of D at each image, which batch "
                "normalisation mixes with other images; set discriminator.norm to 'instance' or 'none'"
            )
        if d.norm != "none" and d.spectral_norm:
            raise ValueError(
                f"discriminator.spectral_norm bounds how steep D is, which {d.norm} normalisation undoes; "
                "set discriminator.norm to 'none'"
            )
        return self


def build_generator(config: DCGANConfig) -> Generator:
    """An untrained generator of the configured size."""
    g = config.generator
    return Generator(g.z_dim, config.data.resolution, g.channels, g.channel_max)


def build_discriminator(config: DCGANConfig) -> Discriminator:
    """An untrained discriminator of the configured size."""
    d = config.discriminator
    return Discriminator(config.data.resolution, d.channels, d.channel_max, d.norm, d.spectral_norm)


class DCGAN(Family[DCGANConfig]):
    """The networks, optimisers and step of one run."""

    Config = DCGANConfig
    kind = "generator"
    layout = "images"

    def __init__(self, config: DCGANConfig, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine)  # whatever classes the dataset has are not learnt
        self.G = cast(Generator, engine.prepare(build_generator(config)))
        self.D = engine.prepare(build_discriminator(config))
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.networks = {"G": self.G, "D": self.D, "G_ema": self.G_ema}
        o = config.optimization
        self.G_opt = self.adam(self.G, o.g_lr)
        self.D_opt = self.adam(self.D, o.d_lr)
        self.optimizers = {"G": self.G_opt, "D": self.D_opt}
        self.adversarial = ADVERSARIAL[o.loss]

    def adam(self, network: nn.Module, lr: float) -> torch.optim.Adam:
        """Adam with the momentum of the paper."""
        o = self.config.optimization
        return torch.optim.Adam(network.parameters(), lr=lr, betas=(o.beta1, o.beta2))

    def step(self, batch: Batch, step: int) -> None:
        """Optimises D once and, after every `critic_steps` of its steps, G."""
        o, engine = self.config.optimization, self.engine
        reals = to_unit_range(batch["image"])
        n, z_dim = len(reals), self.config.generator.z_dim

        judged = {"reals": reals, "z": engine.randn(n, z_dim)}
        if self.adversarial.gradient_penalty > 0:
            judged["position"] = engine.rand(n)
        engine.minimize(self.D_opt, self.discriminator_loss, judged)

        if (step + 1) % o.critic_steps == 0:
            engine.minimize(self.G_opt, self.generator_loss, {"z": engine.randn(n, z_dim)}, through=[self.D])
            shown = o.batch * o.critic_steps  # since the last step of G
            update_ema(self.G_ema, self.G, ema_decay(shown, (step + 1) * o.batch, o.ema_kimg, rampup=0.05))

    def discriminator_loss(self, part: Batch) -> Tensor:
        """D's side of the game, on real images and new ones."""
        with torch.no_grad():
            fakes = self.G(part["z"]).float()
        # Each kind in a batch of its own, so that batch normalisation does not see which are which.
        real_logits, fake_logits = self.D(part["reals"]), self.D(fakes)
        loss = self.adversarial.discriminator(real_logits, fake_logits)
        self.engine.report("loss/D", loss)
        self.engine.report("logits/real", real_logits)
        self.engine.report("logits/fake", fake_logits)
        if self.adversarial.gradient_penalty > 0:
            penalty = gradient_penalty(self.D, part["reals"], fakes, part["position"])
            self.engine.report("gradient_penalty", penalty)
            loss = loss + self.adversarial.gradient_penalty * penalty
        return loss

    def generator_loss(self, part: Batch) -> Tensor:
        """G's side of the game, on new images."""
        loss = self.adversarial.generator(self.D(self.G(part["z"])))
        self.engine.report("loss/G", loss)
        return loss

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Images of the averaged generator as it would be served, of the same latents. [4, 8, 3, R, R]."""
        generator = copy.deepcopy(self.G_ema)
        take_standing_statistics(generator)
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(PREVIEW[0] * PREVIEW[1], self.config.generator.z_dim, generator=rng)
        images: Tensor = generator(z.to(self.engine.device))
        return images.view(*PREVIEW, *images.shape[1:])

    @classmethod
    def deployables(cls, config: DCGANConfig, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The averaged generator."""
        generator = build_generator(config)
        generator.load_state_dict(state["networks"]["G_ema"])
        take_standing_statistics(generator.eval())
        card = {"loss": config.optimization.loss}
        return [Deployable(config.name, config.title, generator.requires_grad_(False), card=card)]
