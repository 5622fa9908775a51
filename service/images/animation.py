"""Frames to animations: WebP, GIF, APNG and MP4."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.concurrency import stop_if_abandoned
from service.images.apng import encode_apng
from service.images.metadata import PNG_RECIPE_KEYWORD, PNG_XMP_KEYWORD
from service.images.provenance import (
    DIGITAL_SOURCE_TYPE,
    animation_comment,
    canonical_json,
    xmp_packet,
)

AnimationFormat = Literal["webp", "gif", "apng", "mp4"]

MEDIA_TYPES: Final[Mapping[AnimationFormat, str]] = {
    "webp": "image/webp",
    "gif": "image/gif",
    "apng": "image/apng",
    "mp4": "video/mp4",
}
SUFFIXES: Final[Mapping[AnimationFormat, str]] = {"webp": "webp", "gif": "gif", "apng": "png", "mp4": "mp4"}
# A size for which every format has a way to say it, and every player a way to show it.
MAX_SIDE: Final = 8192

_COLOURS = 256
_PALETTE_FRAMES = 16
_DEFAULT_CRF = 18  # x264: hardly to be told from the original
_WORST_CRF = 45


def available_formats() -> tuple[AnimationFormat, ...]:
    """The formats that can be written here; MP4 needs PyAV, the extra `video`."""
    if importlib.util.find_spec("av") is None:
        return ("webp", "gif", "apng")
    return ("webp", "gif", "apng", "mp4")


def encode_animation(
    frames: Sequence[NDArray[np.uint8]],
    animation_format: AnimationFormat,
    fps: float,
    *,
    loop: bool,
    recipe: Mapping[str, Any],
    quality: int | None = None,
) -> bytes:
    """Encodes frames of one size, together with the recipe that made them.

    Args:
        frames: Two or more, uint8 [height, width, 3], sides up to `MAX_SIDE`.
        animation_format: `apng`, and `webp` without quality, are lossless; `gif` has 256 colours, chosen for
            all frames together so that they do not flicker.
        fps: Frames a second. GIF counts in hundredths and WebP in thousandths of a second; their frames
            take turns in rounding so that the animation as a whole keeps its time.
        loop: Whether players repeat it for ever, where the format can say so.
        recipe: Written into the file.
        quality: 1 to 100 for WebP and MP4; others have none.

    Returns:
        The file.

    Raises:
        ModuleNotFoundError: For MP4 without PyAV.
    """
    recipe_json = canonical_json(recipe)
    if animation_format == "apng":
        texts = ((PNG_XMP_KEYWORD, xmp_packet(recipe_json)), (PNG_RECIPE_KEYWORD, recipe_json))
        return encode_apng(frames, Fraction(fps).limit_denominator(1000), loop=loop, texts=texts)
    if animation_format == "mp4":
        return _encode_mp4(frames, fps, recipe_json, quality)
    out = BytesIO()
    repeats: dict[str, Any] = {"loop": 0} if loop or animation_format == "webp" else {}
    if animation_format == "gif":
        first, *rest = _paletted(frames)
        first.save(
            out,
            "GIF",
            save_all=True,
            append_images=rest,
            duration=_durations(len(frames), fps, animation_format),
            disposal=1,
            optimize=False,
            comment=animation_comment(recipe_json).encode(),
            **repeats,
        )
        return out.getvalue()
    if not loop:
        repeats = {"loop": 1}
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(
        out,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=_durations(len(frames), fps, animation_format),
        lossless=quality is None,
        quality=0 if quality is None else quality,  # lossless: the least effort, as for single images
        method=0 if quality is None else 2,
        exact=True,
        xmp=xmp_packet(recipe_json).encode(),
        **repeats,
    )
    return out.getvalue()


def frame_starts(frames: int, fps: float, animation_format: AnimationFormat) -> list[int]:
    """When frames begin in a file that `encode_animation` made.

    Args:
        frames: How many.
        fps: Frames a second.
        animation_format: GIF counts in larger steps.

    Returns:
        Milliseconds for each frame.
    """
    return [0, *accumulate(_durations(frames, fps, animation_format)[:-1])]


def _durations(frames: int, fps: float, animation_format: AnimationFormat) -> list[int]:
    """Milliseconds of each frame, in whole units, that add up to what they should."""
    unit = 10 if animation_format == "gif" else 1
    ends = [round(frame * 1000 / fps / unit) for frame in range(frames + 1)]
    return [max(1, end - start) * unit for start, end in pairwise(ends)]


def _paletted(frames: Sequence[NDArray[np.uint8]]) -> list[Image.Image]:
    step = math.ceil(len(frames) / _PALETTE_FRAMES)
    sample = Image.fromarray(np.concatenate(frames[::step]))
    palette = sample.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    paletted = []
    for frame in frames:
        stop_if_abandoned()
        image = Image.fromarray(frame)
        paletted.append(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    return paletted


def _encode_mp4(
    frames: Sequence[NDArray[np.uint8]], fps: float, recipe_json: str, quality: int | None
) -> bytes:
    import av

    height, width, _ = frames[0].shape
    crf = _DEFAULT_CRF if quality is None else round(_WORST_CRF * (1 - quality / 100))
    rate = Fraction(fps).limit_denominator(1000)
    # A real file: with the index moved to the front, so that browsers begin before they have all of it, the
    # muxer reads back what it wrote.
    with tempfile.TemporaryDirectory(prefix="ganserve-video-") as folder:
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", options={"movflags": "+faststart+use_metadata_tags"}) as container:
            container.metadata["comment"] = recipe_json
            container.metadata["digital_source_type"] = DIGITAL_SOURCE_TYPE
            stream = container.add_stream("libx264", rate=rate)
            # Every player takes 4:2:0, whose chroma needs even sides.
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
            for pixels in frames:
                stop_if_abandoned()
                even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()
