"""Whether a generator copies its training images: how near it comes to them, and how near real images do."""

from __future__ import annotations

from pydantic import BaseModel
from torch import Tensor

from training.metrics.nearest import nearest

TAIL = 0.01


class Memorization(BaseModel):
    """Distances to the nearest training image, in feature space.

    Attributes:
        generated: Median distance of generated images.
        held_out: Median distance of held-out real images, which cannot be copies.
        ratio: `generated / held_out`. About 1 or more: as far from the training images as new real images
            are; near 0: copies.
        suspicious: Share of generated images that are nearer to a training image than 99 % of the held-out
            images are; about 0.01 is what real images give.
        searched: Training images that were looked through.
    """

    generated: float
    held_out: float
    ratio: float
    suspicious: float
    searched: int


def memorization(
    generated: Tensor, held_out: Tensor, training: Tensor
) -> tuple[Memorization, Tensor, Tensor]:
    """Compares generated images with the training images.

    Args:
        generated: Features [n, d].
        held_out: Features of real images that were not trained on, [m, d].
        training: Features of the training images, [k, d].

    Returns:
        The figures; for each generated image the distance of its nearest training image, and which that is.
    """
    distances, indices = nearest(generated, training)
    reference, _ = nearest(held_out, training)
    median, median_reference = float(distances.median()), float(reference.median())
    return (
        Memorization(
            generated=median,
            held_out=median_reference,
            ratio=median / max(median_reference, 1e-12),
            suspicious=float((distances < reference.quantile(TAIL)).double().mean()),
            searched=len(training),
        ),
        distances,
        indices,
    )
