"""Test cases made of image files: a file, the answer it deserves, and the picture that most of them show."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from PIL import Image

from service.images.decode import DecodedImage
from tests.image_files import (
    blocks,
    png,
    saved,
    tiff,
    tiff_tags,
    unfiltered,
)

Y, X = np.mgrid[0:16, 0:24]
PICTURE = np.stack([X * 10, Y * 15, (X + Y) * 6], axis=-1).astype(np.uint8)
"""What most of the files show, [16, 24, 3]."""

OTHER = PICTURE[::-1, ::-1].copy()
"""What second frames and trailing pictures show."""

GREY = (X * 10).astype(np.uint8)
ALPHA = (Y * 17).astype(np.uint8)
IMAGE, OTHER_IMAGE, GREY_IMAGE = Image.fromarray(PICTURE), Image.fromarray(OTHER), Image.fromarray(GREY)


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    build: Callable[[], bytes]
    expected: str = "ok"
    frame: int | None = None
    check: Callable[[DecodedImage], None] | None = None

    @cached_property
    def data(self) -> bytes:
        """The file."""
        return self.build()


def shows(
    expected: Any = PICTURE, tolerance: float = 0.0, alpha: Any = None, **more: Any
) -> Callable[[DecodedImage], None]:
    """A check of pixels (greatest difference), alpha, and further fields."""

    def check(found: DecodedImage) -> None:
        wanted = np.asarray(expected)
        wanted = np.repeat(wanted[..., None], 3, axis=2) if wanted.ndim == 2 else wanted
        assert found.pixels.shape == wanted.shape
        assert found.pixels.dtype == np.uint8
        assert np.abs(found.pixels.astype(int) - wanted).max() <= tolerance
        assert (found.alpha is None) == (alpha is None)
        if alpha is not None:
            np.testing.assert_array_equal(found.alpha, alpha)
        for name, value in more.items():
            assert getattr(found, name) == value

    return check


def noted(word: str, then: Callable[[DecodedImage], None]) -> Callable[[DecodedImage], None]:
    """A check that something was ignored and said so."""

    def check(found: DecodedImage) -> None:
        assert any(word in note for note in found.notes), found.notes
        then(found)

    return check


LOSSY = 24  # of 255, what JPEG and lossy WebP may differ for a smooth picture
JPEG: Callable[..., bytes] = partial(saved, IMAGE, "JPEG", quality=95, subsampling=0)
ROWS = unfiltered(PICTURE)


def rgb_png(**options: Any) -> bytes:
    return png(24, 16, 8, 2, ROWS, **options)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def zip_file() -> bytes:
    name, content = b"a.txt", b"hidden"
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(content), 6, 6, 5, 0)
    return head + name + content


WHITE_DOT = blocks(b"\x4c\x01")  # clear, 1, end: one white pixel in GIF's compression


def deep_tiff(kind: int, bits: int, photometric: int, values: np.ndarray, order: str = "<") -> bytes:
    tags = {**tiff_tags(24, 16, [bits], photometric), 339: (3, [kind])}
    return tiff(tags, values.astype(values.dtype.newbyteorder(order)).tobytes(), order=order)


def rgb_tiff(**changed: Any) -> bytes:
    tags = tiff_tags(24, 16, [8, 8, 8], 2)
    tags.update(changed.pop("tags", {}))
    return tiff(tags, PICTURE.tobytes(), **changed)


def without_segments(data: bytes, marker: int) -> bytes:
    """A JPEG file without the segments of one kind."""
    at = data.find(bytes([0xFF, marker]))
    while 0 <= at < data.find(b"\xff\xda"):
        at_end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        data = data[:at] + data[at_end:]
        at = data.find(bytes([0xFF, marker]))
    return data


INDEX = (X // 8).astype(np.uint8)
DEEP = (X.astype(np.uint32) * 2849).astype(np.uint16)  # 0 to 65527
FLOAT = DEEP.astype(np.float32) / 65535
