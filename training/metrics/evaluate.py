"""Evaluates a generator: its KID, between the KID of real images and that of an untrained generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from training.checkpoint import Checkpoint
from training.data.archive import Pixels
from training.export.generator import load_generator
from training.families.stylegan import build_generator
from training.metrics.features import INPUT_SIZE, EfficientNetLite0, extract
from training.metrics.kid import KID, kid
from training.networks.stylegan2 import Generator
from training.pixels import to_uint8

BATCH = 16


class GeneratorMetrics(BaseModel):
    """What was measured, and how.

    Attributes:
        kid: Generated against held-out images.
        kid_real: Training against held-out images: what a perfect generator would reach.
        kid_untrained: A freshly initialised generator of the same size against held-out images.
        features: What the images were compared by.
        protocol: Sizes and draws of the estimate.
    """

    kid: KID
    kid_real: KID
    kid_untrained: KID
    features: str
    protocol: str


def evaluate_generator(
    checkpoint: Checkpoint,
    train: Pixels,
    held_out: Pixels,
    *,
    images: int = 2000,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> GeneratorMetrics:
    """Measures the averaged generator of a checkpoint.

    Args:
        checkpoint: The run.
        train: Training images, [N, H, W, 3].
        held_out: Images of the held-out split, [M, H, W, 3].
        images: How many images of each kind at most are compared.
        progress: Told the kind at hand, how many images are done, and of how many.

    Returns:
        The metrics.
    """
    network = EfficientNetLite0()

    def features(kind: str, batches: Iterator[Tensor], total: int) -> Tensor:
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            progress(kind, done, total)

        return extract(network, batches, count)

    torch.manual_seed(0)
    untrained = build_generator(checkpoint.config).eval()
    reference = features("held-out", _real(held_out, images), min(images, len(held_out)))
    others = {
        "generated": features("generated", _generated(load_generator(checkpoint), images), images),
        "training": features("training", _real(train, images), min(images, len(train))),
        "untrained": features("untrained", _generated(untrained, images), images),
    }
    subset = min(1000, len(reference))
    return GeneratorMetrics(
        kid=kid(others["generated"], reference),
        kid_real=kid(others["training"], reference),
        kid_untrained=kid(others["untrained"], reference),
        features=network.name,
        protocol=(
            f"{images} generated (seeds 0–{images - 1}, truncation 1, fresh noise), "
            f"{len(others['training'])} training and {len(reference)} held-out images; "
            f"100 subsets of {subset}; images resized to {INPUT_SIZE}²"
        ),
    )


def _real(pixels: Pixels, limit: int) -> Iterator[Tensor]:
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[:limit]
    for indices in order.split(BATCH):
        yield torch.from_numpy(pixels[indices.numpy()]).permute(0, 3, 1, 2)


@torch.no_grad()
def _generated(generator: Generator, count: int) -> Iterator[Tensor]:
    """Images of the seeds 0 … count − 1, which are those that the service makes for these seeds."""
    rng = torch.Generator().manual_seed(0)
    for seeds in torch.arange(count).split(BATCH):
        z = np.stack([np.random.RandomState(s).randn(generator.mapping.z_dim) for s in seeds.tolist()])
        ws = generator.mapping(torch.from_numpy(z.astype(np.float32)))
        yield to_uint8(generator.synthesis(ws, generator.synthesis.random_noise(len(seeds), rng)))
