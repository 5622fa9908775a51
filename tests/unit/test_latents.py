import numpy as np
import pytest

from service.latents import MAX_SEED, one_hot, z_for_seed, z_for_seeds


def test_the_convention_users_know() -> None:
    for seed in (0, 1, 12345, MAX_SEED):
        expected = np.random.RandomState(seed).randn(512).astype(np.float32)
        np.testing.assert_array_equal(z_for_seed(seed, 512), expected)
    assert z_for_seed(0, 3).tolist() == pytest.approx([1.7640524, 0.4001572, 0.978738])


def test_a_seed_is_the_same_alone_and_in_company() -> None:
    seeds = [5, 0, 5, MAX_SEED]
    z = z_for_seeds(seeds, 64)
    assert z.dtype == np.float32
    for row, seed in zip(z, seeds, strict=True):
        np.testing.assert_array_equal(row, z_for_seed(seed, 64))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_outside_the_range(seed: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 2"):
        z_for_seed(seed, 4)


def test_one_hot() -> None:
    assert one_hot(2, 3, 2).tolist() == [[0, 0, 1], [0, 0, 1]]
    assert one_hot(None, 3, 1).tolist() == [[0, 0, 0]]
    with pytest.raises(IndexError):
        one_hot(3, 3, 1)
