"""Pixels to HTTP answers: an image, a contact sheet, JSON, a zip, or a numpy array."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from fastapi.responses import Response
from numpy.typing import NDArray

from service.api.answers.recipes import encode_ws
from service.api.answers.signatures import signed
from service.cards import ServedModel
from service.concurrency import stop_if_abandoned
from service.images.encode import MEDIA_TYPES, SUFFIXES, ImageFormat, encode
from service.images.signing import Signer

NPY = "application/x-npy"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Picture:
    """One image of an answer.

    Attributes:
        pixels: uint8 [height, width, 3].
        name: What it is called in a zip, without the suffix.
        recipe: What made it, as written into its file.
        said: What JSON and the manifest say of it first, such as its seed.
        ws: Styles to return with it, float32 [num_ws, w_dim]; None for none.
    """

    pixels: NDArray[np.uint8]
    name: str
    recipe: Mapping[str, Any]
    said: Mapping[str, Any] = field(default_factory=dict)
    ws: NDArray[np.float32] | None = None


def file_of(
    pixels: NDArray[np.uint8],
    recipe: Mapping[str, Any],
    pixels_sha256: str,
    image_format: ImageFormat,
    quality: int | None,
    signer: Signer | None = None,
) -> bytes:
    """A file that says what made it and which pixels it was made with, signed if asked for.

    Args:
        pixels: uint8 [height, width, 3].
        recipe: Written into the file, and into the manifest of a signed one.
        pixels_sha256: Of the pixels, for `/v1/verify`.
        image_format: Format of the file.
        quality: Of the encoder, see `service.images.encode.encode`.
        signer: Signs the file; None for none. Takes long enough for a thread.

    Returns:
        The file.

    Raises:
        ProblemError: If it cannot be signed.
    """
    stop_if_abandoned()
    recipe = {**recipe, "pixels_sha256": pixels_sha256}
    data = encode(pixels, image_format, recipe, quality)
    return data if signer is None else signed(data, MEDIA_TYPES[image_format], recipe, signer)


def render_image(
    pixels: NDArray[np.uint8],
    recipe: Mapping[str, Any],
    image_format: ImageFormat,
    quality: int | None,
    signer: Signer | None = None,
) -> Response:
    """One image, or a sheet, as itself.

    Args:
        pixels: uint8 [height, width, 3].
        recipe: Written into the file.
        image_format: Format of the file.
        quality: Of the encoder, see `service.images.encode.encode`.
        signer: Signs the file; None for none.

    Returns:
        The response, with `x-pixels-sha256` of exactly the pixels in the file.
    """
    sha256 = sha256_of(pixels)
    return Response(
        file_of(pixels, recipe, sha256, image_format, quality, signer),
        media_type=MEDIA_TYPES[image_format],
        headers={"x-pixels-sha256": sha256},
    )


def render_json(
    model: ServedModel,
    pictures: Sequence[Picture],
    image_format: ImageFormat,
    quality: int | None,
    signer: Signer | None = None,
) -> Response:
    """The JSON answer, each file in base64.

    Args:
        model: What made them.
        pictures: One or more.
        image_format: Format of the files.
        quality: Of the encoder.
        signer: Signs each file; None for none.

    Returns:
        The response.
    """
    head: dict[str, Any] = {
        "created": int(time.time()),
        "model": model.name,
        "model_digest": model.digest,
    }
    if (ws := pictures[0].ws) is not None:
        head["ws_shape"] = list(ws.shape)
    # Assembled from bytes: base64 needs no escaping, and a JSON encoder would scan megabytes for it.
    parts = [json.dumps(head, separators=(",", ":")).encode()[:-1], b',"data":[']
    for index, picture in enumerate(pictures):
        said = describe(picture, image_format)
        item = json.dumps(said, separators=(",", ":")).encode()
        sha256 = said["pixels_sha256"]
        file = file_of(picture.pixels, picture.recipe, sha256, image_format, quality, signer)
        parts += [b"," if index else b"", item[:-1], b',"b64_json":"', b64encode(file), b'"']
        if picture.ws is not None:
            parts += [b',"ws":"', encode_ws(picture.ws).encode(), b'"']
        parts.append(b"}")
    parts.append(b"]}")
    return Response(b"".join(parts), media_type="application/json")


def render_zip(
    model: ServedModel,
    pictures: Sequence[Picture],
    image_format: ImageFormat,
    quality: int | None,
    signer: Signer | None = None,
) -> Response:
    """A zip of files and a `manifest.json`; the same pictures give the same bytes, unless signed.

    Args:
        model: What made them.
        pictures: One or more; styles go beside the files as `.npy`.
        image_format: Format of the files.
        quality: Of the encoder.
        signer: Signs each file; None for none.

    Returns:
        The response.
    """
    out, entries = BytesIO(), []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for picture in pictures:
            name = f"{picture.name}.{SUFFIXES[image_format]}"
            said = describe(picture, image_format)
            sha256 = said["pixels_sha256"]
            file = file_of(picture.pixels, picture.recipe, sha256, image_format, quality, signer)
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), file)
            entry = {"file": name, **said, "recipe": picture.recipe}
            if picture.ws is not None:
                entry["ws_file"] = f"{picture.name}.ws.npy"
                archive.writestr(zipfile.ZipInfo(entry["ws_file"], _ZIP_EPOCH), npy_of(picture.ws))
            entries.append(entry)
        manifest = {"model": model.name, "model_digest": model.digest, "data": entries}
        archive.writestr(
            zipfile.ZipInfo("manifest.json", _ZIP_EPOCH), json.dumps(manifest, ensure_ascii=False, indent=1)
        )
    return Response(
        out.getvalue(),
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="{model.name}.zip"'},
    )


def render_npy(images: Sequence[NDArray[np.uint8]]) -> Response:
    """The raw pixels as one numpy array [N, height, width, 3], uint8, not compressed.

    Args:
        images: Of one size.

    Returns:
        The response, with `x-pixels-sha256` of the whole array.
    """
    pixels = np.stack(images)
    return Response(npy_of(pixels), media_type=NPY, headers={"x-pixels-sha256": sha256_of(pixels)})


def describe(picture: Picture, image_format: ImageFormat) -> dict[str, Any]:
    """What JSON, manifests and events say of a picture, besides its file.

    Args:
        picture: The picture.
        image_format: Of its file.

    Returns:
        Plain JSON values.
    """
    return {
        **picture.said,
        "pixels_sha256": sha256_of(picture.pixels),
        "width": picture.pixels.shape[1],
        "height": picture.pixels.shape[0],
        "media_type": MEDIA_TYPES[image_format],
    }


def npy_of(array: NDArray[Any]) -> bytes:
    """An array as a `.npy` file.

    Args:
        array: Any, but for objects.

    Returns:
        The file.
    """
    out = BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def sha256_of(*pixels: NDArray[np.uint8]) -> str:
    """sha256 of raw pixels, row by row.

    Args:
        pixels: Contiguous; of several images, one after the other.

    Returns:
        64 hexadecimal digits.
    """
    sha256 = hashlib.sha256()
    for image in pixels:
        sha256.update(image.data)
    return sha256.hexdigest()
