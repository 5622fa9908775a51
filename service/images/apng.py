"""Animated PNG (PNG specification, third edition, section 11.3.6), made of single PNG files."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from service.concurrency import stop_if_abandoned
from service.images.png import encode_png

_SIGNATURE_BYTES = 8


def encode_apng(
    frames: Sequence[NDArray[np.uint8]],
    fps: Fraction,
    *,
    loop: bool,
    texts: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Encodes frames as an animated PNG, lossless; a viewer that cannot play it shows the first frame.

    Args:
        frames: One or more of the same shape [height, width, 3], uint8.
        fps: Frames a second; numerator and denominator below 65536.
        loop: Whether it repeats for ever, or plays once.
        texts: (keyword, text) pairs, as for `encode_png`.

    Returns:
        The file.
    """
    height, width, _ = frames[0].shape
    out = bytearray()
    number = 0
    for index, frame in enumerate(frames):
        stop_if_abandoned()
        file = encode_png(frame, texts if index == 0 else ())
        if index == 0:
            out += file[:_SIGNATURE_BYTES]
        control = struct.pack(
            ">IIIIIHHBB", number, width, height, 0, 0, fps.denominator, fps.numerator, 0, 0
        )  # at the left top, not disposed of, not blended
        number += 1
        begun = False
        for kind, body in _chunks(file):
            if kind == b"IDAT":
                if not begun:
                    out += _chunk(b"fcTL", control)
                    begun = True
                if index:
                    out += _chunk(b"fdAT", struct.pack(">I", number) + body)
                    number += 1
                else:
                    out += _chunk(kind, body)
            elif index == 0 and kind != b"IEND":
                out += _chunk(kind, body)
                if kind == b"IHDR":
                    out += _chunk(b"acTL", struct.pack(">II", len(frames), 0 if loop else 1))
    return bytes(out + _chunk(b"IEND", b""))


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = _SIGNATURE_BYTES
    while position < len(file):
        (length,) = struct.unpack_from(">I", file, position)
        yield file[position + 4 : position + 8], file[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    crc = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
