"""Golden hashes: what the pixels of a few images are, by which anyone can tell what a server makes.

Beside each hash stands a thumbnail of mean colours, for runtimes and processors that round otherwise.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.export.exportable import Arrays, Run
from training.export.graphs import TRANSFORMS
from training.export.triton_entry import TensorSpec

SEEDS = (0, 1, 2, 3)
THUMBNAIL_SIDE = 8

_SOURCE_SIDE = 48


def golden_hashes(
    mapping: Run,
    synthesis: Run,
    mapping_inputs: Sequence[TensorSpec],
    synthesis_inputs: Sequence[TensorSpec],
    runtime: str,
) -> dict[str, Any]:
    """Hashes as the service reports them, with its defaults: truncation 1, constant noise, no edits, class 0.

    A model that can turn and move its images does neither.

    Args:
        mapping: The exported mapping.
        synthesis: The exported synthesis.
        mapping_inputs: What the mapping takes.
        synthesis_inputs: What the synthesis takes.
        runtime: What computes both.

    Returns:
        `pixels_sha256` and `thumbnails` by seed, and what they were computed with. Runtimes round alike only
        in the same version and with the same instructions of the processor.
    """
    widths = {spec.name: spec.dims[0] for spec in mapping_inputs}
    moves: Arrays = {
        spec.name: np.zeros((1, *spec.dims), np.float32)
        for spec in synthesis_inputs
        if spec.name in TRANSFORMS
    }
    images = {}
    for seed in SEEDS:
        styles: Arrays = {
            "z": np.random.RandomState(seed).randn(1, widths["z"]).astype(np.float32),
            "truncation_psi": np.ones((1, 1), np.float32),
            "truncation_cutoff": np.full((1, 1), -1, np.int32),
        }
        if "label" in widths:
            styles["label"] = np.eye(1, widths["label"], dtype=np.float32)
        if "edits" in widths:
            styles["edits"] = np.zeros((1, widths["edits"]), np.float32)
        ws = mapping(styles)["ws"]
        noise: Arrays = {
            "noise_gain": np.ones((1, 1), np.float32),
            "noise_seed": np.full((1, 1), -1, np.int64),
        }
        images[str(seed)] = synthesis({"ws": ws, **noise, **moves})["images"][0]
    return {
        **_described(images, runtime),
        "truncation": 1.0,
        "noise": "const",
        "label": 0 if "label" in widths else None,
    }


def golden_picture(model: Run, multiple: int, least: int, runtime: str) -> dict[str, Any]:
    """The hash of what a model from images to images makes of `source_picture`.

    Args:
        model: The exported model.
        multiple: What sides should be multiples of.
        least: Shortest side it takes.
        runtime: What computes it.

    Returns:
        `pixels_sha256` and `thumbnails` under `source`, the size of the source, what it was computed with.
    """
    side = -(-max(_SOURCE_SIDE, least) // multiple) * multiple
    image = model({"source": source_picture(side, side)[None]})["images"][0]
    return {**_described({"source": image}, runtime), "source": {"height": side, "width": side}}


def source_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Two ramps and a fine pattern, made of whole numbers so that it is the same everywhere.

    Returns:
        uint8 [height, width, 3].
    """
    y, x = np.mgrid[:height, :width].astype(np.int64)
    red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
    picture: NDArray[np.uint8] = np.stack([red, green, (x * x + 3 * y * y) % 256], axis=-1).astype(np.uint8)
    return picture


def thumbnail(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Mean colours of 8×8 fields of an image [H, W, 3] of at least 8×8 pixels, rounded half up."""
    height, width = image.shape[:2]
    rows, columns = (np.arange(THUMBNAIL_SIDE) * side // THUMBNAIL_SIDE for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.int64), rows, axis=0), columns, axis=1)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))[None]
    means: NDArray[np.uint8] = ((2 * sums + areas[..., None]) // (2 * areas[..., None])).astype(np.uint8)
    return means


def _described(images: Mapping[str, NDArray[Any]], runtime: str) -> dict[str, Any]:
    return {
        "pixels_sha256": {key: pixels_sha256(image) for key, image in images.items()},
        # Of smaller images the hash alone is kept.
        "thumbnails": {
            key: base64.b64encode(thumbnail(image).tobytes()).decode("ascii")
            for key, image in images.items()
            if min(image.shape[:2]) >= THUMBNAIL_SIDE
        },
        "runtime": runtime,
        "instruction_set": instruction_set(),
    }


def pixels_sha256(image: NDArray[Any]) -> str:
    """sha256 of the raw RGB bytes of an image [H, W, 3], row by row."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def instruction_set() -> str:
    """The widest vector instructions of this processor, such as `AVX512`."""
    return torch.backends.cpu.get_cpu_capability()
