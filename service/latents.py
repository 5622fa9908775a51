"""Seeds become latents: pure numpy, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**32 - 1


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
    return np.random.RandomState(seed).randn(z_dim).astype(np.float32)


def z_for_seeds(seeds: Sequence[int], z_dim: int) -> NDArray[np.float32]:
    """The latents of several seeds, each drawn as if it were alone.

    Args:
        seeds: Integers from 0 to `MAX_SEED`; repetition is allowed.
        z_dim: Length of one latent.

    Returns:
        Float32 array, shape [len(seeds), z_dim].

    Raises:
        ValueError: If a seed is outside its range.
    """
    z = np.empty((len(seeds), z_dim), np.float32)
    for row, seed in enumerate(seeds):
        z[row] = np.random.RandomState(seed).randn(z_dim)
    return z


def one_hot(index: int | None, c_dim: int, n: int) -> NDArray[np.float32]:
    """The same class for `n` latents, as a conditional mapping network takes it.

    Args:
        index: Class index from 0 to `c_dim` − 1, or None for the zero vector.
        c_dim: Number of classes.
        n: Number of rows.

    Returns:
        Float32 array, shape [n, c_dim].

    Raises:
        IndexError: If the index is outside its range.
    """
    label = np.zeros((n, c_dim), np.float32)
    if index is not None:
        if not 0 <= index < c_dim:
            raise IndexError(f"class {index} is outside 0 to {c_dim - 1}")
        label[:, index] = 1.0
    return label
