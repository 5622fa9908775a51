"""Paths through the latents of a generator: keyframes become the latents of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.latents import Easing, lerp, path, slerp, z_for_seed
from service.synthesis import UNMOVED, Latent, Transform

Space = Literal["w", "z"]


def path_in_w(
    ws: NDArray[np.float32],
    frames: int,
    *,
    loop: bool,
    easing: Easing,
    transforms: Sequence[Transform] | None = None,
) -> list[Latent]:
    """Frames on straight lines between styles; transforms change along with them.

    Args:
        ws: Styles of the keyframes, float32 [k, num_ws, w_dim].
        frames: How many.
        loop: See `service.latents.path`.
        easing: See there.
        transforms: Of the keyframes; None for none.

    Returns:
        One latent a frame; a frame that falls on a keyframe has exactly its styles.
    """
    of = transforms or (UNMOVED,) * len(ws)
    return [
        Latent(ws=lerp(ws[before], ws[after], t), transform=_moving(of[before], of[after], t))
        for before, after, t in path(len(ws), frames, loop=loop, easing=easing)
    ]


def path_in_z(
    keyframes: Sequence[Latent], z_dim: int, frames: int, *, loop: bool, easing: Easing
) -> list[Latent]:
    """Frames on arcs between latents; truncation, edits and transforms change along with them.

    Args:
        keyframes: With seeds, equal labels and equal truncation cutoffs.
        z_dim: Length of a latent.
        frames: How many.
        loop: See `service.latents.path`.
        easing: See there.

    Returns:
        One latent a frame; a frame that falls on a keyframe is exactly that one.
    """
    z = [z_for_seed(keyframe.seed or 0, z_dim) for keyframe in keyframes]
    made = []
    for before, after, t in path(len(keyframes), frames, loop=loop, easing=easing):
        a, b = keyframes[before], keyframes[after]
        made.append(
            replace(
                a,
                seed=None,
                z=slerp(z[before], z[after], t),
                truncation=(1 - t) * a.truncation + t * b.truncation,
                edits=_between(a.edits, b.edits, t),
                transform=_moving(a.transform, b.transform, t),
            )
        )
    return made


def _between(a: tuple[float, ...], b: tuple[float, ...], t: float) -> tuple[float, ...]:
    n = max(len(a), len(b))  # no edits at all are an empty tuple
    a, b = a or (0.0,) * n, b or (0.0,) * n
    return tuple((1 - t) * from_a + t * to_b for from_a, to_b in zip(a, b, strict=True))


def _moving(a: Transform, b: Transform, t: float) -> Transform:
    """As numbers: from 0° to 360° is once around, and not nothing."""
    if a == b:
        return a
    x, y = _between(a.translation, b.translation, t)
    return Transform((1 - t) * a.rotation + t * b.rotation, (x, y))
