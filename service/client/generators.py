"""The calls that make images from seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from service.client.call import Call, ImageFormat, Noise, quoted, styling, transform
from service.client.results import File, GeneratedImage, Styles, file_members, file_of, styles_of

_EXTENSIONS: Mapping[ImageFormat, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def generate(
    model: str,
    seeds: Sequence[int] | None = None,
    *,
    ws: Sequence[Styles] | None = None,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    format: ImageFormat = "png",
    quality: int | None = None,
    return_ws: bool = False,
    sign: bool = False,
    wait: float | None = None,
) -> Call[list[GeneratedImage]]:
    """One image for each of `seeds` or `ws`, in their order.

    Args:
        model: Name of a generator.
        seeds: Integers from 0 to 2³²-1; at most as many as the server takes in one call.
        ws: Styles instead of seeds; truncation, label and edits are in them already.
        truncation: 1, also if left out, leaves the model as trained; 0 is its average image.
        truncation_cutoff: How many layers, coarsest first, are truncated; None for all.
        noise: The model's constant noise, none, or a seed for fresh noise.
        label: Class of a conditional model.
        edits: Amount by name of the model's directions.
        rotation: Degrees to turn pictures by, counter-clockwise; for models whose card names it in
            `transforms`, like the next.
        translation: How far to move them to the right and down, as fractions of their side.
        format: Of the files.
        quality: 1 to 100, for lossy formats.
        return_ws: Have the images' styles as well.
        sign: Have files with a C2PA manifest, if the server has a certificate.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        **_recipe(model, seeds, ws, truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "format": format,
        "quality": quality,
        "return_ws": return_ws or None,
        "sign": sign or None,
    }
    return Call("POST", "/v1/generate", _generated, body=body, wait=wait)


def sheet(
    model: str,
    seeds: Sequence[int] | None = None,
    *,
    ws: Sequence[Styles] | None = None,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    format: ImageFormat = "png",
    quality: int | None = None,
    captions: bool = False,
    sign: bool = False,
    wait: float | None = None,
) -> Call[File]:
    """One contact sheet of all the images; arguments as for `generate`.

    `captions` writes each image's seed and label under it.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        **_recipe(model, seeds, ws, truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "format": format,
        "quality": quality,
        "captions": captions or None,
        "sign": sign or None,
    }
    return Call("POST", "/v1/generate", file_of, body=body, accept=f"image/{format}", wait=wait)


def image(
    model: str,
    seed: int,
    *,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    format: ImageFormat = "png",
    quality: int | None = None,
    digest: str | None = None,
    wait: float | None = None,
) -> Call[GeneratedImage]:
    """One image, through the call whose answers caches may keep.

    Other arguments are those of `generate`. A `digest` pins the weights: the server refuses if it has
    others, and otherwise answers with what may be cached for ever.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    query = {
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "noise": None if noise == "const" else noise,
        "label": label,
        "edits": ",".join(f"{name}:{amount}" for name, amount in edits.items()) if edits else None,
        "rotation": rotation,
        "translation": None if translation is None else ",".join(map(str, translation)),
        "quality": quality,
        "digest": digest,
    }

    def read(answer: httpx.Response) -> GeneratedImage:
        return GeneratedImage(
            bytes=answer.content,
            media_type=answer.headers["content-type"],
            model_digest=answer.headers["x-model-digest"],
            pixels_sha256=answer.headers["x-pixels-sha256"],
            seed=seed,
        )

    path = f"/v1/models/{quoted(model)}/images/{seed}.{_EXTENSIONS[format]}"
    return Call("GET", path, read, query=query, wait=wait)


def _recipe(
    model: str,
    seeds: Sequence[int] | None,
    ws: Sequence[Styles] | None,
    truncation: float | None,
    truncation_cutoff: int | None,
    noise: Noise,
    label: int | str | None,
    edits: Mapping[str, float] | None,
) -> dict[str, Any]:
    return {
        "model": model,
        "seeds": None if seeds is None else list(seeds),
        "ws": None if ws is None else [styles.base64() for styles in ws],
        **styling(truncation, truncation_cutoff, noise, label, edits),
    }


def _generated(answer: httpx.Response) -> list[GeneratedImage]:
    content = answer.json()
    shape = content.get("ws_shape")
    return [
        GeneratedImage(
            **file_members(item, content["model_digest"]),
            seed=item.get("seed"),
            ws=styles_of(item["ws"], shape, item.get("seed")) if shape is not None else None,
        )
        for item in content["data"]
    ]
