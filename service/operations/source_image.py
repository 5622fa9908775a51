"""An image file that somebody sent: looked at first, decoded only once there is a place for the work."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from service.api.errors.problems import ProblemError
from service.images.decode import DecodedImage, DecodeLimits, ImageError, ImageHeader, decode, inspect
from service.operations.engine import Engine
from service.telemetry.tracing import stage


class SourceImage:
    """An image file, decoded when it is asked for and kept then."""

    def __init__(self, engine: Engine, data: bytes, frame: int | None) -> None:
        """Looks at nothing yet.

        Args:
            engine: For the limits, and for how many decode at a time.
            data: The file.
            frame: Which one of several.
        """
        self._engine = engine
        self._data = data
        self._frame = frame
        self._decoded: tuple[DecodedImage, str] | None = None

    async def header(self) -> ImageHeader:
        """Format and size as stored, so perhaps lying on its side.

        Raises:
            ProblemError: If it is no image that is read, or has too many pixels.
        """
        try:
            header = await asyncio.to_thread(inspect, self._data)
        except ImageError as error:
            raise _problem(error) from None
        limit = self._engine.settings.max_image_pixels
        if header.width * header.height > limit:
            raise ProblemError(
                "image-too-large",
                f"The image has {header.width} × {header.height} pixels; {limit} are read at most.",
                field="image",
                limit_pixels=limit,
            )
        return header

    async def decoded(self) -> tuple[DecodedImage, dict[str, Any]]:
        """The pixels, and what a recipe says of them.

        Raises:
            ProblemError: If it cannot be decoded within the limits.
        """
        if self._decoded is None:
            with stage("decode", bytes=len(self._data)):
                async with self._engine.decoding:
                    self._decoded = await asyncio.to_thread(self._decode)
            self._data = b""  # no longer counted, nor kept, while an answer is sent as it is made
        image, sha256 = self._decoded
        height, width, _ = image.pixels.shape
        return image, {"source_sha256": sha256, "source_size": [width, height]}

    def _decode(self) -> tuple[DecodedImage, str]:
        settings = self._engine.settings
        limits = DecodeLimits(settings.max_image_pixels, settings.max_image_frames)
        try:
            image = decode(self._data, limits, frame=self._frame)
        except ImageError as error:
            raise _problem(error) from None
        sha256 = hashlib.sha256(image.pixels.data)
        if image.alpha is not None:
            sha256.update(image.alpha.data)
        return image, sha256.hexdigest()


def _problem(error: ImageError) -> ProblemError:
    return ProblemError(error.slug, error.detail, field="image", **error.members)
