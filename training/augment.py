"""ADA: augmentations that the discriminator sees images through, as often as its overfitting calls for.

Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020): the
control of section 3, and the pipeline of appendix B without image-space filtering and corruptions, which
added nothing to the other three groups (figure 4). Each augmentation happens to each image with probability
p; while p stays below about 0.8, unchanged images remain the likeliest, and no augmentation leaks into what
is generated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from training.config import Section
from training.engine import Engine
from training.warp import warp

Category = Literal["blit", "geom", "color"]

DRAWS: dict[Category, tuple[int, int]] = {"blit": (7, 0), "geom": (7, 4), "color": (7, 3)}
"""How many uniform and how many normal random numbers an image takes."""


class AugmentConfig(Section):
    """What the discriminator sees images through."""

    mode: Literal["none", "fixed", "ada"] = Field(
        "none", description="No augmentation, one of constant probability, or one that adapts."
    )
    categories: list[Category] = Field(
        ["blit", "geom", "color"],
        description="blit: mirror, turn by 90°, shift by pixels; geom: scale, turn, stretch, shift; color.",
    )
    p: float = Field(0.0, ge=0, le=1, description="Probability of each augmentation, at first or throughout.")
    target: float = Field(0.6, gt=0, lt=1, description="What p is adapted for: the mean of sign(D(real)).")
    kimg: float = Field(500.0, gt=0, description="Thousands of images in which p can rise from 0 to 1.")
    interval: int = Field(4, gt=0, description="Steps between two adaptations of p.")


class Augmentation:
    """The augmentations, their probability, and its control.

    Args:
        config: What to do, and how often.
        engine: What random numbers are drawn from.
        batch: Images a step, over all processes.
    """

    def __init__(self, config: AugmentConfig, engine: Engine, batch: int) -> None:
        self.config = config
        self.engine = engine
        self.p = config.p
        self.step_size = batch * config.interval / (config.kimg * 1000)
        self._new = torch.zeros(2, device=engine.device)  # sum of sign(D(real)), and of how many
        self._signs = torch.zeros(2, device=engine.device)  # the same since p was adapted, over all processes

    def draw(self, n: int) -> list[Tensor]:
        """Everything random about the augmentation of this process's n images."""
        if self.config.mode == "none":
            return []
        counts = [DRAWS[category] for category in self.config.categories]
        uniform, normal = sum(u for u, _ in counts), sum(g for _, g in counts)
        return [self.engine.rand(n, uniform), self.engine.randn(n, normal)]

    def __call__(self, images: Tensor, draws: list[Tensor]) -> Tensor:
        """Augments images [N, 3, R, R] in about [−1, 1]."""
        if not draws or self.p == 0:
            return images
        uniform, normal = draws
        return augment(images, uniform, normal, self.p, self.config.categories)

    def observe(self, real_logits: Tensor) -> None:
        """Notes what the discriminator makes of augmented real images, [n, 1]."""
        signs = real_logits.detach().float().sign()
        self._new += torch.stack([signs.sum(), torch.ones_like(signs).sum()])

    def adapt(self, step: int) -> None:
        """Moves p, every so many steps, so that r_t = E[sign(D(real))] comes to its target (section 3).

        Args:
            step: Number of the step that is done, from 0.
        """
        if self.config.mode == "none":
            return
        # At each step, so that every process saves the same.
        self._signs += self.engine.mean(self._new) * self.engine.world_size
        self._new.zero_()
        if (step + 1) % self.config.interval == 0:
            r_t = (self._signs[0] / self._signs[1]).item()
            self._signs.zero_()
            if self.config.mode == "ada":
                move = math.copysign(self.step_size, r_t - self.config.target)
                self.p = min(max(self.p + move, 0.0), 1.0)
            self.engine.report("ada/r_t", r_t)
        self.engine.report("ada/p", self.p)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"p": self.p, "signs": self._signs.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the state of a checkpoint."""
        self.p = state["p"]
        self._signs.copy_(state["signs"])


def augment(
    images: Tensor, uniform: Tensor, normal: Tensor, p: float, categories: Sequence[Category]
) -> Tensor:
    """Augments each image in each way with probability p.

    Args:
        images: [N, 3, R, R] in about [−1, 1].
        uniform: From [0, 1), [N, …], as many as `DRAWS` asks for.
        normal: Standard normal, [N, …], as many as `DRAWS` asks for.
        p: Probability.
        categories: Which augmentations there are.

    Returns:
        [N, 3, R, R] in FP32. An image that nothing happens to comes out bit for bit.
    """
    n, size = images.shape[0], images.shape[3]
    # Pixels move before colours change; both are one matrix for each image.
    inverse = torch.eye(3, device=images.device).expand(n, 3, 3)
    colour = torch.eye(4, device=images.device).expand(n, 4, 4)
    us = uniform.split([DRAWS[category][0] for category in categories], dim=1)
    gs = normal.split([DRAWS[category][1] for category in categories], dim=1)
    with torch.autocast(images.device.type, enabled=False):
        for category, u, g in zip(categories, us, gs, strict=True):
            if category == "blit":
                inverse = inverse @ inverse_blit(u.T, p, size)
            elif category == "geom":
                inverse = inverse @ inverse_geometry(u.T, g.T, p, size)
            else:
                colour = recolouring(u.T, g.T, p) @ colour
        images = _where_needed(warp, images.float(), inverse)
        return _where_needed(_recolour, images, colour)


def inverse_blit(u: Tensor, p: float, size: int) -> Tensor:
    """Where pixels come from that are mirrored, turned by 90° and moved by whole pixels.

    The transformations are listed in the order that they happen to an image in, so that their inverses, which
    are drawn, multiply from the right.

    Args:
        u: Uniform random numbers, [7, N].
        p: Probability of each transformation.
        size: Side of the images.

    Returns:
        In pixels from the centre, [N, 3, 3].
    """
    mirror = torch.where(u[0] < p, 1 - 2 * (u[1] * 2).floor(), 1)
    quarters = torch.where(u[2] < p, (u[3] * 4).floor(), 0)
    move = torch.where(u[4] < p, ((u[5:7] * 2 - 1) * 0.125 * size).round(), 0)
    return _scale(mirror, torch.ones_like(mirror)) @ _rotate(quarters * (math.pi / 2)) @ _translate(*move)


def inverse_geometry(u: Tensor, g: Tensor, p: float, size: int) -> Tensor:
    """Where pixels come from in an image that is scaled, turned, stretched, turned again and moved.

    Args:
        u: Uniform random numbers, [7, N].
        g: Normal random numbers, [4, N].
        p: Probability of each transformation.
        size: Side of the images.

    Returns:
        In pixels from the centre, [N, 3, 3].
    """
    p_turn = 1 - math.sqrt(1 - p)  # so that at least one of two turns happens with probability p
    scale = torch.where(u[0] < p, 2 ** (0.2 * g[0]), 1)
    before = torch.where(u[1] < p_turn, (u[2] * 2 - 1) * math.pi, 0)
    stretch = torch.where(u[3] < p, 2 ** (0.2 * g[1]), 1)
    after = torch.where(u[4] < p_turn, (u[5] * 2 - 1) * math.pi, 0)
    move = torch.where(u[6] < p, 0.125 * size * g[2:4], 0)
    turned = _scale(scale, scale) @ _rotate(before)
    return turned @ _scale(stretch, 1 / stretch) @ _rotate(after) @ _translate(*move)


def recolouring(u: Tensor, g: Tensor, p: float) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation (appendix B.3).

    Args:
        u: Uniform random numbers, [7, N].
        g: Normal random numbers, [3, N].
        p: Probability of each.

    Returns:
        Affine maps of colours in [−1, 1], [N, 4, 4].
    """
    grey = torch.tensor([1.0, 1.0, 1.0, 0.0], device=u.device) / math.sqrt(3)  # the axis of luma
    luma = torch.outer(grey, grey)
    eye = torch.eye(4, device=u.device)
    colours = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], device=u.device))

    brightness = torch.where(u[0] < p, 0.2 * g[0], 0)[:, None, None]
    contrast = torch.where(u[1] < p, 2 ** (0.5 * g[1]), 1)[:, None, None]
    flip = torch.where(u[2] < p, (u[3] * 2).floor(), 0)[:, None, None]
    hue = torch.where(u[4] < p, (u[5] * 2 - 1) * math.pi, 0)[:, None, None]
    saturation = torch.where(u[6] < p, 2 ** g[2], 1)[:, None, None]

    shift = torch.zeros(4, 4, device=u.device)
    shift[:3, 3] = 1
    cross = torch.zeros(4, 4, device=u.device)  # v ↦ grey × v
    cross[[1, 2, 0], [0, 1, 2]] = 1 / math.sqrt(3)
    cross[[0, 1, 2], [1, 2, 0]] = -1 / math.sqrt(3)

    result = eye + brightness * shift
    result = (eye + (contrast - 1) * colours) @ result
    result = (eye - 2 * flip * luma) @ result
    # Rodrigues' rotation about the axis of luma.
    result = (eye + hue.sin() * cross + (1 - hue.cos()) * (luma - colours)) @ result
    return (eye + (saturation - 1) * (colours - luma)) @ result


