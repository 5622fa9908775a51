"""Pix2Pix: a generator and a conditional discriminator of paired images, and one optimisation step.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017): L1
beside the adversarial loss (equation 4), a discriminator that sees input and output (equation 1), Adam 2e-4
with momentum 0.5 (section 3.3), weights from N(0, 0.02) (section 6.2).
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from training.config import RunConfig
from training.data.jitter import Jitter
from training.ema import ema_decay, update_ema
from training.engine import Batch, Engine
from training.families.base import Deployable, Family, State, Transform
from training.families.translation import (
    DiscriminatorConfig,
    GeneratorConfig,
    TestTime,
    TranslationData,
    TranslationOptimization,
    as_served,
    build_discriminator,
    build_generator,
    check_networks,
    deployable,
    joined,
    served_state,
)
from training.losses import ADVERSARIAL, AdversarialName
from training.pixels import to_unit_range
from training.regularizers import gradient_penalty


class Pix2PixOptimization(TranslationOptimization):
    """How the two networks are optimised."""

    loss: AdversarialName = Field("vanilla", description="Adversarial loss.")
    gan_weight: float = Field(1.0, ge=0, description="Weight of the adversarial loss of the generator.")
    l1_weight: float = Field(100.0, ge=0, description="λ, the weight of |B − G(A)|.")


class Pix2PixConfig(RunConfig):
    """A run of Pix2Pix."""

    family: Literal["pix2pix"] = "pix2pix"
    data: TranslationData
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimization: Pix2PixOptimization
    test_time: TestTime = TestTime()

    @model_validator(mode="after")
    def _fits(self) -> Pix2PixConfig:
        check_networks(self.generator, self.discriminator, self.data.resolution, self.optimization.loss)
        return self


class Pix2Pix(Family[Pix2PixConfig]):
    """The networks, optimisers and step of one run."""

    Config = Pix2PixConfig
    kind = "translator"
    layout = "paired"

    def __init__(self, config: Pix2PixConfig, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine, classes)
        self.G = engine.prepare(build_generator(config.generator))
        self.D = engine.prepare(build_discriminator(config.discriminator, in_channels=6))
        self.networks = {"G": self.G, "D": self.D}
        o = config.optimization
        if o.ema_kimg > 0:
            self.networks["G_ema"] = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.G_opt = torch.optim.Adam(self.G.parameters(), lr=o.g_lr, betas=(o.beta1, o.beta2))
        self.D_opt = torch.optim.Adam(self.D.parameters(), lr=o.d_lr, betas=(o.beta1, o.beta2))
        self.optimizers = {"G": self.G_opt, "D": self.D_opt}
        self.adversarial = ADVERSARIAL[o.loss]
        self._fakes: list[Tensor] = []

    @classmethod
    def transform(cls, config: Pix2PixConfig) -> Transform | None:
        """Random crops and mirroring, the same for both images of a pair."""
        return Jitter(config.data.enlarge, config.data.mirror, aligned=True)

    @classmethod
    def heldout_transform(cls, config: Pix2PixConfig) -> Transform | None:
        """None: held-out images are shown as they are."""
        return None

    def step(self, batch: Batch, step: int) -> None:
        """Optimises both networks once, D on what G made before its own update."""
        o, engine = self.config.optimization, self.engine
        pairs = {"A": to_unit_range(batch["A"]), "B": to_unit_range(batch["B"])}

        self._fakes = []
        engine.minimize(self.G_opt, self.generator_loss, pairs, through=[self.D])

        judged = {**pairs, "fakes": joined(self._fakes)}
        if self.adversarial.gradient_penalty > 0:
            judged["position"] = engine.rand(len(pairs["A"]))
        engine.minimize(self.D_opt, self.discriminator_loss, judged)

        if "G_ema" in self.networks:
            decay = ema_decay(o.batch, (step + 1) * o.batch, o.ema_kimg, rampup=0.05)
            update_ema(self.networks["G_ema"], self.G, decay)

    def judge(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits of b as a translation of a. Two of [n, 3, H, W] → [n, 1, h, w]."""
        logits: Tensor = self.D(torch.cat([a, b], dim=1))
        return logits

    def generator_loss(self, part: Batch) -> Tensor:
        """L_GAN + λ |B − G(A)| (equation 4)."""
        o = self.config.optimization
        fakes = self.G(part["A"])
        self._fakes.append(fakes.detach().float())
        gan = self.adversarial.generator(self.judge(part["A"], fakes))
        l1 = F.l1_loss(fakes, part["B"])
        self.engine.report("loss/G", gan)
        self.engine.report("loss/L1", l1)
        return o.gan_weight * gan + o.l1_weight * l1

    def discriminator_loss(self, part: Batch) -> Tensor:
        """D's side of the adversarial loss, on pairs."""
        a = part["A"]
        real_logits, fake_logits = self.judge(a, part["B"]), self.judge(a, part["fakes"])
        loss = self.adversarial.discriminator(real_logits, fake_logits)
        self.engine.report("loss/D", loss)
        self.engine.report("logits/real", real_logits)
        self.engine.report("logits/fake", fake_logits)
        if self.adversarial.gradient_penalty > 0:
            penalty = gradient_penalty(lambda b: self.judge(a, b), part["B"], part["fakes"], part["position"])
            self.engine.report("gradient_penalty", penalty)
            loss = loss + self.adversarial.gradient_penalty * penalty
        return loss

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Rows of inputs, outputs as they would be served, and targets. [3, n, 3, H, W]."""
        generator = as_served(self.networks.get("G_ema", self.G), self.config.test_time)
        a, b = to_unit_range(batch["A"]), to_unit_range(batch["B"])
        return torch.stack([a, generator(a), b])

    @classmethod
    def deployables(cls, config: Pix2PixConfig, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The generator, averaged if the run keeps an average."""
        return [
            deployable(
                config.name, config.title, "A", config.generator, config.test_time, served_state(state, "G")
            )
        ]
