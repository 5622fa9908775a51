"""StyleGAN2: both networks, their optimisers, and one optimisation step.

Source: Karras et al. (CVPR 2020): non-saturating loss, R1 at every `r1_interval`-th step with optimiser
settings corrected for it (appendix B), style mixing, averaged generator.
"""

from __future__ import annotations

import copy
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from training.config import DataConfig, OptimizationConfig, RunConfig, Section
from training.ema import ema_decay, update_ema
from training.engine import Batch, Engine
from training.families.base import Deployable, Family, State
from training.losses import l_logistic_d, l_nonsaturating_g
from training.networks.stylegan2 import Discriminator, Generator, MappingNetwork
from training.pixels import to_unit_range
from training.regularizers import r1_penalty


class GeneratorConfig(Section):
    """Size of the StyleGAN2 generator."""

    z_dim: int = Field(512, gt=0, description="Width of z.")
    w_dim: int = Field(512, gt=0, description="Width of w.")
    mapping_layers: int = Field(8, gt=0, description="Fully connected layers from z to w.")
    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")


class DiscriminatorConfig(Section):
    """Size of the StyleGAN2 discriminator."""

    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")
    mbstd_group_size: int = Field(4, gt=0, description="Images compared by the minibatch standard deviation.")


class StyleGAN2Optimization(OptimizationConfig):
    """How the two networks are optimised."""

    g_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, generator.")
    d_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, discriminator.")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of the second moment.")
    r1_gamma: float = Field(ge=0, description="Weight of the R1 penalty.")
    r1_interval: int = Field(16, gt=0, description="Steps between two R1 penalties (lazy regularisation).")
    style_mixing_prob: float = Field(0.9, ge=0, le=1, description="Share of images made from two w.")
    ema_kimg: float = Field(10.0, gt=0, description="Half-life of the averaged generator, in kimg.")
    ema_rampup: float | None = Field(
        0.05, gt=0, description="Half-life as a share of the images shown so far, while that is shorter."
    )


class StyleGAN2Config(RunConfig):
    """A run of StyleGAN2."""

    family: Literal["stylegan2"] = "stylegan2"
    data: DataConfig
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimization: StyleGAN2Optimization


def build_generator(config: StyleGAN2Config) -> Generator:
    """An untrained generator of the configured size."""
    g = config.generator
    return Generator(
        g.z_dim, g.w_dim, config.data.resolution, g.channel_base, g.channel_max, g.mapping_layers
    )


def build_discriminator(config: StyleGAN2Config) -> Discriminator:
    """An untrained discriminator of the configured size."""
    d = config.discriminator
    return Discriminator(config.data.resolution, d.channel_base, d.channel_max, d.mbstd_group_size)


class StyleGAN2(Family[StyleGAN2Config]):
    """The networks, optimisers and step of one run."""

    Config = StyleGAN2Config
    kind = "generator"
    layout = "images"

    def __init__(self, config: StyleGAN2Config, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine, classes)
        self.G = cast(Generator, engine.prepare(build_generator(config)))
        self.D = engine.prepare(build_discriminator(config))
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.networks = {"G": self.G, "D": self.D, "G_ema": self.G_ema}
        o = config.optimization
        # A lazily regularised network takes r1_interval + 1 steps where r1_interval were meant; Adam's time
        # constants shrink accordingly.
        c = o.r1_interval / (o.r1_interval + 1)
        self.G_opt = torch.optim.Adam(self.G.parameters(), lr=o.g_lr, betas=(o.beta1, o.beta2))
        self.D_opt = torch.optim.Adam(self.D.parameters(), lr=o.d_lr * c, betas=(o.beta1**c, o.beta2**c))
        self.optimizers = {"G": self.G_opt, "D": self.D_opt}

    def draw(self, n: int) -> Batch:
        """Everything random that n images are made from: two latents each, where they cross, fresh noise."""
        engine, mapping = self.engine, self.G.mapping
        crossed = engine.rand(n, 1) < self.config.optimization.style_mixing_prob
        point = engine.randint(1, mapping.num_ws, n, 1)
        layer = torch.arange(mapping.num_ws, device=engine.device)
        return {
            "z1": engine.randn(n, mapping.z_dim),
            "z2": engine.randn(n, mapping.z_dim),
            "takes_second": crossed & (layer >= point),  # [n, num_ws]
            "noise": [
                engine.randn(n, 1, conv.resolution, conv.resolution)
                for conv in self.G.synthesis.styled_convs()
            ],
        }

    def generate(self, draws: Batch) -> Tensor:
        """Training images, a share of them crossed from two latents (style mixing). [n, 3, R, R]."""
        mapping: MappingNetwork = self.G.mapping
        w1 = mapping.styles(draws["z1"])
        ws = mapping.broadcast(w1)
        if self.config.optimization.style_mixing_prob > 0:
            w2 = mapping.broadcast(mapping.styles(draws["z2"]))
            ws = torch.where(draws["takes_second"].unsqueeze(2), w2, ws)
        images: Tensor = self.G.synthesis(ws, draws["noise"])
        return images

    def step(self, batch: Batch, step: int) -> None:
        """Optimises both networks once."""
        o, engine = self.config.optimization, self.engine
        reals = to_unit_range(batch["image"])
        n = len(reals)

        # Generator: make D believe.
        draws = self.draw(n)
        with torch.no_grad():
            w = self.G.mapping.styles(draws["z1"])
            self.G.mapping.track_average(engine.mean(w.mean(dim=0, keepdim=True)))
        engine.minimize(self.G_opt, self.generator_loss, draws, through=[self.D])

        # Discriminator: tell real from fake.
        engine.minimize(self.D_opt, self.discriminator_loss, {"reals": reals, **self.draw(n)})

        # R1, seldom and so much stronger.
        if o.r1_gamma > 0 and step % o.r1_interval == 0:
            engine.minimize(self.D_opt, self.r1_loss, {"reals": reals})

        decay = ema_decay(o.batch, (step + 1) * o.batch, o.ema_kimg, o.ema_rampup)
        update_ema(self.G_ema, self.G, decay)

    def generator_loss(self, part: Batch) -> Tensor:
        """The non-saturating loss of new images."""
        loss = l_nonsaturating_g(self.D(self.generate(part)))
        self.engine.report("loss/G", loss)
        return loss

    def discriminator_loss(self, part: Batch) -> Tensor:
        """The logistic loss of real images and new ones."""
        with torch.no_grad():
            fakes = self.generate(part)
        real_logits, fake_logits = self.D(part["reals"]), self.D(fakes)
        loss = l_logistic_d(real_logits, fake_logits)
        self.engine.report("loss/D", loss)
        self.engine.report("logits/real", real_logits)
        self.engine.report("logits/fake", fake_logits)
        return loss

    def r1_loss(self, part: Batch) -> Tensor:
        """The gradient penalty on real images, times the steps it stands for."""
        o = self.config.optimization
        x = part["reals"].detach().requires_grad_(True)
        penalty = r1_penalty(self.D(x), x)
        self.engine.report("r1", penalty)
        return penalty * (o.r1_gamma / 2 * o.r1_interval)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """32 images of the averaged generator, always of the same latents. [4, 8, 3, R, R]."""
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(32, self.config.generator.z_dim, generator=rng).to(self.engine.device)
        images: Tensor = self.G_ema(z)
        return images.unflatten(0, (4, 8))

    @classmethod
    def deployables(cls, config: StyleGAN2Config, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The averaged generator."""
        generator = build_generator(config)
        generator.load_state_dict(state["networks"]["G_ema"])
        return [Deployable(config.name, config.title, generator.eval().requires_grad_(False))]
