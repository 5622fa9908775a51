from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.images.comparison import ROUNDING, compare
from service.images.encode import encode
from service.images.metadata import read_metadata

Y, X = np.mgrid[0:75, 0:90]
# Smooth, with edges and some grain, and sides that no block divides.
PICTURE = np.stack([X * 2, Y * 3, 255 - X - Y], axis=-1) % 256
PICTURE[20:40, 30:60] = (200, 40, 90)
PICTURE = np.clip(PICTURE + np.random.RandomState(0).randint(-6, 7, PICTURE.shape), 0, 255).astype(np.uint8)
LOSSY = [("jpeg", 90), ("jpeg", 75), ("jpeg", 40), ("webp", 90), ("webp", 60)]


def edited(amount: int, size: int) -> np.ndarray:
    pixels = PICTURE.astype(int)
    part = pixels[50 : 50 + size, 10 : 10 + size]
    part[...] = np.where(part > 128, part - amount, part + amount)
    return pixels.astype(np.uint8)


def load(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def compared(data: bytes) -> str:
    return compare(load(data), PICTURE, data, read_metadata(data)).match


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless(image_format: str) -> None:
    assert compared(encode(PICTURE, image_format, {})) == "exact"
    data = encode(edited(ROUNDING, 8), image_format, {})
    found = compare(load(data), PICTURE, data, read_metadata(data))
    assert (found.match, found.max_difference) == ("close", ROUNDING)
    data = encode(edited(ROUNDING + 1, 1), image_format, {})
    found = compare(load(data), PICTURE, data, read_metadata(data))
    assert (found.match, found.max_difference) == ("different", ROUNDING + 1)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 * PICTURE.size / (3 * 9)), abs=0.01)


@pytest.mark.parametrize(("image_format", "quality"), LOSSY)
def test_compressed_once(image_format: str, quality: int) -> None:
    assert compared(encode(PICTURE, image_format, {}, quality)) == "close"


@pytest.mark.parametrize(("image_format", "quality"), LOSSY)
@pytest.mark.parametrize("earlier", [90, 75, 50])
def test_compressed_twice(image_format: str, quality: int, earlier: int) -> None:
    first = load(encode(PICTURE, "jpeg", {}, earlier))
    assert compared(encode(first, image_format, {}, quality)) == "close"


@pytest.mark.parametrize(("image_format", "quality"), LOSSY)
@pytest.mark.parametrize(("amount", "size"), [(40, 8), (60, 4)])
def test_edited_and_compressed(image_format: str, quality: int, amount: int, size: int) -> None:
    assert compared(encode(edited(amount, size), image_format, {}, quality)) == "different"


def test_another_size() -> None:
    found = compare(PICTURE[:-1], PICTURE, b"", read_metadata(encode(PICTURE, "png", {})))
    assert (found.match, found.max_difference, found.psnr) == ("different", None, None)


def test_a_large_image_is_compared_in_bands() -> None:
    large = np.tile(PICTURE, (15, 2, 1))  # 1125 rows: three bands, the last not whole
    data = encode(large, "jpeg", {})
    assert compare(load(data), large, data, read_metadata(data)).match == "close"
    changed = large.copy()
    changed[1120:1124, 3:7] ^= 0x80
    data = encode(changed, "jpeg", {})
    assert compare(load(data), large, data, read_metadata(data)).match == "different"


def test_odd_jpeg_tables() -> None:
    out = BytesIO()
    Image.fromarray(PICTURE).convert("CMYK").save(out, "JPEG", quality=90)
    assert compared(out.getvalue()) in ("close", "different")
    out = BytesIO()
    Image.fromarray(PICTURE).convert("L").save(out, "JPEG", quality=90)
    assert compared(out.getvalue()) == "different"
