"""GIF: the blocks, frames counted without decoding one, and the canvas that all of them need."""

from __future__ import annotations

from typing import Final

from service.images.containers.base import (
    MAX_COUNTED_FRAMES,
    Container,
    ImageHeader,
    checked_size,
    unpack,
    unreadable,
)

SIGNATURES: Final = (b"GIF87a", b"GIF89a")

_LONGEST_ENTRY: Final = 4096  # pixels that one code of GIF's compression can stand for


class _Blocks:
    """Walks over data blocks; refuses files that are cut into far smaller ones than any encoder writes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = 4096 + len(data) // 16

    def skip(self, position: int) -> tuple[int, int]:
        """Returns where the chain of blocks beginning here ends, and how many bytes it held."""
        held, data = 0, self.data
        try:
            while length := data[position]:
                position += 1 + length
                held += length
                self.left -= 1
                if self.left < 0:
                    raise unreadable("The GIF file is cut into far too many blocks.")
        except IndexError:
            raise unreadable("The GIF file ends in the middle of a block.") from None
        return position + 1, held


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def parse(data: bytes, frame: int) -> Container:
    """Takes a GIF file apart.

    Args:
        data: The file, beginning with one of `SIGNATURES`.
        frame: The frame that will be decoded.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged.
    """
    width, height, flags = unpack("<HHB", data, 6)
    position = 13 + _table_bytes(flags)
    blocks, frames = _Blocks(data), 0
    canvas_width, canvas_height = width, height
    while True:
        (kind,) = unpack("<B", data, position)
        if kind == 0x3B:
            position += 1
            break
        if kind == 0x21:
            position, _ = blocks.skip(position + 2)
        elif kind == 0x2C:
            left, top, across, down, local = unpack("<HHHHB", data, position + 1)
            if across < 1 or down < 1:
                raise unreadable("A frame of the GIF file has no pixels.")
            position += 10 + _table_bytes(local)
            (code_bits,) = unpack("<B", data, position)
            if not 1 <= code_bits <= 11:
                raise unreadable("A frame of the GIF file is damaged.")
            position, held = blocks.skip(position + 1)
            codes = held * 8 // (code_bits + 1)
            if frames <= frame:
                # Decoders enlarge the canvas for frames that reach beyond it.
                canvas_width, canvas_height = max(canvas_width, left + across), max(canvas_height, top + down)
                if across * down > codes * min(codes, _LONGEST_ENTRY):
                    raise unreadable(
                        f"The GIF file promises {across} × {down} pixels and holds too little data."
                    )
            frames += 1
            if frames >= MAX_COUNTED_FRAMES:
                break
        else:
            raise unreadable("The GIF file is damaged: a block of no known kind.")
    if not frames:
        raise unreadable("The GIF file holds no picture.")
    width, height = checked_size(canvas_width, canvas_height)
    return Container(
        header=ImageHeader("GIF", width, height, frames),
        payload=data[:position],
        seek=frame,
        work_pixels=width * height * (min(frame, frames - 1) + 1),
    )
