"""Any of Pillow's pixels to 8-bit sRGB and alpha."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.images.containers.base import Container, Samples

_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_CLASSES: Final = ("mntr", "scnr", "prtr", "spac")
# Stages of this kind can be many and arbitrarily slow; hardly a camera, screen or press uses them.
_UNBOUNDED: Final = b"mpet"
_ROWS_AT_ONCE: Final = 256
_NEAR_SRGB: Final = 2  # of 255: profiles that mean sRGB differ by rounding


def to_srgb(
    image: Image.Image, container: Container
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, str | None, tuple[str, ...]]:
    """Converts a decoded image.

    16-bit grey, integers and floats are scaled and rounded, floats from 0 to 1. Colour with 16 bits a sample
    arrives here as its upper bytes. A colour profile is applied with relative colorimetric intent and black
    point compensation; one that is damaged or belongs to other pixels is ignored and noted.

    Args:
        image: Decoded, of any mode that the readers can give.
        container: The file it comes from.

    Returns:
        Pixels [H, W, 3], alpha [H, W] or None when opaque, the description of the profile that was applied
        or None, and notes.
    """
    if container.ycbcr:
        image = Image.frombytes("YCbCr", image.size, image.tobytes())
    image, alpha = _split_alpha(image, container)
    notes: tuple[str, ...] = ()
    applied: str | None = None
    if image.mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
        image = _transformed(lab, image)
    elif container.icc:
        image, applied, note = _apply_profile(image, container.icc)
        notes = (note,) if note else ()
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image), alpha, applied, notes


def _split_alpha(image: Image.Image, container: Container) -> tuple[Image.Image, NDArray[np.uint8] | None]:
    """Returns the image in one of L, RGB, CMYK, LAB, and its alpha unless opaque."""
    opaque = _key_alpha(image, container.colour_key) if container.colour_key else None
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _eight_bits(image, container.samples or Samples(65535.0)), opaque
    if mode in ("La", "RGBa"):
        image = image.convert("LA" if mode == "La" else "RGBA")
    elif mode == "PA" or (mode in ("1", "L", "P", "RGB") and "transparency" in image.info):
        image = image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
        return image.convert("L" if image.mode == "LA" else "RGB"), None if alpha.min() == 255 else alpha
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, opaque
    return image.convert("L" if image.mode == "1" else "RGB"), opaque


def _key_alpha(image: Image.Image, key: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Alpha of an image in which one colour is transparent."""
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    if pixels.ndim == 2:
        hit = pixels == key[0]
    else:
        hit = (pixels[..., 0] == key[0]) & (pixels[..., 1] == key[-2]) & (pixels[..., 2] == key[-1])
    return np.where(hit, np.uint8(0), np.uint8(255)) if hit.any() else None


def _eight_bits(image: Image.Image, samples: Samples) -> Image.Image:
    """Scales deep grey to 8 bits, some rows at a time."""
    values = np.asarray(image)
    if samples.white == 2**32 - 1:
        values = values.view(np.uint32)
    out = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS_AT_ONCE):
        part = values[top : top + _ROWS_AT_ONCE].astype(np.float64) / samples.white
        part = np.clip(np.nan_to_num(part, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        if samples.inverted:
            part = 1.0 - part
        out[top : top + _ROWS_AT_ONCE] = np.floor(part * 255.0 + 0.5)
    return Image.fromarray(out)


def _srgb() -> ImageCms.ImageCmsProfile:
    # Made anew each time, which takes microseconds, rather than shared between threads.
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transformed(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    out = ImageCms.applyTransform(image, transform)
    assert out is not None  # it is None only when asked to work in place
    return out


def _apply_profile(image: Image.Image, icc: bytes) -> tuple[Image.Image, str | None, str | None]:
    """Returns the image in sRGB if its profile could be applied, the profile's name if it was, and a note."""
    if _UNBOUNDED in icc[128:]:
        return image, None, "The colour profile is of a kind that is not applied, and was ignored."
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        core: Any = profile.profile
        mode, kind = _SPACES.get(core.xcolor_space), core.device_class
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode or kind not in _CLASSES:
            return image, None, "The colour profile belongs to other pixels, and was ignored."
        transform = ImageCms.buildTransform(
            profile,
            _srgb(),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "RGB" and _changes_little(transform):
            return image, None, None
        name = "".join(c for c in ImageCms.getProfileDescription(profile) if c.isprintable())[:100].strip()
        return _transformed(transform, image), name or "an unnamed profile", None
    except MemoryError:
        raise
    except Exception:  # Pillow and Little CMS raise many kinds of errors over a damaged profile
        return image, None, "The colour profile is damaged, and was ignored."


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a profile means sRGB: tried on a lattice of colours."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(27, 27, 3)
    out = np.asarray(_transformed(transform, Image.fromarray(lattice)))
    return int(np.abs(out.astype(np.int16) - lattice).max()) <= _NEAR_SRGB
