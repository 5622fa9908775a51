"""StyleGAN2: both networks, their optimisers, and one optimisation step.

Sources: Karras et al. (CVPR 2020): non-saturating loss, style mixing, path length regularisation (section
3.2) and R1, both computed at every so many steps with optimiser settings corrected for it (appendix B),
averaged generator. Karras et al. (NeurIPS 2020): labels by projection, adaptive augmentation, half precision.
"""

from __future__ import annotations

import copy
import re
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.augment import Augmentation
from training.data.sources import DatasetError
from training.ema import ema_decay, update_ema
from training.engine import Batch, Engine
from training.errors import ConfigError
from training.families.base import Deployable, Family, State, TransferError
from training.families.stylegan_config import StyleGAN2Config
from training.losses import l_logistic_d, l_nonsaturating_g
from training.networks.mapping import MappingNetwork
from training.networks.stylegan2 import Generator
from training.networks.stylegan2_discriminator import Discriminator
from training.pixels import to_unit_range
from training.regularizers import path_lengths, r1_penalty

PREVIEW_COLUMNS = 8
PREVIEW_CLASSES = 16
"""Rows of a preview at most, one for each class."""


def count_classes(config: StyleGAN2Config, classes: tuple[str, ...]) -> int:
    """Width of a label: 0 if the run is unconditional.

    Raises:
        DatasetError: If the run is conditional and its dataset has no classes.
    """
    if config.conditional and not classes:
        raise DatasetError(
            "conditional=true needs a dataset with labels (dataset.json, or one subfolder a class); "
            "this one has none"
        )
    return len(classes) if config.conditional else 0


def build_generator(config: StyleGAN2Config, classes: tuple[str, ...] = ()) -> Generator:
    """An untrained generator of the configured size."""
    g = config.generator
    return Generator(
        g.z_dim, g.w_dim, config.data.resolution, g.channel_base, g.channel_max, g.mapping_layers,
        count_classes(config, classes), g.num_fp16_res,
    )  # fmt: skip


def build_discriminator(config: StyleGAN2Config, classes: tuple[str, ...] = ()) -> Discriminator:
    """An untrained discriminator of the configured size."""
    d = config.discriminator
    discriminator = Discriminator(
        config.data.resolution, d.channel_base, d.channel_max, d.mbstd_group_size,
        count_classes(config, classes), d.num_fp16_res,
    )  # fmt: skip
    discriminator.freeze(d.freeze_layers)
    return discriminator


def check_groups(config: StyleGAN2Config, engine: Engine) -> None:
    """Raises ConfigError unless images that are computed together fall into groups that can be compared."""
    together = config.optimization.batch // (engine.world_size * engine.accumulate)
    group = config.discriminator.mbstd_group_size
    if together % min(group, together):
        raise ConfigError(
            f"optimization.batch={config.optimization.batch} is computed {together} images at a time, "
            f"which is no multiple of discriminator.mbstd_group_size={group}"
        )