def _where_needed(apply: Callable[[Tensor, Tensor], Tensor], images: Tensor, matrices: Tensor) -> Tensor:
    """Applies the matrices that are not the identity, which are few while p is small."""
    identity = torch.eye(matrices.shape[1], device=matrices.device)
    changed = (matrices != identity).flatten(1).any(dim=1).nonzero().squeeze(1)
    if len(changed) == 0:
        return images
    return images.index_copy(0, changed, apply(images[changed], matrices[changed]))


def _recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """Affine maps of colours: [n, 3, H, W] and [n, 4, 4] → [n, 3, H, W]."""
    pixels = matrices[:, :3, :3] @ images.flatten(2) + matrices[:, :3, 3:]
    return pixels.view_as(images)


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Rows of entries [N] to matrices [N, len(rows), 3]."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _translate(x: Tensor, y: Tensor) -> Tensor:
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix((one, zero, x), (zero, one, y), (zero, zero, one))


def _scale(x: Tensor, y: Tensor) -> Tensor:
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix((x, zero, zero), (zero, y, zero), (zero, zero, one))


def _rotate(angle: Tensor) -> Tensor:
    one, zero, c, s = torch.ones_like(angle), torch.zeros_like(angle), angle.cos(), angle.sin()
    return _matrix((c, -s, zero), (s, c, zero), (zero, zero, one))
