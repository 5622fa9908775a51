"""CycleGAN: two generators and two discriminators of unpaired images, and one optimisation step.

Source: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (ICCV
2017): least squares and a pool of 50 past fakes (section 4), cycle consistency (equation 2, λ = 10),
identity loss of weight 0.5 λ (section 5.2), Adam 2e-4 and a linear decay over the second half (section
7.1). The paper's G, F, D_X and D_Y are called G_AB, G_BA, D_A and D_B here.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any, Literal

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
from training.image_pool import ImagePool
from training.losses import ADVERSARIAL, AdversarialName
from training.networks.norms import NormName
from training.pixels import to_unit_range
from training.regularizers import gradient_penalty


class CycleGANGenerator(GeneratorConfig):
    """Both generators."""

    network: Literal["unet", "resnet"] = Field("resnet", description="Architecture.")
    norm: NormName = Field("instance", description="Normalisation layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units dropped in inner layers.")


class CycleGANDiscriminator(DiscriminatorConfig):
    """Both PatchGAN discriminators."""

    norm: NormName = Field("instance", description="Normalisation layers.")


class CycleGANOptimization(TranslationOptimization):
    """How the four networks are optimised."""

    loss: AdversarialName = Field("least-squares", description="Adversarial loss.")
    gan_weight: float = Field(
        2.0,
        ge=0,
        description="Weight of the adversarial loss of the generators; 2 undoes the ½ of least squares.",
    )
    cycle_weight: float = Field(
        10.0, ge=0, description="λ, the weight of |G_BA(G_AB(A)) − A| and its converse."
    )
    identity_weight: float = Field(
        0.5, ge=0, description="Weight of |G_AB(B) − B| and its converse, times λ."
    )
    pool_size: int = Field(50, ge=0, description="Past fakes kept for each discriminator.")


class CycleGANConfig(RunConfig):
    """A run of CycleGAN."""

    family: Literal["cyclegan"] = "cyclegan"
    backward_name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        description="Public name of the model from B to A; `name` is from A to B.",
    )
    backward_title: str = Field(description="What it makes, for people.")
    data: TranslationData
    generator: CycleGANGenerator = CycleGANGenerator()
    discriminator: CycleGANDiscriminator = CycleGANDiscriminator()
    optimization: CycleGANOptimization
    test_time: TestTime = TestTime()

    @model_validator(mode="after")
    def _fits(self) -> CycleGANConfig:
        if self.backward_name == self.name:
            raise ValueError(f"backward_name and name are both {self.name!r}; the two models need two names")
        check_networks(self.generator, self.discriminator, self.data.resolution, self.optimization.loss)
        return self


class CycleGAN(Family[CycleGANConfig]):
    """The networks, optimisers and step of one run."""

    Config = CycleGANConfig
    kind = "translator"
    layout = "unpaired"

    def __init__(self, config: CycleGANConfig, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine, classes)
        self.G_AB = engine.prepare(build_generator(config.generator))
        self.G_BA = engine.prepare(build_generator(config.generator))
        self.D_A = engine.prepare(build_discriminator(config.discriminator, in_channels=3))
        self.D_B = engine.prepare(build_discriminator(config.discriminator, in_channels=3))
        self.networks = {"G_AB": self.G_AB, "G_BA": self.G_BA, "D_A": self.D_A, "D_B": self.D_B}
        o = config.optimization
        if o.ema_kimg > 0:
            for name in ("G_AB", "G_BA"):
                self.networks[f"{name}_ema"] = copy.deepcopy(self.networks[name]).eval().requires_grad_(False)
        betas = (o.beta1, o.beta2)
        self.G_opt = torch.optim.Adam(
            itertools.chain(self.G_AB.parameters(), self.G_BA.parameters()), lr=o.g_lr, betas=betas
        )
        self.D_opt = torch.optim.Adam(
            itertools.chain(self.D_A.parameters(), self.D_B.parameters()), lr=o.d_lr, betas=betas
        )
        self.optimizers = {"G": self.G_opt, "D": self.D_opt}
        self.adversarial = ADVERSARIAL[o.loss]
        self.pools = {"A": ImagePool(o.pool_size), "B": ImagePool(o.pool_size)}
        self._fakes: dict[str, list[Tensor]] = {"A": [], "B": []}

    @classmethod
    def transform(cls, config: CycleGANConfig) -> Transform | None:
        """Random crops and mirroring, each image by its own random numbers."""
        return Jitter(config.data.enlarge, config.data.mirror, aligned=False)

    @classmethod
    def heldout_transform(cls, config: CycleGANConfig) -> Transform | None:
        """None: held-out images are shown as they are."""
        return None

    def step(self, batch: Batch, step: int) -> None:
        """Optimises all networks once, discriminators on the pools of fakes."""
        o, engine = self.config.optimization, self.engine
        reals = {"A": to_unit_range(batch["A"]), "B": to_unit_range(batch["B"])}

        self._fakes = {"A": [], "B": []}
        engine.minimize(self.G_opt, self.generator_loss, reals, through=[self.D_A, self.D_B])

        judged = dict(reals)
        for side in ("A", "B"):
            judged[f"fake_{side}"] = self.pools[side].exchange(joined(self._fakes[side]), engine)
            if self.adversarial.gradient_penalty > 0:
                judged[f"position_{side}"] = engine.rand(len(reals[side]))
        engine.minimize(self.D_opt, self.discriminator_loss, judged)

        if o.ema_kimg > 0:
            decay = ema_decay(o.batch, (step + 1) * o.batch, o.ema_kimg, rampup=0.05)
            for name in ("G_AB", "G_BA"):
                update_ema(self.networks[f"{name}_ema"], self.networks[name], decay)

    def generator_loss(self, part: Batch) -> Tensor:
        """Adversarial, cycle and identity loss of both generators (equation 3; section 5.2)."""
        o, report = self.config.optimization, self.engine.report
        a, b = part["A"], part["B"]
        fake_b, fake_a = self.G_AB(a), self.G_BA(b)
        self._fakes["B"].append(fake_b.detach().float())
        self._fakes["A"].append(fake_a.detach().float())
        gan = self.adversarial.generator(self.D_B(fake_b)) + self.adversarial.generator(self.D_A(fake_a))
        cycle = F.l1_loss(self.G_BA(fake_b), a) + F.l1_loss(self.G_AB(fake_a), b)
        report("loss/G", gan)
        report("loss/cycle", cycle)
        loss = o.gan_weight * gan + o.cycle_weight * cycle
        if o.identity_weight > 0:
            identity = F.l1_loss(self.G_AB(b), b) + F.l1_loss(self.G_BA(a), a)
            report("loss/identity", identity)
            loss = loss + o.cycle_weight * o.identity_weight * identity
        return loss

    def discriminator_loss(self, part: Batch) -> Tensor:
        """The discriminators' side of the adversarial loss, summed over both."""
        total = torch.zeros((), device=self.engine.device)
        for side, network in (("A", self.D_A), ("B", self.D_B)):
            reals, fakes = part[side], part[f"fake_{side}"]
            real_logits, fake_logits = network(reals), network(fakes)
            loss = self.adversarial.discriminator(real_logits, fake_logits)
            self.engine.report(f"loss/D_{side}", loss)
            self.engine.report(f"logits/real_{side}", real_logits)
            self.engine.report(f"logits/fake_{side}", fake_logits)
            if self.adversarial.gradient_penalty > 0:
                penalty = gradient_penalty(network, reals, fakes, part[f"position_{side}"])
                self.engine.report(f"gradient_penalty/{side}", penalty)
                loss = loss + self.adversarial.gradient_penalty * penalty
            total = total + loss
        return total

    def extra_state(self) -> dict[str, Any]:
        """The pools of past fakes."""
        return {"pools": {side: pool.state_dict() for side, pool in self.pools.items()}}

    def load_extra_state(self, state: State) -> None:
        """Takes up the pools of a checkpoint."""
        for side, pool in self.pools.items():
            pool.load_state_dict(state["pools"][side], self.engine)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Rows A, A→B, A→B→A, B, B→A, B→A→B, by generators as they would be served. [6, n, 3, H, W]."""
        forward, backward = (
            as_served(self.networks.get(f"{name}_ema", self.networks[name]), self.config.test_time)
            for name in ("G_AB", "G_BA")
        )
        a, b = to_unit_range(batch["A"]), to_unit_range(batch["B"])
        fake_b, fake_a = forward(a), backward(b)
        return torch.stack([a, fake_b, backward(fake_b), b, fake_a, forward(fake_a)])

    @classmethod
    def deployables(cls, config: CycleGANConfig, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """Both generators, averaged if the run keeps averages."""
        c = config
        forward, backward = served_state(state, "G_AB"), served_state(state, "G_BA")
        return [
            deployable(c.name, c.title, "A", c.generator, c.test_time, forward),
            deployable(c.backward_name, c.backward_title, "B", c.generator, c.test_time, backward),
        ]
