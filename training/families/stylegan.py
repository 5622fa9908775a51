"""StyleGAN2: both networks, their optimisers, and one optimisation step.

Source: Karras et al. (CVPR 2020): non-saturating loss, R1 at every `r1_interval`-th step with optimiser
settings corrected for it (appendix B), style mixing, averaged generator.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from training.config import RunConfig
from training.ema import ema_decay, update_ema
from training.losses import l_logistic_d, l_nonsaturating_g
from training.networks.stylegan2 import Discriminator, Generator, MappingNetwork
from training.regularizers import r1_penalty


def build_generator(config: RunConfig) -> Generator:
    """An untrained generator of the configured size."""
    g = config.generator
    return Generator(
        g.z_dim, g.w_dim, config.data.resolution, g.channel_base, g.channel_max, g.mapping_layers
    )


def build_discriminator(config: RunConfig) -> Discriminator:
    """An untrained discriminator of the configured size."""
    d = config.discriminator
    return Discriminator(config.data.resolution, d.channel_base, d.channel_max, d.mbstd_group_size)


def lr_factor(kimg: float, total_kimg: float, decay_kimg: float) -> float:
    """Share of the learning rate at a point of the run: one, then falling linearly to zero at its end."""
    return 1.0 if decay_kimg == 0 else max(0.0, min(1.0, (total_kimg - kimg) / decay_kimg))


class StyleGAN2:
    """The networks, optimisers and step of one run.

    Args:
        config: The run's configuration.
        device: Where the networks live.
    """

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        # channels_last is what convolutions run fastest in, on CPUs and on tensor cores.
        self.G = build_generator(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.D = build_discriminator(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        o = config.optimization
        self.G_opt = torch.optim.Adam(self.G.parameters(), lr=o.g_lr, betas=(o.beta1, o.beta2))
        # A lazily regularised network takes r1_interval + 1 steps where r1_interval were meant; Adam's time
        # constants shrink accordingly.
        c = o.r1_interval / (o.r1_interval + 1)
        self.D_opt = torch.optim.Adam(self.D.parameters(), lr=o.d_lr * c, betas=(o.beta1**c, o.beta2**c))
        self.learning_rates = ((self.G_opt, o.g_lr), (self.D_opt, o.d_lr * c))

    def mixed_ws(self, n: int, rng: torch.Generator) -> Tensor:
        """The ws of n images, a share of them crossed from two latents (style mixing). [n, num_ws, w_dim]."""
        mapping: MappingNetwork = self.G.mapping
        w1 = mapping.styles(torch.randn(n, mapping.z_dim, generator=rng).to(self.device))
        mapping.track_average(w1)
        ws = mapping.broadcast(w1)
        p = self.config.optimization.style_mixing_prob
        if p > 0:
            w2 = mapping.broadcast(
                mapping.styles(torch.randn(n, mapping.z_dim, generator=rng).to(self.device))
            )
            crossed = torch.rand(n, 1, generator=rng) < p
            point = torch.randint(1, mapping.num_ws, (n, 1), generator=rng)
            takes_second = crossed & (torch.arange(mapping.num_ws) >= point)  # [n, num_ws]
            ws = torch.where(takes_second.to(self.device).unsqueeze(2), w2, ws)
        return ws

    def generate(self, n: int, rng: torch.Generator) -> Tensor:
        """Training images with fresh noise, [n, 3, R, R]."""
        ws = self.mixed_ws(n, rng)
        noise = [
            torch.randn(n, 1, conv.resolution, conv.resolution, generator=rng).to(self.device)
            for conv in self.G.synthesis.styled_convs()
        ]
        images: Tensor = self.G.synthesis(ws, noise)
        return images

    def step(self, reals: Tensor, step: int, rng: torch.Generator) -> dict[str, float]:
        """Optimises both networks once.

        Args:
            reals: Real images in [−1, 1], [N, 3, R, R].
            step: Number of this step, from 0.
            rng: Source of every random number of the step.

        Returns:
            Losses and mean logits by name.
        """
        o = self.config.optimization
        n = reals.shape[0]
        reals = reals.to(self.device)
        factor = lr_factor(step * n / 1000, o.kimg, o.lr_decay_kimg)
        for optimizer, lr in self.learning_rates:
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

        # Generator: make D believe.
        self.D.requires_grad_(False)
        self.G_opt.zero_grad(set_to_none=True)
        l_g = l_nonsaturating_g(self.D(self.generate(n, rng)))
        l_g.backward()
        self.G_opt.step()
        self.D.requires_grad_(True)

        # Discriminator: tell real from fake.
        self.D_opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            fakes = self.generate(n, rng)
        fake_logits, real_logits = self.D(fakes), self.D(reals)
        l_d = l_logistic_d(real_logits, fake_logits)
        l_d.backward()
        self.D_opt.step()
        stats = {
            "loss/G": l_g.item(),
            "loss/D": l_d.item(),
            "logits/real": real_logits.mean().item(),
            "logits/fake": fake_logits.mean().item(),
        }

        # R1, seldom and so much stronger.
        if o.r1_gamma > 0 and step % o.r1_interval == 0:
            self.D_opt.zero_grad(set_to_none=True)
            x = reals.detach().requires_grad_(True)
            penalty = r1_penalty(self.D(x), x)
            (penalty * (o.r1_gamma / 2 * o.r1_interval)).backward()
            self.D_opt.step()
            stats["r1"] = penalty.item()

        decay = ema_decay(n, (step + 1) * n, o.ema_kimg, o.ema_rampup)
        update_ema(self.G_ema, self.G, decay)
        return stats

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs from here, as tensors and plain values."""
        return {name: getattr(self, name).state_dict() for name in ("G", "D", "G_ema", "G_opt", "D_opt")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up the state of a checkpoint."""
        for name in ("G", "D", "G_ema", "G_opt", "D_opt"):
            getattr(self, name).load_state_dict(state[name])
