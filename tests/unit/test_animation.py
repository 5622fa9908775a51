from __future__ import annotations

from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.images.animation import available_formats, encode_animation

RECIPE = {"model": "toy", "frames": 7}


def frames(n: int = 7, height: int = 16, width: int = 20) -> list[np.ndarray]:
    y, x = np.mgrid[:height, :width]
    return [np.stack([x * 9 + i * 3, y * 8, x * 0 + 40 * (i % 3)], -1).astype(np.uint8) for i in range(n)]


def read(file: bytes) -> tuple[list[np.ndarray], list[float]]:
    with Image.open(BytesIO(file)) as image:
        pairs = [(np.asarray(f.convert("RGB")), f.info["duration"]) for f in ImageSequence.Iterator(image)]
    return [pixels for pixels, _ in pairs], [duration for _, duration in pairs]


@pytest.mark.parametrize("animation_format", ["apng", "webp"])
def test_lossless_formats_hold_every_frame_exactly(animation_format) -> None:
    made = encode_animation(frames(), animation_format, 25, loop=True, recipe=RECIPE)
    got, durations = read(made)
    np.testing.assert_array_equal(got, frames())
    assert durations == [40] * 7


def test_gif_keeps_its_time_and_looks_alike() -> None:
    got, durations = read(encode_animation(frames(31), "gif", 30, loop=True, recipe=RECIPE))
    assert sum(durations) == pytest.approx(31 * 1000 / 30, abs=10)
    assert set(durations) <= {30, 40}
    assert np.abs(np.array(got, int) - np.array(frames(31), int)).mean() < 12


@pytest.mark.parametrize(
    ("animation_format", "forever", "once"), [("webp", 0, 1), ("gif", 0, None), ("apng", 0, 1)]
)
def test_repeats_only_if_told_to(animation_format, forever, once) -> None:
    for loop, expected in ((True, forever), (False, once)):
        with Image.open(
            BytesIO(encode_animation(frames(), animation_format, 10, loop=loop, recipe={}))
        ) as image:
            assert image.info.get("loop") == expected


@pytest.mark.parametrize(("height", "width"), [(16, 20), (17, 21)])
def test_mp4_plays_and_names_its_recipe(height: int, width: int) -> None:
    made = encode_animation(frames(7, height, width), "mp4", 25, loop=False, recipe=RECIPE)
    with av.open(BytesIO(made)) as container:
        assert container.metadata["comment"] == '{"frames":7,"model":"toy"}'
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 25
        got = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(got) == 7
    assert got[0].shape == (height + height % 2, width + width % 2, 3)
    difference = np.abs(np.array(got, int)[:, :height, :width] - np.array(frames(7, height, width), int))
    assert difference.mean() < 12  # 4:2:0 on a tiny picture
    assert made.index(b"moov") < made.index(b"mdat")  # browsers begin before they have all of it


def test_quality_makes_files_smaller() -> None:
    noisy = [np.random.RandomState(i).randint(0, 256, (64, 64, 3)).astype(np.uint8) for i in range(4)]
    for animation_format in ("webp", "mp4"):
        sizes = [
            len(encode_animation(noisy, animation_format, 10, loop=True, recipe={}, quality=quality))
            for quality in (5, 90)
        ]
        assert sizes[0] < sizes[1]


def test_every_format_is_available_here() -> None:
    assert available_formats() == ("webp", "gif", "apng", "mp4")
