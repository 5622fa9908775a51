"""Seeds become latents, latents become others: pure numpy, no I/O."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**32 - 1

Easing = Literal["linear", "ease-in", "ease-out", "ease-in-out"]

_EASINGS: Final[Mapping[Easing, Callable[[float], float]]] = {
    "linear": lambda t: t,
    "ease-in": lambda t: t * t,
    "ease-out": lambda t: t * (2 - t),
    "ease-in-out": lambda t: t * t * (3 - 2 * t),  # smoothstep: no jerk where segments meet
}
_of_thread = threading.local()
# Below this angle (radians) the arc and the chord are the same in float32.
_PARALLEL = 1e-4


def z_for_seed(seed: int, z_dim: int) -> NDArray[np.float32]:
    """The latent that users of StyleGAN know as this seed.

    Args:
        seed: Integer from 0 to `MAX_SEED`.
        z_dim: Length of the latent.

    Returns:
        Standard normal float32 vector, shape [z_dim].

    Raises:
        ValueError: If the seed is outside its range.
    """
    # numpy's legacy generator is frozen by policy, so a seed means the same vector in every release.
    generator = getattr(_of_thread, "generator", None)
    if generator is None:
        generator = _of_thread.generator = np.random.RandomState(0)
    # What `RandomState(seed)` does, but for drawing entropy that the seed then replaces, ten times its cost.
    generator.seed(seed)
    return np.asarray(generator.randn(z_dim), np.float32)


def lerp(a: NDArray[np.float32], b: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """The point at `t` on the straight line from `a` to `b`.

    Args:
        a: Any shape; returned exactly at t = 0.
        b: The same shape; returned exactly at t = 1.
        t: From 0 to 1.

    Returns:
        float32, the same shape.
    """
    return (a * np.float32(1 - t) + b * np.float32(t)).astype(np.float32)


def slerp(a: NDArray[np.float32], b: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """The point at `t` on the great arc from `a` to `b` (Shoemake, 1985), lengths interpolated as well.

    A straight line through z passes closer to the origin than latents that were trained on.

    Args:
        a: Vector that is not zero, shape [z_dim]; returned exactly at t = 0.
        b: The same; returned exactly at t = 1.
        t: From 0 to 1.

    Returns:
        float32, shape [z_dim]. Where both point (nearly) the same or opposite ways there is no one arc, and
        the straight line is taken.
    """
    if t in (0.0, 1.0):
        return a if t == 0.0 else b
    from_a, to_b = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = np.linalg.norm(from_a), np.linalg.norm(to_b)
    cosine = float(np.clip(from_a @ to_b / (length_a * length_b), -1.0, 1.0))
    angle = math.acos(cosine)
    if angle < _PARALLEL or math.pi - angle < _PARALLEL:
        return lerp(a, b, t)
    direction = (
        math.sin((1 - t) * angle) * from_a / length_a + math.sin(t * angle) * to_b / length_b
    ) / math.sin(angle)
    result: NDArray[np.float32] = (direction * ((1 - t) * length_a + t * length_b)).astype(np.float32)
    return result


def path(keyframes: int, frames: int, *, loop: bool, easing: Easing) -> list[tuple[int, int, float]]:
    """Where the frames of an animation lie between its keyframes.

    Args:
        keyframes: How many, at least 2.
        frames: How many, at least 2. Without `loop` the first frame is the first keyframe and the last one
            the last; with it the path returns to the first keyframe, and ends one frame before reaching it,
            so that a player which repeats the animation shows no frame twice.
        loop: Whether the path is closed.
        easing: How fast it moves within each segment.

    Returns:
        For each frame the keyframes before and after it, and its position between them from 0 to 1.

    Raises:
        ValueError: If there are too few keyframes or frames.
    """
    if keyframes < 2 or frames < 2:
        raise ValueError(f"a path needs 2 keyframes and 2 frames, not {keyframes} and {frames}")
    segments = keyframes if loop else keyframes - 1
    steps = frames if loop else frames - 1
    places = []
    for frame in range(frames):
        # In integers: a frame that falls on a keyframe is exactly that keyframe.
        segment, rest = divmod(frame * segments, steps)
        if segment == segments:  # the end of an open path
            segment, rest = segments - 1, steps
        places.append((segment, (segment + 1) % keyframes, _EASINGS[easing](rest / steps)))
    return places


def mix(ws: NDArray[np.float32], styles: NDArray[np.float32], layers: Sequence[int]) -> NDArray[np.float32]:
    """Style mixing (Karras et al. 2019, section 3.1): some layers' styles are those of another latent.

    Args:
        ws: float32 [num_ws, w_dim]: the image whose structure stays.
        styles: float32 [num_ws, w_dim]: the image that the layers are taken from.
        layers: Indices from 0 (coarsest) to num_ws − 1.

    Returns:
        float32 [num_ws, w_dim].
    """
    mixed = ws.copy()
    mixed[list(layers)] = styles[list(layers)]
    return mixed
