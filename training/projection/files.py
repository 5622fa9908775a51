"""What goes into a projection and what it leaves: pictures in, and styles, figures and a picture out."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from training.data.decode import SUFFIXES, DecodeError, decode, quiet_pillow
from training.data.shaping import centre_square
from training.errors import GantrainError
from training.files import atomic_write
from training.metrics.image_quality import WINDOW, l1, psnr, ssim
from training.metrics.pictures import enlarge
from training.projection.search import Projection

Pixels = NDArray[np.uint8]

WS, REQUEST, NOISE, PICTURE, REPORT = "ws.npy", "ws.json", "noise.npz", "projection.png", "projection.json"
"""The files of a projection; the report is written last, so where it is, all are."""

GAIN = 4
"""How much the picture of the difference is amplified."""

_LEAST_SIDE = 192
_MARGIN, _CAPTION = 8, 22
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


class PictureError(GantrainError):
    """A picture cannot be projected; the message says which and why."""


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and the images of folders in order of their names.

    Raises:
        PictureError: If something is not there, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
            if not inside:
                raise PictureError(f"{path} holds no image")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise PictureError(f"no image at {path}")
    return found


def read_target(path: Path, side: int, resolution: Literal["fit", "exact"]) -> Tensor:
    """A picture as a generator could have made it.

    Args:
        path: An image file.
        side: Height and width that the generator makes.
        resolution: `fit` takes the centre square and resizes it, as `gantrain prepare` does; `exact` takes
            only a picture that has the size already.

    Returns:
        UINT8 [3, side, side].

    Raises:
        PictureError: If it is no image, or not of the size.
    """
    try:
        with quiet_pillow():
            pixels = decode(path.read_bytes()).pixels
    except (DecodeError, OSError) as error:
        raise PictureError(
            f"{path} {error}" if isinstance(error, DecodeError) else f"{path}: {error}"
        ) from error
    height, width = pixels.shape[:2]
    if resolution == "exact" and (height, width) != (side, side):
        raise PictureError(
            f"{path} has {width}×{height} pixels and the model makes {side}×{side}; --resolution fit crops "
            "and resizes it"
        )
    return torch.from_numpy(np.array(centre_square(pixels, side))).permute(2, 0, 1)


def figures(image: Tensor, target: Tensor) -> dict[str, float]:
    """How near an image is to the target, both UINT8 [3, R, R]: PSNR [dB], L1 [levels], SSIM from 11² on."""
    x, y = image[None], target[None]
    found = {"psnr": float(psnr(x, y)), "l1": float(l1(x, y))}
    if image.shape[-1] >= WINDOW:
        found["ssim"] = float(ssim(x, y))
    return {name: round(value, 4) for name, value in found.items()}


def request_body(model: str, ws: Tensor) -> dict[str, str]:
    """The body of `POST /v1/generate` that asks for the image of ws [num_ws, w_dim]."""
    raw = np.ascontiguousarray(ws.numpy(), "<f4").tobytes()
    return {"model": model, "ws": base64.b64encode(raw).decode("ascii")}


def write_projection(
    folder: Path, model: str, target: Tensor, found: Projection, report: Mapping[str, Any]
) -> None:
    """Writes what was found; the files of an older projection in the folder are replaced.

    Args:
        folder: Where it goes; it exists.
        model: Name by which the gateway knows the generator.
        target: The picture, UINT8 [3, R, R].
        found: What was found.
        report: What `projection.json` is to say.
    """
    for name in (REPORT, NOISE):
        (folder / name).unlink(missing_ok=True)
    with atomic_write(folder / WS) as file:
        np.save(file, found.ws.numpy())
    with atomic_write(folder / REQUEST) as file:
        file.write(json.dumps(request_body(model, found.ws)).encode() + b"\n")
    if found.noise:
        with atomic_write(folder / NOISE) as file:
            np.savez(file, *(n[0, 0].numpy() for n in found.noise))
    with atomic_write(folder / PICTURE) as file:
        file.write(comparison(target, found))
    with atomic_write(folder / REPORT) as file:
        file.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")


def comparison(target: Tensor, found: Projection) -> bytes:
    """A PNG file: the target, what is served for the ws, and their difference, each with a caption."""
    difference = (found.image.int() - target.int()).abs().mul(GAIN).clamp(max=255).to(torch.uint8)
    columns = [
        ("target", target),
        (f"projection, {figures(found.image, target)['psnr']:.1f} dB", found.image),
        (f"{GAIN} times the difference", difference),
    ]
    if found.noisy_image is not None:
        caption = f"own noise, {figures(found.noisy_image, target)['psnr']:.1f} dB"
        columns.insert(2, (caption, found.noisy_image))
    factor = -(-_LEAST_SIDE // target.shape[-1])
    side = target.shape[-1] * factor
    page = Image.new(
        "RGB", (len(columns) * (side + _MARGIN) + _MARGIN, side + _CAPTION + 2 * _MARGIN), _PAPER
    )
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=14)
    for i, (caption, image) in enumerate(columns):
        left = _MARGIN + i * (side + _MARGIN)
        pixels: Pixels = image.permute(1, 2, 0).numpy()
        page.paste(Image.fromarray(enlarge(pixels, factor)), (left, _MARGIN + _CAPTION))
        draw.text((left, _MARGIN), caption, _INK, font)
    png = io.BytesIO()
    page.save(png, "PNG")
    return png.getvalue()
