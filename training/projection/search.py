"""Projection: the styles of which a generator makes a given picture, found by optimisation.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), section 5 and
appendix D: start at the mean w, noise on w that fades, noise maps kept free of the picture by a penalty on
their autocorrelation at all resolutions, the course of the learning rate. Abdal et al., "Image2StyleGAN"
(ICCV 2019), section 3: a w of its own for each layer (W+), and a loss of pixels beside the perceptual one.

Symbols: w intermediate latent, `ws` one w for every layer, μ and σ mean and spread of w, t ∈ [0, 1) the share
of the steps that are done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from training.pixels import to_uint8
from training.projection.projectable import Projectable

if TYPE_CHECKING:
    from training.perceptual import PerceptualDistance  # which needs features that pixels alone do not

Space = Literal["w", "w+"]
Progress = Callable[[int, float], None]
"""Told how many steps are done, and the least loss so far."""

W_SAMPLES = 10_000
"""Random w that μ and σ are measured on."""

W_NOISE = 0.05
"""Noise on w in the beginning, in σ."""

NOISE_FADES = 0.75
"""When there is no noise on w any more, as a share of all steps."""

RAMP_UP = 0.05
RAMP_DOWN = 0.25
"""Shares of the steps in which the learning rate rises and falls."""

NOISE_WEIGHT = 1e5
"""Weight of the penalty on optimised noise."""

SMALLEST_SIDE, LARGEST_SIDE = 32, 256
"""Sides between which features are computed; below, the deep ones have hardly a place left."""

_BATCH = 1000
_CHECK_EVERY = 10


@dataclass(frozen=True)
class Settings:
    """How a picture is looked for.

    Attributes:
        space: `w` is one w for all layers; `w+` one for each, which comes nearer to any picture.
        steps: Steps of the optimiser.
        seed: Of all random numbers.
        learning_rate: The highest, of Adam; the paper has 0.1 with twice the steps.
        pixel_weight: Weight of the mean squared error of pixels, at all scales, beside the distance.
        optimize_noise: Whether the noise is adapted too; it is not served.
    """

    space: Space = "w+"
    steps: int = 500
    seed: int = 0
    learning_rate: float = 0.2
    pixel_weight: float = 1.0
    optimize_noise: bool = False


@dataclass(frozen=True)
class Projection:
    """What was found.

    Attributes:
        ws: FP32 on the CPU, [num_ws, w_dim].
        noise: The adapted noise, [1, 1, R, R] a layer, on the CPU; empty unless it was asked for.
        image: UINT8 on the CPU, [3, R, R]: what ws make with the constant noise, as it is served.
        start: The same of μ, where the search began.
        noisy_image: With the adapted noise; None unless it was asked for.
        loss: The least loss, that of ws.
        start_loss: The loss of μ.
        steps: Steps that were made.
        seconds: Time they took.
        stopped: Whether it was interrupted.
    """

    ws: Tensor
    noise: list[Tensor]
    image: Tensor
    start: Tensor
    noisy_image: Tensor | None
    loss: float
    start_loss: float
    steps: int
    seconds: float
    stopped: bool


def project(
    generator: Projectable,
    target: Tensor,
    distance: PerceptualDistance | None,
    settings: Settings,
    label: int | None = None,
    progress: Progress = lambda _step, _loss: None,
) -> Projection:
    """Finds the styles of which a generator makes a picture.

    An interrupt (Ctrl-C) ends it early, with the best that was found.

    Args:
        generator: What is to make the picture.
        target: The picture, UINT8 [3, R, R] of the generator's resolution.
        distance: How alike images look; None compares pixels alone.
        settings: How it is looked for.
        label: Class whose mean the search begins at; None is the mean over all classes.
        progress: Told every few steps.

    Returns:
        The best that was found; the same for the same arguments on the same machine.
    """
    began = time.monotonic()
    rng = torch.Generator().manual_seed(settings.seed)
    mean, spread = w_statistics(generator, label, rng)
    objective = Objective(target.to(generator.device), distance, settings.pixel_weight)
    search = _Search(generator, objective, mean, settings)
    first = best = search.look()
    steps, stopped = 0, False
    try:
        for step in range(settings.steps):
            t = step / settings.steps
            shake = W_NOISE * spread * max(0.0, 1 - t / NOISE_FADES) ** 2
            search.step(settings.learning_rate * rate(t), shake * torch.randn(search.w.shape, generator=rng))
            steps = step + 1
            if steps % _CHECK_EVERY == 0 or steps == settings.steps:
                best = min(best, search.look(), key=lambda found: found.loss)
                progress(steps, best.loss)
    except KeyboardInterrupt:
        stopped = True
    noisy = None
    if settings.optimize_noise:
        with torch.no_grad():
            noisy = to_uint8(generator.images(best.ws, best.noise))[0].cpu()
    return Projection(
        ws=best.ws[0].cpu(),
        noise=[n.cpu() for n in best.noise],
        image=generator.pixels(best.ws),
        start=generator.pixels(first.ws),
        noisy_image=noisy,
        loss=best.loss,
        start_loss=first.loss,
        steps=steps,
        seconds=time.monotonic() - began,
        stopped=stopped,
    )


class _Found(NamedTuple):
    """A point of the search: its loss, ws [1, num_ws, w_dim], and the noise if it is adapted."""

    loss: float
    ws: Tensor
    noise: list[Tensor]


class _Search:
    """What is optimised, and how it is moved."""

    def __init__(
        self, generator: Projectable, objective: Objective, mean: Tensor, settings: Settings
    ) -> None:
        self.generator = generator
        self.objective = objective
        layers = 1 if settings.space == "w" else generator.num_ws
        self.w = mean.expand(1, layers, -1).clone().requires_grad_(True)  # [1, 1 or num_ws, w_dim]
        self.adapted = [n.clone().requires_grad_(True) for n in generator.noise if settings.optimize_noise]
        self.noise = self.adapted or generator.noise
        self.optimizer = torch.optim.Adam([self.w, *self.adapted])

    def ws(self, w: Tensor) -> Tensor:
        return w.expand(1, self.generator.num_ws, -1)

    @torch.no_grad()
    def look(self) -> _Found:
        """Where the search is now, without noise on w."""
        ws = self.ws(self.w).clone()
        loss = float(self.objective(self.generator.images(ws, self.noise)))
        return _Found(loss, ws, [n.detach().clone() for n in self.adapted])

    def step(self, learning_rate: float, shake: Tensor) -> None:
        """Moves w, and the noise if it is adapted, downhill from w + shake."""
        ws = self.ws(self.w + shake.to(self.w.device))
        loss = self.objective(self.generator.images(ws, self.noise))
        if self.adapted:
            loss = loss + NOISE_WEIGHT * noise_penalty(self.adapted)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        standardize(self.adapted)


class Objective:
    """How far an image is from the target: L = distance + λ · mean over scales of the pixels' MSE.

    Args:
        target: UINT8 [3, R, R].
        distance: How alike images look, or None.
        pixel_weight: λ.
    """

    def __init__(self, target: Tensor, distance: PerceptualDistance | None, pixel_weight: float) -> None:
        self.distance = distance
        self.pixel_weight = pixel_weight
        image = target[None].float() / 255
        self.scales = pyramid(image)
        with torch.no_grad():
            self.maps = distance.maps(seen(image)) if distance is not None else []

    def __call__(self, images: Tensor) -> Tensor:
        """[1, 3, R, R] in [−1, 1] → a number."""
        image = (images + 1) / 2
        per_scale = [F.mse_loss(a, b) for a, b in zip(pyramid(image), self.scales, strict=True)]
        loss = self.pixel_weight * torch.stack(per_scale).mean()
        if self.distance is not None:
            loss = loss + self.distance.between(self.distance.maps(seen(image)), self.maps).sum()
        return loss


def seen(images: Tensor) -> Tensor:
    """Images at the size at which features are computed: at least 32², at most 256². [N, 3, R, R]."""
    side = min(max(images.shape[-1], SMALLEST_SIDE), LARGEST_SIDE)
    if side < images.shape[-1]:
        return F.interpolate(images, (side, side), mode="area")
    if side > images.shape[-1]:
        return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
    return images


def pyramid(images: Tensor) -> list[Tensor]:
    """Images [N, 3, R, R] and their means over 2×2 pixels, down to 8²."""
    scales = [images]
    while scales[-1].shape[-1] > 8:
        scales.append(F.avg_pool2d(scales[-1], 2))
    return scales


def w_statistics(generator: Projectable, label: int | None, rng: torch.Generator) -> tuple[Tensor, float]:
    """μ [w_dim] and σ = √E‖w − μ‖² of random w.

    Args:
        generator: Whose mapping network makes them.
        label: Class; None takes all in equal shares.
        rng: Source of z.
    """
    parts = []
    for first in range(0, W_SAMPLES, _BATCH):
        z = torch.randn(_BATCH, generator.z_dim, generator=rng)
        one_hot = None
        if generator.c_dim:
            index = torch.arange(first, first + _BATCH) % generator.c_dim
            one_hot = F.one_hot(index if label is None else torch.full_like(index, label), generator.c_dim)
            one_hot = one_hot.float().to(generator.device)
        parts.append(generator.styles(z.to(generator.device), one_hot))
    w = torch.cat(parts)
    mean = w.mean(dim=0)
    return mean, float((w - mean).square().sum(dim=1).mean().sqrt())


def rate(t: float) -> float:
    """The learning rate at t ∈ [0, 1), relative to the highest: a linear rise, a level, a cosine to zero."""
    fall = min(1.0, (1 - t) / RAMP_DOWN)
    return min(1.0, t / RAMP_UP) * (0.5 - 0.5 * math.cos(math.pi * fall))


def noise_penalty(noise: Sequence[Tensor]) -> Tensor:
    """Σ over maps and their halved sizes, down to 8², of the squared correlation of neighbours.

    Source: Karras et al. (CVPR 2020), appendix D. Noise that holds a part of the picture is alike in
    neighbouring pixels; the noise that a generator was trained with is not.

    Args:
        noise: [1, 1, R, R] each.
    """
    terms = []
    for n in noise:
        while True:
            terms += [(n * n.roll(1, dims=axis)).mean().square() for axis in (2, 3)]
            if n.shape[-1] <= 8:
                break
            n = F.avg_pool2d(n, 2) * 2  # the mean of four has half their spread
    return torch.stack(terms).sum()


@torch.no_grad()
def standardize(noise: Sequence[Tensor]) -> None:
    """Brings each map to mean 0 and variance 1, in place."""
    for n in noise:
        n -= n.mean()
        n *= n.square().mean().rsqrt()
