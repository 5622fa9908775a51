import numpy as np
import pytest

from service.latents import MAX_SEED, z_for_seed


def test_the_convention_users_know() -> None:
    for seed in (0, 1, 12345, MAX_SEED):
        expected = np.random.RandomState(seed).randn(512).astype(np.float32)
        np.testing.assert_array_equal(z_for_seed(seed, 512), expected)
    assert z_for_seed(0, 3).tolist() == pytest.approx([1.7640524, 0.4001572, 0.978738])


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_outside_the_range(seed: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 2"):
        z_for_seed(seed, 4)
