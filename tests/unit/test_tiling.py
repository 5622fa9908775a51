from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.tiling import cut, join_row, plan_axis, plan_grid


def box_filter(image: np.ndarray, radius: int, scale: int, multiple: int) -> np.ndarray:
    """A model of known reach: mirrors up to the multiple, sums over a window with zeros around, enlarges.

    Each pixel is weighted by its place within `multiple`, as a network with strides would.
    """
    height, width, _ = image.shape
    pad = [(0, -height % multiple), (0, -width % multiple), (0, 0)]
    x = np.pad(image.astype(np.int64), pad, mode="reflect" if min(height, width) > multiple else "edge")
    places = np.arange(1, multiple + 1)
    x = x * np.resize(places, x.shape[0])[:, None, None] * np.resize(places, x.shape[1])[None, :, None]
    summed = np.pad(x, [(radius + 1, radius), (radius + 1, radius), (0, 0)]).cumsum(0).cumsum(1)
    window = 2 * radius + 1
    x = (
        summed[window:, window:]
        - summed[:-window, window:]
        - summed[window:, :-window]
        + summed[:-window, :-window]
    )
    return (x[:height, :width] % 251).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)


@settings(deadline=None, max_examples=120)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    radius=st.integers(0, 12),
    multiple=st.integers(1, 9),
    spare=st.integers(0, 60),
    scale=st.integers(1, 3),
)
def test_tiles_give_what_the_whole_image_gives(
    height: int, width: int, radius: int, multiple: int, spare: int, scale: int
) -> None:
    image = np.random.RandomState(height * 151 + width).randint(0, 256, (height, width, 3), dtype=np.uint8)
    grid = plan_grid(height, width, 2 * radius + 2 * multiple + spare, radius, multiple)
    rows = []
    for row in grid.rows:
        tiles = [cut(image, row, column) for column in grid.columns]
        assert {tile.shape[:2] for tile in tiles} == {grid.tile_shape}
        made = [box_filter(tile, radius, scale, multiple) for tile in tiles]
        rows.append(join_row(made, row, grid.columns, scale))
    np.testing.assert_array_equal(np.concatenate(rows), box_filter(image, radius, scale, multiple))


@given(
    length=st.integers(1, 20_000),
    radius=st.integers(0, 200),
    multiple=st.sampled_from([1, 2, 4, 16, 64]),
    spare=st.integers(0, 500),
)
def test_the_plan_of_an_axis(length: int, radius: int, multiple: int, spare: int) -> None:
    tile = 2 * radius + 2 * multiple + spare
    spans = plan_axis(length, tile, radius, multiple)
    assert spans[0].keep_start == 0
    assert spans[-1].keep_stop == length == spans[-1].stop
    assert len({span.stop - span.start for span in spans}) == 1
    assert spans[0].stop - spans[0].start <= tile
    for before, after in pairwise(spans):
        assert before.keep_stop == after.keep_start
        assert before.stop - before.keep_stop >= radius
        assert after.keep_start - after.start >= radius
    for span in spans:
        assert span.start % multiple == 0
        assert span.start <= span.keep_start < span.keep_stop <= span.stop


def test_a_small_image_is_one_tile() -> None:
    assert plan_grid(1, 192, 192, 12).tiles == 1
    assert plan_grid(1, 193, 192, 12).tiles == 2


def test_tiles_are_no_larger_than_they_need_be() -> None:
    """Two tiles of 192 would compute 384 of 200 pixels."""
    assert plan_grid(200, 200, 192, 12).tile_shape == (128, 128)


def test_many_sizes_have_few_shapes() -> None:
    assert {plan_axis(length, 192, 12)[0].stop for length in range(193, 3000)} <= {128, 160, 192}


def test_a_tile_that_keeps_nothing() -> None:
    assert plan_grid(24, 24, 24, 12).tiles == 1
    with pytest.raises(ValueError, match="keep nothing"):
        plan_grid(25, 24, 24, 12)
