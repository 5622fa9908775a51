"""Animations against the frames they were made of."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.images.animation import AnimationFormat, encode_animation
from service.images.animation_comparison import compare_animation
from service.images.animation_reading import FORMATS, AnimationFile, FramesDifferError
from service.images.comparison import Comparison
from service.images.decode import DecodeLimits, decode_frames, inspect
from service.images.metadata import read_metadata

Y, X = np.mgrid[:40, :48]
LIMITS = DecodeLimits(1 << 20, 100)
KINDS: list[tuple[AnimationFormat, int | None]] = [
    ("apng", None),
    ("webp", None),
    ("gif", None),
    ("webp", 80),
    ("webp", 20),
]


def made(n: int = 6) -> list[np.ndarray]:
    """Smooth colours that move, with some grain; the third frame is the second again."""
    grain = np.random.RandomState(0).randint(-6, 7, (40, 48, 3))
    frames = []
    for i in range(n):
        t = 1 if i == 2 else i
        frame = np.stack([X * 4 + t * 9, Y * 5, 200 - X - Y + t * 5], axis=-1) + grain
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def encoded(frames: list[np.ndarray], kind: AnimationFormat, quality: int | None, fps: float = 12) -> bytes:
    return encode_animation(frames, kind, fps, loop=True, recipe={"a": 1}, quality=quality)


def opened(data: bytes, frames: int = 6, fps: float = 12) -> AnimationFile:
    return AnimationFile(data, inspect(data), LIMITS, frames, fps)


def compared(data: bytes, quality: int | None, frames: list[np.ndarray] | None = None) -> Comparison:
    lossless = read_metadata(data).lossless
    return compare_animation(opened(data), frames or made(), lossless=lossless, quality=quality)


@pytest.mark.parametrize(("kind", "quality"), KINDS)
def test_the_same_frames(kind: AnimationFormat, quality: int | None) -> None:
    data = encoded(made(), kind, quality)
    frames = inspect(data).frames
    assert frames == 6 if kind == "apng" else 2 <= frames <= 5  # the others join equal and similar frames
    assert read_metadata(data).lossless == (kind != "gif" and quality is None)
    found = compared(data, quality)
    assert found.match == ("exact" if read_metadata(data).lossless else "close")
    assert found.different_frames == ()


@pytest.mark.parametrize(("kind", "quality"), KINDS)
def test_one_frame_with_an_edit(kind: AnimationFormat, quality: int | None) -> None:
    frames = made()
    frames[4][8:16, 8:16] ^= 0x80
    found = compared(encoded(frames, kind, quality), quality)
    assert (found.match, found.different_frames) == ("different", (4,))
    assert found.max_difference == 128 or kind == "gif" or quality is not None


@pytest.mark.parametrize(("kind", "quality"), [("gif", None), ("webp", 60)])
def test_rounding_of_another_processor(kind: AnimationFormat, quality: int | None) -> None:
    shifts = np.random.RandomState(1)
    frames = [
        np.clip(frame + shifts.randint(-1, 2, frame.shape), 0, 255).astype(np.uint8) for frame in made()
    ]
    assert compared(encoded(frames, kind, quality), quality).match == "close"


def test_a_frame_too_few_or_too_many() -> None:
    for frames in (made(7), made(6)[1:]):
        assert compared(encoded(frames, "apng", None), None).match == "different"
    # An extra picture that is shown when no frame begins.
    out = BytesIO()
    pictures = [Image.fromarray(frame) for frame in made(4)]
    pictures[0].save(
        out, "WEBP", save_all=True, append_images=pictures[1:], duration=[20, 20, 400, 60], lossless=True
    )
    with pytest.raises(FramesDifferError):
        list(opened(out.getvalue()).frames())
    assert compared(out.getvalue(), None) == Comparison("different", None, None)


def test_another_size() -> None:
    data = encoded([frame[:-1] for frame in made()], "apng", None)
    assert compared(data, None) == Comparison("different", None, None)


@pytest.mark.parametrize("fps", [1, 7.3, 24, 60])
@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_frames_that_were_joined_are_found_again(kind: AnimationFormat, fps: float) -> None:
    order = [0, 0, 1, 1, 1, 3, 4, 0, 0, 5]
    frames = [made()[i] // 64 * 64 for i in order]  # few colours: GIF keeps them
    file = opened(encoded(frames, kind, None, fps), len(order), fps)
    assert file.header.frames == 6
    shown = list(file.frames())
    assert len(shown) == 10
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(shown, frames, strict=True)) <= 8
    for i in (1, 3, 4, 8):
        np.testing.assert_array_equal(shown[i], shown[i - 1])


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_frames_that_are_all_equal(kind: AnimationFormat) -> None:
    frames = [made()[0]] * 6
    data = encoded(frames, kind, None)
    assert inspect(data).frames == 1
    assert compared(data, None, frames).match != "different"
    assert compared(data, None).match == "different"


@pytest.mark.parametrize(("kind", "quality"), KINDS)
def test_frames_are_decoded_as_pillow_shows_them(kind: AnimationFormat, quality: int | None) -> None:
    data = encoded(made(), kind, quality)
    with Image.open(BytesIO(data)) as image:
        expected = [
            (np.asarray(frame.convert("RGB")), frame.info["duration"])
            for frame in ImageSequence.Iterator(image)
        ]
    got = list(decode_frames(data, LIMITS))
    assert [time for _, time in got] == [time for _, time in expected]
    np.testing.assert_array_equal([pixels for pixels, _ in got], [pixels for pixels, _ in expected])


def test_limits() -> None:
    assert set(FORMATS.values()) == {"apng", "webp", "gif"}
    file = opened(encoded(made(), "webp", None))
    assert file.within(6 * 40 * 48)
    assert not file.within(6 * 40 * 48 - 1)
    assert not opened(file.data, frames=10**9).within(10**9)
