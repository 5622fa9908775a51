"""Pixels to HTTP answers: an image, a contact sheet, JSON, a zip, or a numpy array."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from fastapi.responses import Response
from numpy.typing import NDArray

from service.api.generation import Images, Plan
from service.images.encode import MEDIA_TYPES, SUFFIXES, ImageFormat, encode
from service.images.sheet import contact_sheet

NPY = "application/x-npy"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def recipe_of(plan: Plan, seed: int) -> dict[str, Any]:
    """Everything needed to make one image again, as files and ETags hold it.

    Args:
        plan: The plan it is part of.
        seed: Which of its images.

    Returns:
        Plain JSON values.
    """
    style = plan.style
    return {
        "model": plan.model.name,
        "digest": plan.model.digest,
        "seed": seed,
        "truncation": style.truncation,
        "truncation_cutoff": style.truncation_cutoff,
        "noise": style.noise,
        "label": style.label,
    }


def render_image(plan: Plan, images: Images, image_format: ImageFormat, quality: int | None) -> Response:
    """One image as itself, several as a contact sheet.

    Args:
        plan: What was carried out.
        images: Its images.
        image_format: Format of the file.
        quality: Of the encoder, see `service.images.encode.encode`.

    Returns:
        The response, with `x-pixels-sha256` of exactly the pixels in the file.
    """
    recipe = recipe_of(plan, plan.seeds[0])
    if len(images) > 1:
        del recipe["seed"]
        recipe["seeds"] = list(plan.seeds)
    pixels = contact_sheet(images)
    return Response(
        encode(pixels, image_format, recipe, quality),
        media_type=MEDIA_TYPES[image_format],
        headers={"x-pixels-sha256": _sha256(pixels)},
    )


def render_json(plan: Plan, images: Images, image_format: ImageFormat, quality: int | None) -> Response:
    """The JSON answer, each file in base64.

    Args:
        plan: What was carried out.
        images: Its images.
        image_format: Format of the files.
        quality: Of the encoder.

    Returns:
        The response.
    """
    head = {"created": int(time.time()), "model": plan.model.name, "model_digest": plan.model.digest}
    # Assembled from bytes: base64 needs no escaping, and a JSON encoder would scan megabytes for it.
    parts = [json.dumps(head, separators=(",", ":")).encode()[:-1], b',"data":[']
    for index, (seed, pixels) in enumerate(zip(plan.seeds, images, strict=True)):
        item = json.dumps(_description(seed, pixels, image_format), separators=(",", ":")).encode()
        file = encode(pixels, image_format, recipe_of(plan, seed), quality)
        parts += [b"," if index else b"", item[:-1], b',"b64_json":"', b64encode(file), b'"}']
    parts.append(b"]}")
    return Response(b"".join(parts), media_type="application/json")


def render_zip(plan: Plan, images: Images, image_format: ImageFormat, quality: int | None) -> Response:
    """A zip of files and a `manifest.json`; the same plan gives the same bytes.

    Args:
        plan: What was carried out.
        images: Its images.
        image_format: Format of the files.
        quality: Of the encoder.

    Returns:
        The response.
    """
    out, entries = BytesIO(), []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for index, (seed, pixels) in enumerate(zip(plan.seeds, images, strict=True)):
            name = f"{index:04d}-seed-{seed}.{SUFFIXES[image_format]}"
            recipe = recipe_of(plan, seed)
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), encode(pixels, image_format, recipe, quality))
            entries.append({"file": name, **_description(seed, pixels, image_format), "recipe": recipe})
        manifest = {"model": plan.model.name, "model_digest": plan.model.digest, "data": entries}
        archive.writestr(
            zipfile.ZipInfo("manifest.json", _ZIP_EPOCH), json.dumps(manifest, ensure_ascii=False, indent=1)
        )
    return Response(
        out.getvalue(),
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="{plan.model.name}.zip"'},
    )


def render_npy(plan: Plan, images: Images, image_format: ImageFormat, quality: int | None) -> Response:
    """The raw pixels as one numpy array [N, height, width, 3], uint8, not compressed.

    Args:
        plan: What was carried out.
        images: Its images.
        image_format: Not used.
        quality: Not used.

    Returns:
        The response, with `x-pixels-sha256` of the whole array.
    """
    pixels = np.stack(images)
    out = BytesIO()
    np.save(out, pixels, allow_pickle=False)
    return Response(out.getvalue(), media_type=NPY, headers={"x-pixels-sha256": _sha256(pixels)})


def _description(seed: int, pixels: NDArray[np.uint8], image_format: ImageFormat) -> Mapping[str, Any]:
    return {
        "seed": seed,
        "pixels_sha256": _sha256(pixels),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "media_type": MEDIA_TYPES[image_format],
    }


def _sha256(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(pixels.data).hexdigest()
