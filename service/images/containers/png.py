"""PNG and APNG: the chunks, and the proof that the compressed data hold every pixel.

The decoder gets a file of the chunks that make pixels. Text chunks, compressed or not, never reach it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

from isal import isal_zlib

from service.images.containers.base import (
    MAX_COUNTED_FRAMES,
    MAX_EXIF_BYTES,
    MAX_ICC_BYTES,
    Container,
    ImageHeader,
    Samples,
    checked_size,
    unpack,
    unreadable,
)

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MAX_CHUNKS: Final = 65_536
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
# Its stub declares the exception to be an instance.
_INFLATE_ERROR: Final = cast("type[Exception]", isal_zlib.IsalError)
_INPUT_BYTES: Final = 1 << 16
_OUTPUT_BYTES: Final = 1 << 20


@dataclass
class _Frame:
    width: int
    height: int
    data: list[memoryview] = field(default_factory=list)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of the body of each chunk up to IEND; checks lengths and checksums."""
    view, position = memoryview(data), len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise unreadable("The PNG file ends before its end marker.")
        length, kind = unpack(">I4s", data, position)
        body, end = position + 8, position + 8 + length
        if not kind.isalpha() or end + 4 > len(data):
            raise unreadable("The PNG file is damaged: a chunk reaches beyond the end of the file.")
        if isal_zlib.crc32(view[position + 4 : end]) != unpack(">I", data, end)[0]:
            raise unreadable(
                f"The PNG file is damaged: a checksum is wrong (chunk {kind.decode('latin-1')})."
            )
        yield kind, body, end
        if kind == b"IEND":
            return
        position = end + 4
    raise unreadable(f"The PNG file is cut into more than {_MAX_CHUNKS} chunks.")


def _row_bytes(width: int, bits: int) -> int:
    return 1 + (width * bits + 7) // 8


def _data_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes that the filtered rows of an image have."""
    if not interlaced:
        return height * _row_bytes(width, bits)
    total = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * _row_bytes(columns, bits)
    return total


def _inflates_to(pieces: Iterable[memoryview], expected: int) -> bool:
    """Whether the data hold exactly that many bytes; never holds more than a megabyte of them."""
    # One byte more is asked for, to see whether there is one.
    inflater, left = isal_zlib.decompressobj(), expected + 1
    try:
        for piece in pieces:
            for start in range(0, len(piece), _INPUT_BYTES):
                waiting = bytes(piece[start : start + _INPUT_BYTES])
                while left > 0 and waiting and not inflater.eof:
                    left -= len(inflater.decompress(waiting, min(left, _OUTPUT_BYTES)))
                    waiting = inflater.unconsumed_tail
            if left <= 0 or inflater.eof:
                break
        while left > 0 and not inflater.eof:
            produced = len(inflater.decompress(b"", min(left, _OUTPUT_BYTES)))
            if not produced:
                break
            left -= produced
    except _INFLATE_ERROR:
        return False
    return left == 1


def _check(frames: list[_Frame], bits: int, interlaced: bool) -> None:
    for frame in frames:
        if not _inflates_to(frame.data, _data_bytes(frame.width, frame.height, bits, interlaced)):
            raise unreadable(
                f"The PNG file is damaged: it holds other than {frame.width} × {frame.height} pixels."
            )


def _profile(body: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Inflates the body of an iCCP chunk, within bounds."""
    _, _, rest = body.partition(b"\0")
    inflater = isal_zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_ICC_BYTES + 1) if rest[:1] == b"\0" else b""
    except _INFLATE_ERROR:
        profile = b""
    if not profile or len(profile) > MAX_ICC_BYTES or not inflater.eof:
        return None, ("The colour profile is damaged or too large, and was ignored.",)
    return bytes(profile), ()


