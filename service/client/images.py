"""The calls that take an image."""

from __future__ import annotations

from typing import Any, Literal

from service.client.call import Call, ImageFormat, ImageSource
from service.client.results import File, Verification, file_of, verification_of

Fit = Literal["native", "resize", "pad", "crop"]
Alpha = Literal["flatten", "keep", "drop"]


def translate(
    model: str,
    image: ImageSource,
    *,
    fit: Fit = "native",
    restore: bool = False,
    alpha: Alpha = "flatten",
    background: str = "#ffffff",
    format: ImageFormat = "png",
    quality: int | None = None,
    frame: int | None = None,
    keep_exif: bool = False,
    sign: bool = False,
    wait: float | None = None,
) -> Call[File]:
    """An image of one kind, turned into another.

    Args:
        model: Name of a translator.
        image: The file's bytes, its path, an opened file, or an image of Pillow.
        fit: `native` at its own size; `resize`, `pad` and `crop` show the model a square of its resolution.
        restore: Bring the result back to the size of what was taken of the image.
        alpha: Lay the image onto `background`; `keep` its transparency too, or `drop` it.
        background: `#rrggbb`.
        format: Of the result.
        quality: 1 to 100, for lossy formats.
        frame: Which frame or page of a file that has several, from 0.
        keep_exif: Copy the image's EXIF into the result.
        sign: Have a file with a C2PA manifest, if the server has a certificate.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
        OSError: The image cannot be read.
    """
    form = {
        "model": model,
        "fit": fit,
        "restore": restore or None,
        "alpha": alpha,
        "background": background,
        **_result(format, quality, frame, keep_exif, sign),
    }
    return Call("POST", "/v1/translate", file_of, form=form, image=image, wait=wait)


def upscale(
    model: str,
    image: ImageSource,
    *,
    scale: float | None = None,
    background: str | None = None,
    format: ImageFormat = "png",
    quality: int | None = None,
    frame: int | None = None,
    keep_exif: bool = False,
    sign: bool = False,
    wait: float | None = None,
) -> Call[File]:
    """An image enlarged.

    Args:
        model: Name of an upscaler.
        image: The file's bytes, its path, an opened file, or an image of Pillow.
        scale: From 1 to the model's scale, which is also taken if left out.
        background: `#rrggbb` to lay a transparent image onto; it stays transparent if left out.
        format: Of the result.
        quality: 1 to 100, for lossy formats.
        frame: Which frame or page of a file that has several, from 0.
        keep_exif: Copy the image's EXIF into the result.
        sign: Have a file with a C2PA manifest, if the server has a certificate.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
        OSError: The image cannot be read.
    """
    form = {
        "model": model,
        "scale": scale,
        "background": background,
        **_result(format, quality, frame, keep_exif, sign),
    }
    return Call("POST", "/v1/super-resolution", file_of, form=form, image=image, wait=wait)


def verify(
    image: ImageSource,
    *,
    reproduce: bool = False,
    source: ImageSource | None = None,
    wait: float | None = None,
) -> Call[Verification]:
    """Which model, seed and parameters made a file, as it says itself, and what of that holds.

    Args:
        image: The file's bytes, its path, or an opened file; an image of Pillow has lost what it said.
        reproduce: Have the image made again from its recipe and compared, if its model is still served.
        source: With `reproduce`, for what translation or super-resolution made: the image it was made of.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
        OSError: The image cannot be read.
    """
    form = {"reproduce": reproduce}
    return Call(
        "POST",
        "/v1/verify",
        lambda answer: verification_of(answer.json()),
        form=form,
        image=image,
        source=source,
        wait=wait,
    )


def _result(
    format: ImageFormat, quality: int | None, frame: int | None, keep_exif: bool, sign: bool
) -> dict[str, Any]:
    return {
        "format": format,
        "quality": quality,
        "frame": frame,
        "keep_exif": keep_exif or None,
        "sign": sign or None,
    }
