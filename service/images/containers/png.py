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
    kept: list[bytes] = [SIGNATURE]
    header: tuple[int, ...] | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    key: bytes | None = None
    key_place = 0
    announced, frames, palette = 0, list[_Frame](), False
    still = _Frame(0, 0)
    animation: list[int] = []  # where in `kept` chunks of the animation stand
    for kind, start, end in _chunks(data):
        body = data[start:end] if kind != b"IDAT" and kind != b"fdAT" else b""
        whole = data[start - 8 : end + 4] if kind != b"IDAT" and kind != b"fdAT" else b""
        if header is None:
            if kind != b"IHDR" or len(body) != 13:
                raise unreadable("The PNG file does not begin with its header.")
            header = struct.unpack(">II5B", body)
            still.width, still.height = checked_size(header[0], header[1])
            if header[3] not in _CHANNELS or header[2] not in _DEPTHS[header[3]] or any(header[4:6]):
                raise unreadable("The PNG header asks for a kind of pixels that does not exist.")
            kept.append(whole)
        elif kind == b"IHDR":
            raise unreadable("The PNG file has two headers.")
        elif kind == b"IDAT":
            still.data.append(memoryview(data)[start:end])
            kept.append(data[start - 8 : end + 4])
        elif kind == b"PLTE" and header[3] == 3 and not still.data:
            if len(body) % 3 or not 3 <= len(body) <= 768:
                raise unreadable("The palette of the PNG file is damaged.")
            palette = True
            kept.append(whole)
        elif kind == b"tRNS" and not still.data:
            if header[3] == 3:
                kept.append(whole)
            else:
                key, key_place = body, len(kept)
                kept.append(whole)
        elif kind == b"iCCP" and profile is None:
            profile, notes = _profile(body)
        elif kind == b"eXIf" and len(body) <= MAX_EXIF_BYTES:
            exif = body
        elif kind == b"acTL" and len(body) == 8 and not still.data:
            announced = struct.unpack(">I", body[:4])[0]
            animation.append(len(kept))
            kept.append(whole)
        elif kind == b"fcTL" and len(body) == 26 and announced:
            if len(frames) < MAX_COUNTED_FRAMES:
                frames.append(_Frame(*struct.unpack(">II", body[4:12])))
            animation.append(len(kept))
            kept.append(whole)
        elif kind == b"fdAT" and frames:
            if end - start < 4:
                raise unreadable("The PNG file is damaged: a frame has no data.")
            if len(frames) < MAX_COUNTED_FRAMES:
                frames[-1].data.append(memoryview(data)[start + 4 : end])
            animation.append(len(kept))
            kept.append(data[start - 8 : end + 4])
        elif kind == b"IEND":
            kept.append(whole)
        elif kind[:1].isupper() and kind not in (b"PLTE",):
            raise unreadable(f"The PNG file needs a chunk nobody knows: {kind.decode('latin-1')}.")
    if header is None or not still.data:
        raise unreadable("The PNG file holds no pixels.")
    width, height, depth, colour, _, _, interlace = header
    if colour == 3 and not palette:
        raise unreadable("The PNG file has no palette.")
    if interlace > 1:
        raise unreadable("The PNG header asks for an interlacing that does not exist.")
    controls = len(frames)
    # The first frame of an animation is the still image, unless that has no frame header of its own.
    if frames and not frames[0].data:
        frames[0] = still
    elif frames:
        frames.insert(0, still)
    count = len(frames) if announced and len(frames) > 1 else 1
    if key is not None and count > 1:
        key = None  # the decoder needs it to put frames together
    elif key is not None:
        kept[key_place] = b""  # it is compared here, with all its bits
    if count == 1:
        for place in animation:
            kept[place] = b""
    key_values: tuple[int, ...] | None = None
    if key is not None and colour in (0, 2):
        if len(key) != 2 * _CHANNELS[colour]:
            raise unreadable("The transparent colour of the PNG file is damaged.")
        key_values = struct.unpack(f">{_CHANNELS[colour]}H", key)
    if count > 1 and announced != controls:
        raise unreadable(f"The PNG file promises {announced} frames and holds {controls}.")
    to_check = frames[: frame + 1] if count > 1 else [still]
    return Container(
        header=ImageHeader("PNG", width, height, count),
        payload=b"".join(kept),
        seek=frame,
        work_pixels=width * height * (min(frame, count - 1) + 1),
        icc=profile,
        exif=exif,
        colour_key=_in_stored_units(key_values, depth, colour),
        samples=Samples(65535.0) if depth == 16 and colour == 0 else None,
        notes=notes,
        check=partial(_check, to_check, depth * _CHANNELS[colour], bool(interlace)),
    )


def _in_stored_units(key: tuple[int, ...] | None, depth: int, colour: int) -> tuple[int, ...] | None:
    """The transparent colour as the decoder will hand pixels out: 8 bits, or 16 for grey."""
    if key is None:
        return None
    if depth == 16:
        # The decoder keeps the upper byte of 16-bit colour, so that is all there is to compare.
        return key if colour == 0 else tuple(value >> 8 for value in key)
    return tuple(value * 255 // (2**depth - 1) for value in key)
