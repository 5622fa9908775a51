"""Image files written row by row into a temporary file, whatever the format."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from service.images.encode import ImageFormat, PngStream, encode
from service.images.jpeg_stream import JpegStream

_UNKNOWN_SHA256: Final = "0" * 64
_IN_MEMORY: Final = 4 << 20  # bytes of a file that are kept in memory before it goes to disk


class _Encoder(Protocol):
    def write(self, rows: NDArray[np.uint8]) -> bytes:
        """Takes rows, gives bytes."""

    def finish(self) -> bytes:
        """The last bytes."""

    def head(self, recipe: Mapping[str, Any]) -> bytes:
        """The first bytes with the final recipe, as many as there were; none if they are final already."""


@dataclass(frozen=True)
class FinishedFile:
    """A file that has been written.

    Attributes:
        file: Open at its beginning; gone when it is closed.
        size: In bytes.
        pixels_sha256: Of the pixels in it, row by row.
        recipe: As written into it, `pixels_sha256` included.
    """

    file: IO[bytes]
    size: int
    pixels_sha256: str
    recipe: Mapping[str, Any]


class RowFile:
    """One image file. PNG and JPEG hold a band of it in memory, WebP all of it when it is finished."""

    def __init__(
        self,
        image_format: ImageFormat,
        shape: tuple[int, int, int],
        recipe: Mapping[str, Any],
        quality: int | None = None,
        exif: bytes | None = None,
    ) -> None:
        """Begins a file.

        Args:
            image_format: Of the file.
            shape: Height, width and channels, the last 3, or 4 with alpha.
            recipe: As for `encode`; `pixels_sha256` is added to it in the end.
            quality: As for `encode`.
            exif: As for `encode`.

        Raises:
            ValueError: If the format has no such image.
        """
        height, width, channels = shape
        self._recipe = recipe
        recipe = {**recipe, "pixels_sha256": _UNKNOWN_SHA256}
        self._encoder: _Encoder
        if image_format == "png":
            self._encoder = PngStream(height, width, channels, recipe, exif)
        elif image_format == "jpeg":
            if channels != 3:
                raise ValueError("JPEG has no alpha channel")
            self._encoder = JpegStream(height, width, recipe, quality, exif)
        else:
            self._encoder = _WholeImage(image_format, shape, recipe, quality, exif)
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # outlives this call
        self._sha256 = hashlib.sha256()

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Takes the next rows, from the top.

        Args:
            rows: [n, width, channels], n possibly 0.
        """
        if not len(rows):
            return
        rows = np.ascontiguousarray(rows)
        self._sha256.update(rows.data)
        self._file.write(self._encoder.write(rows))

    def finish(self) -> FinishedFile:
        """Ends the file.

        Returns:
            The file.

        Raises:
            ValueError: If rows are missing.
        """
        sha256 = self._sha256.hexdigest()
        recipe = {**self._recipe, "pixels_sha256": sha256}
        if isinstance(self._encoder, _WholeImage):
            self._encoder.recipe = recipe
        self._file.write(self._encoder.finish())
        size = self._file.tell()
        self._file.seek(0)
        self._file.write(self._encoder.head(recipe))
        self._file.seek(0)
        return FinishedFile(self._file, size, sha256, recipe)

    def close(self) -> None:
        """Gives up: nothing is left of the file."""
        self._file.close()
        if isinstance(self._encoder, _WholeImage):
            self._encoder.close()


class _WholeImage:
    """For formats whose encoder wants all pixels: they are kept on disk until then."""

    def __init__(
        self,
        image_format: ImageFormat,
        shape: tuple[int, int, int],
        recipe: Mapping[str, Any],
        quality: int | None,
        exif: bytes | None,
    ) -> None:
        self.recipe = recipe
        self._arguments = image_format, quality, exif
        self._shape = shape
        self._received = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # outlives this call

    def write(self, rows: NDArray[np.uint8]) -> bytes:
        self._file.write(rows.data)
        self._received += len(rows)
        return b""

    def finish(self) -> bytes:
        if self._received != self._shape[0]:
            raise ValueError(f"{self._shape[0] - self._received} rows are missing")
        self._file.flush()
        image_format, quality, exif = self._arguments
        with self._file:
            pixels = np.memmap(self._file, np.uint8, "r", shape=self._shape)
            return encode(pixels, image_format, self.recipe, quality, exif=exif)

    def head(self, recipe: Mapping[str, Any]) -> bytes:
        return b""

    def close(self) -> None:
        self._file.close()
