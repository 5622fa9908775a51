"""Frames of an animation in a file, lined up with the frames that it was made of."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.images.animation import AnimationFormat, frame_starts
from service.images.decode import WORK_PER_FRAME, DecodeLimits, ImageHeader, decode_frames

FORMATS: Final[dict[str, AnimationFormat]] = {"PNG": "apng", "WEBP": "webp", "GIF": "gif"}
"""What animations are called by format of the file."""


class FramesDifferError(Exception):
    """A file's frames do not follow each other as those of its recipe do."""


@dataclass(frozen=True)
class AnimationFile:
    """An animation and when its frames begin.

    Attributes:
        data: The file.
        header: Its own.
        limits: Of the decoder.
        frames_made: How many frames it was made of; the file may hold fewer, see `frames`.
        fps: Of those frames.
    """

    data: bytes
    header: ImageHeader
    limits: DecodeLimits
    frames_made: int
    fps: float

    @property
    def format(self) -> AnimationFormat:
        """As encoders call it."""
        return FORMATS[self.header.format]

    def within(self, max_pixels: int) -> bool:
        """Whether it may be decoded.

        Args:
            max_pixels: Of all frames together, in the file or shown.
        """
        pixels = self.header.width * self.header.height
        count = max(self.header.frames, self.frames_made)
        return (
            count <= self.limits.max_frames
            and pixels <= self.limits.max_pixels
            and pixels * count <= min(max_pixels, WORK_PER_FRAME * self.limits.max_pixels)
        )

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames it was made of, each as the file shows it when that frame begins.

        Encoders of WebP and GIF join frames that are equal into one that is shown for longer.

        Yields:
            `frames_made` arrays, uint8 [height, width, 3], or 4 where something is transparent.

        Raises:
            ImageError: The file is damaged.
            FramesDifferError: The file has more frames, or some that are not seen at such a moment.
        """
        held, made = self.header.frames, self.frames_made
        if held > made:
            raise FramesDifferError
        starts = frame_starts(made, self.fps, self.format)
        index, ends = 0, 0.0
        for number, (pixels, milliseconds) in enumerate(decode_frames(self.data, self.limits)):
            ends += milliseconds
            if held == made:
                until = number + 1
            elif number == held - 1:
                until = made
            else:
                until = bisect_left(starts, ends)
            if until <= index:
                raise FramesDifferError
            for _ in range(index, until):
                yield pixels
            index = until

    def sha256(self) -> str:
        """Of all frames, one after the other; of those in the file, where they are not lined up.

        Raises:
            ImageError: The file is damaged.
        """
        digest = hashlib.sha256()
        try:
            for pixels in self.frames():
                digest.update(np.ascontiguousarray(pixels).data)
        except FramesDifferError:
            digest = hashlib.sha256()
            for pixels, _ in decode_frames(self.data, self.limits):
                digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()