class StyleGAN2(Family[StyleGAN2Config]):
    """The networks, optimisers and step of one run."""

    Config = StyleGAN2Config
    kind = "generator"
    layout = "images"

    def __init__(self, config: StyleGAN2Config, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        super().__init__(config, engine, classes)
        self.c_dim = count_classes(config, classes)
        check_groups(config, engine)
        self.G = cast(Generator, engine.prepare(build_generator(config, classes)))
        self.D = engine.prepare(build_discriminator(config, classes))
        engine.prepare(self.G.synthesis)  # called by itself, so compiled by itself
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.networks = {"G": self.G, "D": self.D, "G_ema": self.G_ema}
        o = config.optimization
        self.G_opt = self.lazy_adam(self.G, o.g_lr, o.pl_interval if o.pl_weight > 0 else None)
        self.D_opt = self.lazy_adam(self.D, o.d_lr, o.r1_interval if o.r1_gamma > 0 else None)
        self.optimizers = {"G": self.G_opt, "D": self.D_opt}
        self.augment = Augmentation(config.augment, engine, o.batch)
        self.pl_mean = torch.zeros([], device=engine.device)
        self.seen: dict[str, list[Tensor]] = {"w": [], "path_length": []}  # means of a batch's parts
        self.class_counts = torch.zeros(self.c_dim, device=engine.device)

    def lazy_adam(self, network: nn.Module, lr: float, interval: int | None) -> torch.optim.Adam:
        """Adam for a network that is regularised every `interval` steps.

        It takes interval + 1 steps where interval were meant; Adam's time constants shrink accordingly.
        """
        o = self.config.optimization
        c = 1.0 if interval is None else interval / (interval + 1)
        return torch.optim.Adam(network.parameters(), lr=lr * c, betas=(o.beta1**c, o.beta2**c))

    def draw(self, labels: Tensor) -> Batch:
        """Everything random that images of these classes [n, c_dim] are made from and seen through.

        Two latents each, where they cross, fresh noise, and augmentation.
        """
        engine, mapping, n = self.engine, self.G.mapping, len(labels)
        crossed = engine.rand(n, 1) < self.config.optimization.style_mixing_prob
        point = engine.randint(1, mapping.num_ws, n, 1)
        layer = torch.arange(mapping.num_ws, device=engine.device)
        return {
            "labels": labels,
            "z1": engine.randn(n, mapping.z_dim),
            "z2": engine.randn(n, mapping.z_dim),
            "takes_second": crossed & (layer >= point),  # [n, num_ws]
            "noise": [
                engine.randn(n, 1, conv.resolution, conv.resolution)
                for conv in self.G.synthesis.styled_convs()
            ],
            "fake_augmentation": self.augment.draw(n),
        }

    def styles(self, draws: Batch) -> Tensor:
        """Training ws [n, num_ws, w_dim], a share of them crossed from two latents (style mixing)."""
        mapping: MappingNetwork = self.G.mapping
        w1 = mapping.styles(draws["z1"], draws["labels"])
        self.seen["w"].append(w1.detach().mean(dim=0))
        if self.config.optimization.style_mixing_prob == 0:
            return mapping.broadcast(w1)
        w2 = mapping.styles(draws["z2"], draws["labels"])
        takes_second = draws["takes_second"].unsqueeze(2)
        return torch.where(takes_second, mapping.broadcast(w2), mapping.broadcast(w1))

    def generate(self, draws: Batch) -> Tensor:
        """Training images, [n, 3, R, R]."""
        images: Tensor = self.G.synthesis(self.styles(draws), draws["noise"])
        return images

    def step(self, batch: Batch, step: int) -> None:
        """Optimises both networks once."""
        o, engine = self.config.optimization, self.engine
        reals = to_unit_range(batch["image"])
        # What is generated takes its classes from the reals, and so has the same share of each.
        labels = self.one_hot(batch["label"])
        self.class_counts += engine.mean(labels.sum(dim=0)) * engine.world_size

        # Generator: make D believe.
        engine.minimize(self.G_opt, self.generator_loss, self.draw(labels), through=[self.D])
        self.follow_averages()

        # Path length: a step in w should move an image equally far everywhere.
        if o.pl_weight > 0 and step % o.pl_interval == 0:
            few = labels[: max(len(labels) // o.pl_batch_shrink, o.accumulate)]
            y = engine.randn(len(few), *reals.shape[1:])
            engine.minimize(self.G_opt, self.path_length_loss, {"y": y, **self.draw(few)})
            self.follow_averages()

        # Discriminator: tell real from fake.
        real = {"reals": reals, "real_augmentation": self.augment.draw(len(reals))}
        engine.minimize(self.D_opt, self.discriminator_loss, {**real, **self.draw(labels)})
        self.follow_averages()

        # R1, seldom and so much stronger.
        if o.r1_gamma > 0 and step % o.r1_interval == 0:
            engine.minimize(self.D_opt, self.r1_loss, {**real, "labels": labels})

        self.augment.adapt(step)
        decay = ema_decay(o.batch, (step + 1) * o.batch, o.ema_kimg, o.ema_rampup)
        update_ema(self.G_ema, self.G, decay)

    def one_hot(self, label: Tensor) -> Tensor:
        """INT64 [n] → [n, c_dim]."""
        if self.c_dim == 0:
            return torch.zeros(len(label), 0, device=self.engine.device)
        return F.one_hot(label, self.c_dim).float()

    def generator_loss(self, part: Batch) -> Tensor:
        """The non-saturating loss of new images."""
        fakes = self.generate(part)
        logits = self.D(self.augment(fakes, part["fake_augmentation"]), part["labels"])
        loss = l_nonsaturating_g(logits)
        self.engine.report("loss/G", loss)
        return loss

    def path_length_loss(self, part: Batch) -> Tensor:
        """E (‖Jᵀy‖ − a)² of new images, a the mean length so far, times the steps it stands for."""
        o = self.config.optimization
        ws = self.styles(part)
        # `forward` passes by a compiled network, which cannot be differentiated twice.
        lengths = path_lengths(self.G.synthesis.forward(ws, part["noise"]), ws, part["y"])
        penalty = (lengths - self.pl_mean).square().mean()
        self.seen["path_length"].append(lengths.detach().mean())
        self.engine.report("path/penalty", penalty)
        return penalty * (o.pl_weight * o.pl_interval)

    def follow_averages(self) -> None:
        """Moves the mean w and the mean path length to what the last images had, over parts and processes."""
        if self.seen["w"]:
            self.G.mapping.track_average(self.engine.mean(torch.stack(self.seen["w"]).mean(dim=0)))
        if self.seen["path_length"]:
            length = self.engine.mean(torch.stack(self.seen["path_length"]).mean())
            self.pl_mean.lerp_(length, self.config.optimization.pl_decay)
            self.engine.report("path/length", self.pl_mean)
        self.seen = {"w": [], "path_length": []}

    def discriminator_loss(self, part: Batch) -> Tensor:
        """The logistic loss of real images and new ones."""
        with torch.no_grad():
            fakes = self.generate(part)
        fake_logits = self.D(self.augment(fakes, part["fake_augmentation"]), part["labels"])
        real_logits = self.D(self.augment(part["reals"], part["real_augmentation"]), part["labels"])
        self.augment.observe(real_logits)
        loss = l_logistic_d(real_logits, fake_logits)
        self.engine.report("loss/D", loss)
        self.engine.report("logits/real", real_logits)
        self.engine.report("logits/fake", fake_logits)
        return loss

    def r1_loss(self, part: Batch) -> Tensor:
        """The gradient penalty on real images, times the steps it stands for."""
        o = self.config.optimization
        x = part["reals"].detach().requires_grad_(True)
        # `forward` passes by a compiled network, which cannot be differentiated twice.
        logits = self.D.forward(self.augment(x, part["real_augmentation"]), part["labels"])
        penalty = r1_penalty(logits, x)
        self.engine.report("r1", penalty)
        return penalty * (o.r1_gamma / 2 * o.r1_interval)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Images of the averaged generator, always of the same latents; a row for each class."""
        rows = min(self.c_dim, PREVIEW_CLASSES) or 4
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(PREVIEW_COLUMNS * (1 if self.c_dim else rows), self.G.mapping.z_dim, generator=rng)
        if self.c_dim:
            z = z.repeat(rows, 1)
        label = self.one_hot(torch.arange(rows).repeat_interleave(PREVIEW_COLUMNS).to(self.engine.device))
        images: Tensor = self.G_ema(z.to(self.engine.device), label=label)
        return images.view(rows, PREVIEW_COLUMNS, *images.shape[1:])

    def extra_state(self) -> dict[str, Any]:
        """The augmentation and its control, the mean path length, and how often each class was seen."""
        return {
            "augment": self.augment.state_dict(),
            "pl_mean": self.pl_mean.clone(),
            "class_counts": self.class_counts.clone(),
        }

    def load_extra_state(self, state: State) -> None:
        """Takes up what `extra_state` gave."""
        self.augment.load_state_dict(state["augment"])
        self.pl_mean.copy_(state["pl_mean"])
        self.class_counts.copy_(state["class_counts"])

    def transfer(self, state: State) -> str:
        """Starts from the weights of another StyleGAN2, of any resolution and size.

        Layers of equal resolution and shape are taken; the others start untrained.
        """
        theirs = dict(state["networks"])
        if "D" in theirs:
            theirs["D"] = align_blocks(theirs["D"], len(cast(Discriminator, self.D).blocks))
        notes = []
        for name, network in self.networks.items():
            mine = network.state_dict()
            fitting = {
                k: v for k, v in theirs.get(name, {}).items() if k in mine and v.shape == mine[k].shape
            }
            network.load_state_dict({**mine, **fitting})
            notes.append(f"{name} {len(fitting)} of {len(mine)} tensors")
        if all(" 0 of " in note for note in notes):
            raise TransferError("nothing of these weights fits the networks of this run")
        return ", ".join(notes)

    @classmethod
    def deployables(cls, config: StyleGAN2Config, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The averaged generator."""
        generator = build_generator(config, classes)
        generator.load_state_dict(state["networks"]["G_ema"])
        card: dict[str, Any] = {}
        if config.conditional:
            counts = state["extra"]["class_counts"]
            shares = counts / counts.sum().clamp(min=1)
            card["class_shares"] = {
                name: round(s, 4) for name, s in zip(classes, shares.tolist(), strict=True)
            }
        return [Deployable(config.name, config.title, generator.eval().requires_grad_(False), card=card)]


def align_blocks(state: State, blocks: int) -> dict[str, Tensor]:
    """Renumbers a discriminator's blocks, which count from the image down, to those of another resolution."""
    numbered = {key: re.fullmatch(r"blocks\.(\d+)\.(.*)", key) for key in state}
    theirs = 1 + max((int(match[1]) for match in numbered.values() if match), default=-1)
    return {
        f"blocks.{int(match[1]) + blocks - theirs}.{match[2]}" if match else key: state[key]
        for key, match in numbered.items()
    }
