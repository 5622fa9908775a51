"""What made an image, as files, manifests and ETags hold it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.cards import Generator
from service.images.provenance import canonical_json, xmp_packet
from service.synthesis import Latent, Noise, Transform

# Larger styles would not fit into the one XMP segment that a JPEG has.
_LARGEST_WS: Final = 16 << 10
# Of the 65,502 bytes of that segment; the rest is for what is added to a recipe later, as hashes are.
_LARGEST_PACKET: Final = 64_000


def recipe_of(model: Generator, latent: Latent, noise: Noise) -> dict[str, Any]:
    """Everything needed to make one image again.

    Args:
        model: The generator, with its digest.
        latent: A seed or styles; of a `z` that was interpolated, what can be told without it.
        noise: As for synthesis.

    Returns:
        Plain JSON values. Styles are held in full up to 16 KiB, otherwise as their sha256 alone.
    """
    recipe: dict[str, Any] = {"model": model.name, "digest": model.digest}
    if latent.ws is not None:
        raw = latent.ws.tobytes()
        recipe["ws_sha256"] = hashlib.sha256(raw).hexdigest()
        if len(raw) <= _LARGEST_WS:
            recipe["ws"] = encode_ws(latent.ws)
        return {**recipe, "noise": noise, **transform_part(latent.transform)}
    recipe |= {
        "seed": latent.seed,
        "truncation": latent.truncation,
        "truncation_cutoff": latent.truncation_cutoff,
        "noise": noise,
        "label": latent.label,
    }
    amounts = {name: amount for name, amount in zip(model.directions, latent.edits, strict=False) if amount}
    if amounts:
        recipe["edits"] = amounts
    return recipe | transform_part(latent.transform)


def transform_part(transform: Transform) -> dict[str, Any]:
    """What a recipe says of how a picture is turned and moved: nothing, if it is not.

    Args:
        transform: Of the picture.

    Returns:
        Plain JSON values.
    """
    said: dict[str, Any] = {"rotation": transform.rotation} if transform.rotation else {}
    if any(transform.translation):
        said["translation"] = list(transform.translation)
    return said


def latent_part(model: Generator, latent: Latent) -> dict[str, Any]:
    """What a recipe of many latents says of each: what `recipe_of` does, save for what all have in common.

    Args:
        model: The generator.
        latent: As for `recipe_of`.

    Returns:
        Plain JSON values, without model, digest and noise.
    """
    recipe = recipe_of(model, latent, "const")
    return {name: value for name, value in recipe.items() if name not in ("model", "digest", "noise")}


def bounded(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of many latents, short enough for every format: a JPEG has 64 KiB for it.

    Args:
        recipe: Plain JSON values.

    Returns:
        The recipe itself if it fits; else without styles, whose sha256 stays; else with `<name>_sha256` of
        the canonical JSON of each of its lists, instead of the list.
    """
    made = dict(recipe)
    if _fits(made):
        return made
    made = {name: _without_ws(value) if isinstance(value, list) else value for name, value in made.items()}
    if _fits(made):
        return made
    return {
        (f"{name}_sha256" if isinstance(value, list) else name): (
            hashlib.sha256(canonical_json(value).encode()).hexdigest() if isinstance(value, list) else value
        )
        for name, value in recipe.items()
    }


def _fits(recipe: Mapping[str, Any]) -> bool:
    return len(xmp_packet(canonical_json(recipe)).encode()) <= _LARGEST_PACKET


def _without_ws(latents: Sequence[Any]) -> list[Any]:
    return [
        {name: value for name, value in latent.items() if name != "ws"}
        if isinstance(latent, dict)
        else latent
        for latent in latents
    ]


def encode_ws(ws: NDArray[np.float32]) -> str:
    """Styles as text.

    Args:
        ws: float32, any shape.

    Returns:
        Base64 of little-endian float32 values in row-major order.
    """
    return base64.b64encode(ws.astype("<f4").tobytes()).decode("ascii")
