import numpy as np
import pytest

from service.latents import MAX_SEED, lerp, mix, path, slerp, z_for_seed


def test_the_convention_users_know() -> None:
    for seed in (0, 1, 12345, MAX_SEED):
        expected = np.random.RandomState(seed).randn(512).astype(np.float32)
        np.testing.assert_array_equal(z_for_seed(seed, 512), expected)
    assert z_for_seed(0, 3).tolist() == pytest.approx([1.7640524, 0.4001572, 0.978738])


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_outside_the_range(seed: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 2"):
        z_for_seed(seed, 4)


def vectors(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return z_for_seed(seed, 64), z_for_seed(seed + 1, 64)


@pytest.mark.parametrize("way", [lerp, slerp])
def test_the_ends_are_exact(way) -> None:
    a, b = vectors(3)
    np.testing.assert_array_equal(way(a, b, 0.0), a)
    np.testing.assert_array_equal(way(a, b, 1.0), b)
    assert way(a, b, 0.3).dtype == np.float32


def test_slerp_keeps_the_length_and_divides_the_angle() -> None:
    a, b = vectors(5)
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    whole = np.arccos(a @ b / (a @ a))
    for t in (0.1, 0.5, 0.75):
        c = slerp(a, b, t)
        assert np.linalg.norm(c) == pytest.approx(np.linalg.norm(a), rel=1e-5)
        assert np.arccos(a @ c / (a @ a)) == pytest.approx(t * whole, rel=1e-4)
    assert np.linalg.norm(lerp(a, b, 0.5)) < 0.9 * np.linalg.norm(a)  # what slerp is for


def test_slerp_of_parallel_and_opposite_vectors_is_finite() -> None:
    a, _ = vectors(0)
    for b in (a, 2 * a, -a, a * np.float32(1 + 1e-7)):
        assert np.isfinite(slerp(a, b, 0.25)).all()


@pytest.mark.parametrize("easing", ["linear", "ease-in", "ease-out", "ease-in-out"])
@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize(("keyframes", "frames"), [(2, 2), (3, 7), (4, 12), (5, 3), (2, 241)])
def test_a_path(keyframes: int, frames: int, loop: bool, easing: str) -> None:
    places = path(keyframes, frames, loop=loop, easing=easing)
    assert len(places) == frames
    positions = [before + t for before, _, t in places]
    assert positions == sorted(positions)
    assert len(set(positions)) == frames  # no frame is shown twice
    assert positions[0] == 0
    assert all(0 <= t <= 1 and after == (before + 1) % keyframes for before, after, t in places)
    if loop:
        assert positions[-1] < keyframes
    else:
        assert positions[-1] == keyframes - 1
    segments, steps = (keyframes, frames) if loop else (keyframes - 1, frames - 1)
    if steps % segments == 0:  # then every keyframe is met exactly
        assert [t for _, _, t in places][:: steps // segments][:segments] == [0.0] * segments


def test_mix_takes_the_layers_and_nothing_else() -> None:
    a, b = np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32)
    assert mix(a, b, [1, 3]).tolist() == [[0] * 3, [1] * 3, [0] * 3, [1] * 3]
    assert a.sum() == 0
