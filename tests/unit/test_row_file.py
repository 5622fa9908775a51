import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.images.encode import PngStream, encode, jpeg_options
from service.images.jpeg_stream import JpegStream
from service.images.provenance import read_provenance
from service.images.row_file import RowFile

RECIPE = {"model": "photo-x4", "scale": 2.5}
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((x * 3 + y * 5 + c * 40 + (x * y) // 7) % 256).astype(np.uint8)


def in_portions(file, pixels: np.ndarray, portion: int) -> bytes:
    parts = [file.write(pixels[start : start + portion]) for start in range(0, len(pixels), portion)]
    return b"".join([*parts, file.finish()])


@pytest.mark.parametrize("quality", [None, 95, 50])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 65), (128, 128), (129, 17), (1000, 33), (513, 250)])
def test_jpeg_equals_what_pillow_makes_of_the_whole(size: tuple[int, int], quality: int | None) -> None:
    pixels = picture(*size)
    stream = JpegStream(*size, RECIPE, quality, EXIF)
    made = in_portions(stream, pixels, 37)
    whole = BytesIO()
    Image.fromarray(pixels).save(whole, "JPEG", **jpeg_options(RECIPE, quality, EXIF), restart_marker_rows=1)
    assert made == whole.getvalue()
    expected = Image.open(BytesIO(encode(pixels, "jpeg", RECIPE, quality)))
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(made))), np.asarray(expected))


def test_jpeg_refuses_what_does_not_fit() -> None:
    for height, width in ((0, 5), (65501, 5), (5, 65501)):
        with pytest.raises(ValueError, match="no JPEG"):
            JpegStream(height, width, RECIPE)
    stream = JpegStream(4, 5, RECIPE)
    with pytest.raises(ValueError, match="do not fit"):
        stream.write(picture(4, 6))
    with pytest.raises(ValueError, match="do not fit"):
        stream.write(picture(5, 5))
    stream.write(picture(3, 5))
    with pytest.raises(ValueError, match="1 rows are missing"):
        stream.finish()


def encode_alike(pixels: np.ndarray, image_format: str, recipe: dict) -> bytes:
    """The file, begun with the final recipe."""
    if image_format == "webp":
        return encode(pixels, "webp", recipe, exif=EXIF)
    if image_format == "jpeg":
        stream = JpegStream(*pixels.shape[:2], recipe, None, EXIF)
    else:
        stream = PngStream(*pixels.shape, recipe, EXIF)
    return in_portions(stream, pixels, 40)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_every_format(image_format: str, channels: int) -> None:
    if image_format == "jpeg" and channels == 4:
        with pytest.raises(ValueError, match="no alpha"):
            RowFile("jpeg", (9, 9, 4), RECIPE)
        return
    pixels = picture(150, 90, channels)
    file = RowFile(image_format, pixels.shape, RECIPE, None, EXIF)
    for start in range(0, 150, 40):
        file.write(pixels[start : start + 40])
        file.write(pixels[:0])
    finished = file.finish()
    with finished.file:
        data = finished.file.read()
    assert len(data) == finished.size
    assert finished.pixels_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    image = Image.open(BytesIO(data))
    assert image.getexif() is not None
    assert finished.recipe == {**RECIPE, "pixels_sha256": finished.pixels_sha256}
    assert read_provenance(data).recipe == finished.recipe
    assert data == encode_alike(pixels, image_format, finished.recipe)
    if image_format != "jpeg":
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_missing_rows_are_no_file(image_format: str) -> None:
    file = RowFile(image_format, (10, 8, 3), RECIPE)
    file.write(picture(9, 8))
    with pytest.raises(ValueError, match="missing"):
        file.finish()
    file.close()
