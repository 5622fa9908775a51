"""A JPEG file written while its rows are made, without ever holding the whole image.

A restart marker after every row of blocks makes each such row independent of the others. So bands of eight of
them (the markers are numbered 0 to 7) are encoded as images of their own, and their entropy-coded data, put
one after the other with the marker between, are those of the whole image.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.encode import MAX_SIDE, jpeg_options

_BLOCK_ROWS: Final = 8  # a band; as many as there are restart markers
_END_OF_IMAGE: Final = b"\xff\xd9"
_LAST_RESTART: Final = b"\xff\xd7"
_METADATA: Final = ("xmp", "icc_profile", "exif")
_START_OF_FRAME: Final = 0xC0
_START_OF_SCAN: Final = 0xDA


class JpegStream:
    """A baseline JPEG; the pixels and metadata that `encode` writes, with restart markers."""

    def __init__(
        self,
        height: int,
        width: int,
        recipe: Mapping[str, Any],
        quality: int | None = None,
        exif: bytes | None = None,
    ) -> None:
        """Begins a file.

        Args:
            height: Rows that will be written.
            width: Pixels a row.
            recipe: As for `encode`.
            quality: As for `encode`.
            exif: As for `encode`.

        Raises:
            ValueError: If there is no such image.
        """
        if not (1 <= height <= MAX_SIDE["jpeg"] and 1 <= width <= MAX_SIDE["jpeg"]):
            raise ValueError(f"no JPEG has {height} × {width} pixels")
        self._height = height
        self._width = width
        self._quality = quality
        self._exif = exif
        self._options = {**jpeg_options(recipe, quality, exif), "restart_marker_rows": 1}
        self._band = _BLOCK_ROWS * (16 if self._options["subsampling"] == 2 else 8)
        self._waiting = np.empty((self._band, width, 3), np.uint8)
        self._held = 0
        self._received = 0
        self._begun = False

    def head(self, recipe: Mapping[str, Any]) -> bytes:
        """The first bytes of the file, up to the pixels, if it had another recipe; see `PngStream.head`.

        Args:
            recipe: The other recipe.

        Returns:
            The bytes.
        """
        options = {**jpeg_options(recipe, self._quality, self._exif), "restart_marker_rows": 1}
        data = _jpeg(np.zeros((1, self._width, 3), np.uint8), options)
        return self._head_of(data)

    def write(self, rows: NDArray[np.uint8]) -> bytes:
        """Takes the next rows, from the top.

        Args:
            rows: [n, width, 3].

        Returns:
            The next bytes of the file, possibly none yet.

        Raises:
            ValueError: If the rows do not fit the image, or are more than are missing.
        """
        if rows.shape[1:] != (self._width, 3) or self._received + len(rows) > self._height:
            raise ValueError(f"rows of shape {list(rows.shape)} do not fit")
        self._received += len(rows)
        parts, taken = [], 0
        while taken < len(rows):
            n = min(self._band - self._held, len(rows) - taken)
            self._waiting[self._held : self._held + n] = rows[taken : taken + n]
            self._held += n
            taken += n
            if self._held == self._band:
                parts.append(self._encoded())
        return b"".join(parts)

    def finish(self) -> bytes:
        """Ends the file, once.

        Returns:
            Its last bytes.

        Raises:
            ValueError: If rows are missing.
        """
        if self._received != self._height:
            raise ValueError(f"{self._height - self._received} rows are missing")
        return (self._encoded() if self._held else b"") + _END_OF_IMAGE

    def _encoded(self) -> bytes:
        """The band that is waiting, as the next piece of the file."""
        data = _jpeg(self._waiting[: self._held], self._options)
        self._held = 0
        body = data[_places(data)[1] : -len(_END_OF_IMAGE)]
        if self._begun:
            return _LAST_RESTART + body
        self._begun = True
        # Only the first band's head is written, with the metadata; the others' need none.
        self._options = {key: value for key, value in self._options.items() if key not in _METADATA}
        return self._head_of(data) + body

    def _head_of(self, data: bytes) -> bytes:
        """The head of a file that holds a band, with the height of the whole image."""
        frame, scan = _places(data)
        return data[: frame + 5] + struct.pack(">H", self._height) + data[frame + 7 : scan]


def _jpeg(pixels: NDArray[np.uint8], options: Mapping[str, Any]) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def _places(data: bytes) -> tuple[int, int]:
    """Where the frame's header begins, and where the scan's data do."""
    place, frame = 2, 0
    while True:
        marker = data[place + 1]
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker == _START_OF_FRAME:
            frame = place
        place += 2 + length
        if marker == _START_OF_SCAN:
            return frame, place
