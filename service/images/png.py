"""A PNG encoder for RGB and RGBA pixels that is some twenty times faster than zlib's at the same size."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP_FILTER = 2
_LEVEL = 1
_COLOUR_TYPES: Final = {3: 2, 4: 6}


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    crc = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", crc)


_SRGB = b"".join(_chunk(b"sRGB", b"\x01"))  # relative colorimetric


def _international_text(keyword: str, text: str) -> bytes:
    # Keyword, null, not compressed (2 bytes), empty language tag and translated keyword, UTF-8 text.
    return keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()


def _head(
    height: int, width: int, channels: int, texts: Sequence[tuple[str, str]], exif: bytes | None
) -> list[bytes]:
    """Everything ahead of the pixels."""
    layout = (8, _COLOUR_TYPES[channels], 0, 0, 0)  # bit depth, colour type, compression, filter, interlace
    parts: list[bytes] = [_SIGNATURE]
    parts += _chunk(b"IHDR", struct.pack(">II5B", width, height, *layout))
    parts.append(_SRGB)
    if exif is not None:
        parts += _chunk(b"eXIf", exif)
    for keyword, text in texts:
        parts += _chunk(b"iTXt", _international_text(keyword, text))
    return parts


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Rows [n, bytes] as differences to the row above, each behind the byte that says so."""
    height, width = rows.shape
    out = np.empty((height, 1 + width), np.uint8)
    out[:, 0] = _UP_FILTER
    if above is None:
        out[0, 1:] = rows[0]
    else:
        np.subtract(rows[0], above, out=out[0, 1:])
    np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    return out


def encode_png(
    pixels: NDArray[np.uint8], texts: Sequence[tuple[str, str]] = (), exif: bytes | None = None
) -> bytes:
    """Encodes sRGB pixels as PNG: every row Up-filtered, deflated by ISA-L at level 1.

    Generated pictures are smooth, so the difference to the row above is about as good as the best
    filter per row, and costs one vectorised subtraction.

    Args:
        pixels: Shape [height, width, 3 or 4], uint8, both sides at least 1; a fourth channel is alpha.
        texts: (keyword, text) pairs, written as iTXt chunks ahead of the pixels in this order.
        exif: An EXIF block from its TIFF header on, if the file shall have one.

    Returns:
        The file; the same bytes for the same arguments on the same machine.

    Raises:
        ValueError: If the pixels have another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or 0 in pixels.shape:
        raise ValueError(f"expected uint8 [height, width, 3 or 4], got {pixels.dtype} {list(pixels.shape)}")
    height, width, channels = pixels.shape
    parts = _head(height, width, channels, texts, exif)
    filtered = _filtered(pixels.reshape(height, width * channels), None)
    parts += _chunk(b"IDAT", isal_zlib.compress(filtered, _LEVEL))
    parts += _chunk(b"IEND", b"")
    return b"".join(parts)


class PngWriter:
    """A PNG file made row by row; what it holds on to is bounded by the rows it is given at a time.

    Attributes:
        head: The first bytes of the file, up to the pixels.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        texts: Sequence[tuple[str, str]] = (),
        exif: bytes | None = None,
    ) -> None:
        """Begins a file.

        Args:
            height: Rows that will be written, at least 1.
            width: Pixels a row, at least 1.
            channels: 3, or 4 with alpha.
            texts: As for `encode_png`.
            exif: As for `encode_png`.

        Raises:
            ValueError: If there is no such image.
        """
        if height < 1 or width < 1 or channels not in _COLOUR_TYPES:
            raise ValueError(
                f"there is no PNG image of {height} × {width} pixels of {channels} channels here"
            )
        self._shape = (width, channels)
        self._rows_left = height
        self.head = b"".join(_head(height, width, channels, texts, exif))
        self._head = self.head
        self._deflate = isal_zlib.compressobj(_LEVEL)
        self._above: NDArray[np.uint8] | None = None

    def write(self, rows: NDArray[np.uint8]) -> bytes:
        """Takes the next rows.

        Args:
            rows: Shape [n, width, channels], uint8, n at least 1.

        Returns:
            The next bytes of the file, possibly none yet.

        Raises:
            ValueError: If the rows do not fit the image, or are more than are missing.
        """
        if rows.dtype != np.uint8 or rows.ndim != 3 or rows.shape[1:] != self._shape or not len(rows):
            raise ValueError(f"expected uint8 rows of {self._shape}, got {rows.dtype} {list(rows.shape)}")
        if len(rows) > self._rows_left:
            raise ValueError(f"{len(rows)} rows, where {self._rows_left} are missing")
        flat = rows.reshape(len(rows), -1)
        filtered = _filtered(flat, self._above)
        self._above = flat[-1].copy()
        self._rows_left -= len(rows)
        return self._take_head() + self._data(self._deflate.compress(filtered))

    def finish(self) -> bytes:
        """Ends the file, once.

        Returns:
            Its last bytes.

        Raises:
            ValueError: If rows are missing.
        """
        if self._rows_left:
            raise ValueError(f"{self._rows_left} rows are missing")
        return self._take_head() + self._data(self._deflate.flush()) + b"".join(_chunk(b"IEND", b""))

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    @staticmethod
    def _data(compressed: bytes) -> bytes:
        return b"".join(_chunk(b"IDAT", compressed)) if compressed else b""
