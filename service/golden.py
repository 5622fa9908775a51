"""Whether a model makes the pixels its card says: what a new version has to show before it takes traffic.

An export writes into the card the hashes of a few images and, of each, a thumbnail of 8×8 mean colours.
Runtimes round alike only in the same version and on the same kind of processor; elsewhere the hashes differ
and the thumbnails tell whether it is the same picture.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.cards import TRANSFORMS, Generator, ImageModel, ServedModel
from service.latents import MAX_SEED, z_for_seed
from service.triton import Triton, TritonDeadlineError

Mode: TypeAlias = Literal["strict", "close", "off"]
Match: TypeAlias = Literal["exact", "close", "unchecked"]

THUMBNAIL_SIDE: Final = 8
TOLERANCE: Final = 3
"""Levels of 255 by which a mean colour may differ; another picture differs by tens."""

_MAX_SEEDS = 16
_MAX_SIDE = 1024
_NEW: Final = "new"


class GoldenError(Exception):
    """The model does not make the pixels its card says."""


@dataclass(frozen=True)
class Golden:
    """What a card says about pixels, checked for form.

    Attributes:
        hashes: sha256 of the pixels by seed; of a model from images to images under the key `source`.
        thumbnails: uint8 [rows, columns, 3] under the same keys, where the card has them.
        truncation: ψ of a generator's images.
        label: Class of a generator's images, None if it is not conditional.
        size: Height and width of the source picture of a model from images to images.
    """

    hashes: Mapping[str, str]
    thumbnails: Mapping[str, NDArray[np.uint8]]
    truncation: float = 1.0
    label: int | None = None
    size: tuple[int, int] = (0, 0)


def read_golden(card: Mapping[str, Any], is_generator: bool) -> Golden | None:
    """Reads the card's `golden`.

    Args:
        card: Of the model.
        is_generator: Whether images are made of seeds, or of a source picture.

    Returns:
        None if the card has none.

    Raises:
        GoldenError: If it is not of the form an export writes.
    """
    golden = card.get("golden")
    if golden is None:
        return None
    try:
        hashes = {str(key): str(value) for key, value in golden["pixels_sha256"].items()}
        thumbnails = {
            str(key): _decoded_thumbnail(text) for key, text in golden.get("thumbnails", {}).items()
        }
        if not is_generator:
            height, width = (int(golden["source"][side]) for side in ("height", "width"))
            if set(hashes) != {"source"} or not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
                raise ValueError("one hash, of a source picture of 1 to 1024 pixels a side")
            return Golden(hashes, thumbnails, size=(height, width))
        if not 0 < len(hashes) <= _MAX_SEEDS or not all(0 <= int(seed) <= MAX_SEED for seed in hashes):
            raise ValueError("hashes of 1 to 16 seeds")
        if golden.get("noise", "const") != "const":
            raise ValueError("images with constant noise")
        label = golden.get("label")
        return Golden(
            hashes, thumbnails, float(golden.get("truncation", 1.0)), None if label is None else int(label)
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GoldenError(f"the card's `golden` is not understood: {error}") from None


def source_picture(height: int, width: int) -> NDArray[np.uint8]:
    """The picture that golden hashes of models from images to images are of: two ramps and a fine pattern.

    Returns:
        uint8 [height, width, 3].
    """
    y, x = np.mgrid[:height, :width].astype(np.int64)
    red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
    picture: NDArray[np.uint8] = np.stack([red, green, (x * x + 3 * y * y) % 256], axis=-1).astype(np.uint8)
    return picture


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean colours of 8×8 fields, or of single pixels where an image has fewer.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        uint8 [min(8, H), min(8, W), 3], rounded half up.
    """
    height, width = image.shape[:2]
    rows = np.arange(min(THUMBNAIL_SIDE, height)) * height // min(THUMBNAIL_SIDE, height)
    columns = np.arange(min(THUMBNAIL_SIDE, width)) * width // min(THUMBNAIL_SIDE, width)
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.int64), rows, axis=0), columns, axis=1)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))[None]
    means: NDArray[np.uint8] = ((2 * sums + areas[..., None]) // (2 * areas[..., None])).astype(np.uint8)
    return means


def compare(golden: Golden, images: Mapping[str, NDArray[np.uint8]], mode: Mode) -> Match:
    """Holds images against the card.

    Args:
        golden: What they should be.
        images: uint8 [H, W, 3] under every key of `golden.hashes`.
        mode: `strict` asks for the same hashes, `close` for the same thumbnails.

    Returns:
        `exact` if all hashes are the same, else `close`.

    Raises:
        GoldenError: If they are other images.
    """
    other = [key for key in golden.hashes if pixels_sha256(images[key]) != golden.hashes[key]]
    if not other:
        return "exact"
    key = other[0]
    if mode == "strict":
        raise GoldenError(f"the pixels of {_called(key)} are not those of the card (sha256 differs)")
    for key in other:
        if key not in golden.thumbnails:
            raise GoldenError(
                f"the pixels of {_called(key)} are not those of the card, which has no thumbnail of it"
            )
        expected, made = golden.thumbnails[key], thumbnail(images[key])
        if expected.shape != made.shape:
            raise GoldenError(f"the thumbnail of {_called(key)} has another shape than the card's")
        difference = int(np.abs(expected.astype(int) - made).max())
        if difference > TOLERANCE:
            raise GoldenError(
                f"{_called(key)} is another picture than the card's: mean colours differ by up to "
                f"{difference} levels, and {TOLERANCE} are put up with"
            )
    return "close"


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """sha256 of the raw RGB bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


async def check(triton: Triton, model: ServedModel, mode: Mode, timeout: float) -> Match:
    """Runs a model once, which also warms it, and compares what it makes with its card.

    Args:
        triton: Who runs it.
        model: Of any kind.
        mode: `off` runs it without comparing.
        timeout: In seconds.

    Returns:
        How well it agrees.

    Raises:
        GoldenError: If it makes other pixels.
        TritonError: If it cannot be run.
    """
    deadline = perf_counter() + timeout
    golden = None
    if mode != "off":
        golden = read_golden(model.card, isinstance(model, Generator))
    if isinstance(model, Generator):
        images = await _generated(triton, model, golden or Golden({"0": ""}, {}), deadline)
    else:
        assert isinstance(model, ImageModel)
        images = await _translated(triton, model, golden, deadline)
    if golden is None:
        return "unchecked"
    return await asyncio.to_thread(compare, golden, images, mode)


async def _generated(
    triton: Triton, model: Generator, golden: Golden, deadline: float
) -> dict[str, NDArray[np.uint8]]:
    images: dict[str, NDArray[np.uint8]] = {}
    seeds = list(golden.hashes)
    if model.synthesis.cached:  # one that Triton has no answer for: a cache answers for a dead process too
        seeds.insert(0, _NEW)
    for start in range(0, len(seeds), model.batch_size):
        batch = seeds[start : start + model.batch_size]
        n = len(batch)
        inputs: dict[str, NDArray[Any]] = {
            "z": np.stack([_z(seed, model.z_dim) for seed in batch]),
            "truncation_psi": np.full((n, 1), golden.truncation, np.float32),
            "truncation_cutoff": np.full((n, 1), -1, np.int32),
        }
        if model.c_dim:
            if not 0 <= (golden.label or 0) < model.c_dim:
                raise GoldenError(f"the card's `golden` has class {golden.label}, of {model.c_dim}")
            inputs["label"] = np.zeros((n, model.c_dim), np.float32)
            inputs["label"][:, golden.label or 0] = 1
        if model.directions:
            inputs["edits"] = np.zeros((n, len(model.directions)), np.float32)
        ws = await triton.infer(model.mapping, inputs, "ws", _remaining(deadline))
        noise: dict[str, NDArray[Any]] = {
            "ws": ws,
            "noise_gain": np.ones((n, 1), np.float32),
            "noise_seed": np.full((n, 1), -1, np.int64),
            **{name: np.zeros((n, TRANSFORMS[name]), np.float32) for name in model.transforms},
        }
        made = await triton.infer(model.synthesis, noise, "images", _remaining(deadline))
        images |= dict(zip(batch, made, strict=True))
    return images


async def _translated(
    triton: Triton, model: ImageModel, golden: Golden | None, deadline: float
) -> dict[str, NDArray[np.uint8]]:
    side = -(-max(16, model.min_size) // model.size_multiple) * model.size_multiple
    height, width = golden.size if golden else (side, side)
    if min(height, width) < model.min_size or max(height, width) > model.max_size:
        raise GoldenError(f"the card's `golden` is of {height}×{width} pixels, which the model does not take")
    source = source_picture(height, width)[None]
    made = await triton.infer(model.model, {"source": source}, "images", _remaining(deadline))
    return {"source": made[0]}


def _z(seed: str, z_dim: int) -> NDArray[np.float32]:
    if seed == _NEW:
        return np.random.default_rng().standard_normal(z_dim, np.float32)
    return z_for_seed(int(seed), z_dim)


def _decoded_thumbnail(text: str) -> NDArray[np.uint8]:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a thumbnail is not base64: {error}") from None
    if len(data) != THUMBNAIL_SIDE * THUMBNAIL_SIDE * 3:
        raise ValueError(f"a thumbnail of {len(data)} bytes")
    return np.frombuffer(data, np.uint8).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3)


def _called(key: str) -> str:
    return "the golden picture" if key == "source" else f"seed {key}"


def _remaining(deadline: float) -> float:
    seconds = deadline - perf_counter()
    if seconds <= 0:
        raise TritonDeadlineError("the golden check was not done in time")
    return seconds