class _Parts:
    """What has been found so far, chunk by chunk."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.kept: list[bytes] = [SIGNATURE]
        self.of_animation: list[int] = []  # where in `kept` chunks of the animation stand
        self.still = _Frame(0, 0)
        self.depth = self.colour = self.interlace = 0
        self.palette = False
        self.key: bytes | None = None
        self.key_place = 0
        self.icc: bytes | None = None
        self.exif: bytes | None = None
        self.notes: tuple[str, ...] = ()
        self.announced = 0  # frames
        self.frames: list[_Frame] = []

    def header(self, body: bytes) -> None:
        width, height, self.depth, self.colour, compression, filters, self.interlace = struct.unpack(
            ">II5B", body
        )
        self.still.width, self.still.height = checked_size(width, height)
        known = self.colour in _CHANNELS and self.depth in _DEPTHS[self.colour]
        if not known or compression or filters or self.interlace > 1:
            raise unreadable("The PNG header asks for a kind of pixels that does not exist.")

    def take(self, kind: bytes, start: int, end: int) -> None:
        """Takes a chunk behind the header."""
        if kind == b"IDAT":
            self.still.data.append(memoryview(self.data)[start:end])
            self._keep(start, end)
        elif kind in (b"acTL", b"fcTL", b"fdAT"):
            self._take_animation(kind, start, end)
        elif kind == b"PLTE" and self.colour == 3 and not self.still.data:
            if (end - start) % 3 or not 3 <= end - start <= 768:
                raise unreadable("The palette of the PNG file is damaged.")
            self.palette = True
            self._keep(start, end)
        elif kind == b"tRNS" and not self.still.data:
            if self.colour in (0, 2):
                self.key, self.key_place = self.data[start:end], len(self.kept)
            self._keep(start, end)
        elif kind == b"iCCP" and self.icc is None:
            self.icc, self.notes = _profile(self.data[start:end])
        elif kind == b"eXIf" and end - start <= MAX_EXIF_BYTES:
            self.exif = self.data[start:end]
        elif kind == b"IEND":
            self._keep(start, end)
        elif kind == b"IHDR":
            raise unreadable("The PNG file has two headers.")
        elif kind[:1].isupper() and kind != b"PLTE":
            raise unreadable(f"The PNG file needs a chunk nobody knows: {kind.decode('latin-1')}.")

    def _take_animation(self, kind: bytes, start: int, end: int) -> None:
        if kind == b"acTL" and end - start == 8 and not self.still.data:
            self.announced = unpack(">I", self.data, start)[0]
        elif kind == b"fcTL" and end - start == 26 and self.announced:
            if len(self.frames) < MAX_COUNTED_FRAMES:
                self.frames.append(_Frame(*unpack(">II", self.data, start + 4)))
        elif kind == b"fdAT" and self.frames:
            if end - start < 4:
                raise unreadable("The PNG file is damaged: a frame has no data.")
            if len(self.frames) < MAX_COUNTED_FRAMES:
                self.frames[-1].data.append(memoryview(self.data)[start + 4 : end])
        else:
            return
        self.of_animation.append(len(self.kept))
        self._keep(start, end)

    def _keep(self, start: int, end: int) -> None:
        self.kept.append(self.data[start - 8 : end + 4])

    def pictures(self) -> list[_Frame]:
        """The frames; one, if it is no animation."""
        # The first frame is the still image, unless that has no frame header of its own.
        first_is_still = bool(self.frames) and not self.frames[0].data
        frames = [self.still, *self.frames[first_is_still:]]
        if not self.announced or len(frames) < 2:
            return [self.still]
        if self.announced != len(self.frames) < MAX_COUNTED_FRAMES:
            raise unreadable(f"The PNG file promises {self.announced} frames and holds {len(self.frames)}.")
        return frames

    def colour_key(self, animated: bool) -> tuple[int, ...] | None:
        """The transparent colour, if it is to be looked for in the decoded image."""
        if self.key is None or animated:
            return None  # the decoder needs it to put frames together
        if len(self.key) != 2 * _CHANNELS[self.colour]:
            raise unreadable("The transparent colour of the PNG file is damaged.")
        self.kept[self.key_place] = b""
        key = struct.unpack(f">{_CHANNELS[self.colour]}H", self.key)
        return _in_stored_units(key, self.depth, self.colour)


def parse(data: bytes, frame: int) -> Container:
    """Takes a PNG file apart.

    Args:
        data: The file, beginning with `SIGNATURE`.
        frame: The frame that will be decoded.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged.
    """
    parts = _Parts(data)
    chunks = _chunks(data)
    kind, start, end = next(chunks)
    if kind != b"IHDR" or end - start != 13:
        raise unreadable("The PNG file does not begin with its header.")
    parts.header(data[start:end])
    parts.kept.append(data[start - 8 : end + 4])
    for kind, start, end in chunks:
        parts.take(kind, start, end)
    if not parts.still.data:
        raise unreadable("The PNG file holds no pixels.")
    if parts.colour == 3 and not parts.palette:
        raise unreadable("The PNG file has no palette.")
    pictures = parts.pictures()
    count = len(pictures)
    colour_key = parts.colour_key(count > 1)
    if count == 1:
        for place in parts.of_animation:
            parts.kept[place] = b""
    width, height = parts.still.width, parts.still.height
    return Container(
        header=ImageHeader("PNG", width, height, count),
        payload=b"".join(parts.kept),
        seek=frame,
        work_pixels=width * height * (min(frame, count - 1) + 1),
        icc=parts.icc,
        exif=parts.exif,
        colour_key=colour_key,
        samples=Samples(65535.0) if parts.depth == 16 and parts.colour == 0 else None,
        notes=parts.notes,
        check=partial(
            _check, pictures[: frame + 1], parts.depth * _CHANNELS[parts.colour], parts.interlace == 1
        ),
    )


def _in_stored_units(key: tuple[int, ...], depth: int, colour: int) -> tuple[int, ...]:
    """The transparent colour as the decoder will hand pixels out: 8 bits, or 16 for grey."""
    if depth == 16:
        # The decoder keeps the upper byte of 16-bit colour, so that is all there is to compare.
        return key if colour == 0 else tuple(value >> 8 for value in key)
    return tuple(value * 255 // (2**depth - 1) for value in key)
