import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.resample import BandResampler


def in_bands(image: np.ndarray, target: tuple[int, int], sizes: list[int]) -> np.ndarray:
    resampler = BandResampler(image.shape[:2], target)
    rows, start = [], 0
    while start < len(image):
        size = sizes[len(rows) % len(sizes)]
        rows.append(resampler.push(image[start : start + size]))
        start += size
    return np.concatenate(rows)


def by_pillow(image: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """The whole at once, along the width first."""
    made = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    for size in ((target[1], image.shape[0]), (target[1], target[0])):
        made = made.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(made).reshape(*target, image.shape[2])


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.RandomState(height + width)
    return random.choice([0, 3, 100, 200, 255], (height, width, channels)).astype(np.uint8)


@settings(deadline=None, max_examples=150)
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    target=st.tuples(st.integers(1, 200), st.integers(1, 60)),
    channels=st.sampled_from([1, 3]),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_equals_pillow_bit_for_bit(
    source: tuple[int, int], target: tuple[int, int], channels: int, sizes: list[int]
) -> None:
    image = noise(*source, channels)
    np.testing.assert_array_equal(in_bands(image, target, sizes), by_pillow(image, target))


@pytest.mark.parametrize("target", [(1000, 700), (999, 731), (333, 250), (1333, 1), (2000, 350)])
def test_equals_pillow_on_a_larger_image(target: tuple[int, int]) -> None:
    image = noise(1333, 1000)
    np.testing.assert_array_equal(in_bands(image, target, [97]), by_pillow(image, target))


def test_memory_is_that_of_a_band() -> None:
    resampler = BandResampler((40_000, 300), (30_000, 225))
    band = noise(64, 300)
    resampler.push(band)
    tracemalloc.start()
    try:
        for _ in range(200):
            resampler.push(band)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # all the rows would be 25 MB
    finally:
        tracemalloc.stop()
