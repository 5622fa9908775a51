import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from service.images.png import PngWriter, encode_png

images = npst.arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4])),
    elements=st.integers(0, 255),
)


def decode(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"
        assert image.mode in ("RGB", "RGBA")
        return np.asarray(image)


@settings(max_examples=150, deadline=None)
@given(images)
def test_pillow_decodes_the_same_pixels(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode_png(pixels)), pixels)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (1024, 1024), (257, 333)])
@pytest.mark.parametrize("kind", ["noise", "smooth", "flat"])
def test_sizes_and_contents(height: int, width: int, kind: str) -> None:
    random = np.random.RandomState(0)
    pixels = {
        "noise": lambda: random.randint(0, 256, (height, width, 3), dtype=np.uint8),
        "smooth": lambda: (np.add.outer(np.arange(height), np.arange(width))[..., None] + [0, 9, 90]).astype(
            np.uint8
        ),
        "flat": lambda: np.full((height, width, 3), 200, np.uint8),
    }[kind]()
    np.testing.assert_array_equal(decode(encode_png(pixels)), pixels)


def test_a_view_that_is_not_contiguous() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode_png(pixels[::2, ::-1])), pixels[::2, ::-1])


def test_chunks_are_well_formed_and_in_order() -> None:
    data = encode_png(np.zeros((2, 3, 3), np.uint8), (("first", "α β"), ("second", "x" * 5000)))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    position, kinds = 8, []
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        (crc,) = struct.unpack_from(">I", data, position + 8 + length)
        assert crc == zlib.crc32(kind + body)
        kinds.append(kind)
        position += 12 + length
    assert kinds == [b"IHDR", b"sRGB", b"iTXt", b"iTXt", b"IDAT", b"IEND"]
    with Image.open(BytesIO(data)) as image:
        image.load()
        assert image.info["first"] == "α β"
        assert image.info["second"] == "x" * 5000


def test_same_bytes_every_time() -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len({encode_png(pixels) for _ in range(20)}) == 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        encode_png(pixels)


@settings(max_examples=100, deadline=None)
@given(images, st.lists(st.integers(1, 17), min_size=1, max_size=8))
def test_rows_in_any_portions_make_the_same_picture(pixels: np.ndarray, portions: list[int]) -> None:
    height, width, channels = pixels.shape
    writer, top, parts = PngWriter(height, width, channels, (("k", "v"),)), 0, []
    for index in range(height):
        if top >= height:
            break
        rows = pixels[top : top + portions[index % len(portions)]]
        parts.append(writer.write(rows))
        top += len(rows)
    parts.append(writer.finish())
    np.testing.assert_array_equal(decode(b"".join(parts)), pixels)


def test_the_writer_holds_little_and_gives_early() -> None:
    band = np.random.RandomState(0).randint(0, 256, (64, 1024, 3), dtype=np.uint8)
    writer = PngWriter(64 * 20, 1024, 3)
    given = [len(writer.write(band)) for _ in range(20)]
    # Noise does not compress: each portion comes out as it goes in, but for what one block of deflate holds.
    assert min(given[1:]) > band.size // 4
    assert len(writer.finish()) < 2 * band.size


def test_the_writer_refuses_wrong_rows() -> None:
    writer = PngWriter(2, 3, 3)
    for wrong in (
        np.zeros((1, 3, 4), np.uint8),
        np.zeros((1, 2, 3), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((1, 3, 3), np.float32),
    ):
        with pytest.raises(ValueError, match="expected uint8 rows"):
            writer.write(wrong)
    with pytest.raises(ValueError, match="2 rows are missing"):
        writer.finish()
    with pytest.raises(ValueError, match="3 rows, where 2 are missing"):
        writer.write(np.zeros((3, 3, 3), np.uint8))
    for shape in ((0, 3, 3), (3, 0, 3), (3, 3, 2)):
        with pytest.raises(ValueError, match="there is no PNG image"):
            PngWriter(*shape)
