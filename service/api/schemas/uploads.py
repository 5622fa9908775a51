"""Text fields of the calls that take an image file, strict: what is not understood is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.latents import QUALITY, Quality

_IMAGE = (
    "the image file: PNG, JPEG, WebP, GIF, BMP, TIFF or PNM, in any colour space; it is turned upright and"
    " converted to sRGB first"
)
_FORMAT = "`png`, `jpeg` or `webp`; left to `Accept`, and then png, if left out"
_FRAME = "an integer from 0: which frame or page of a file that has several, which is refused otherwise"
_KEEP_EXIF = (
    "true to copy the EXIF of the file sent into the answer, its orientation now upright; it may say where"
)
_SIGN = "true for a C2PA manifest, signed with the operator's certificate"


def _with_image(schema: dict[str, Any]) -> None:
    """For the documentation: the file is a part beside the fields, and parts are left out, never null."""
    for field in schema["properties"].values():
        kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del field["anyOf"], field["default"]
            field.update(kinds[0])
    image = {"type": "string", "format": "binary", "description": _IMAGE}
    schema["properties"] = {"image": image, **schema["properties"]}
    schema["required"] = ["image", *schema.get("required", ())]


class _UploadRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, json_schema_extra=_with_image)

    format: Literal["png", "jpeg", "webp"] | None = Field(None, description=_FORMAT)
    quality: Quality | None = Field(None, description=QUALITY)
    frame: int | None = Field(None, ge=0, le=100_000, description=_FRAME)
    keep_exif: bool = Field(False, description=_KEEP_EXIF)
    sign: bool = Field(False, description=_SIGN)


Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class SuperResolutionRequest(_UploadRequest):
    """An image to enlarge, and by how much."""

    model: str = Field(
        min_length=1,
        max_length=64,
        description="name of an upscaler listed by /v1/models",
        examples=["photo-x4"],
    )
    scale: Annotated[float, Field(ge=1, le=64, allow_inf_nan=False)] | None = Field(
        None,
        description="a number from 1 to the model's scale, which is also taken if left out; sides are rounded"
        " to whole pixels",
    )
    background: Colour | None = Field(
        None,
        description="`#rrggbb`: what shows through transparent pixels. Left out, transparency is kept and"
        " enlarged too, and refused with jpeg, which has none",
    )


class TranslateRequest(_UploadRequest):
    """An image to translate, and how it is fitted to the model."""

    model: str = Field(
        min_length=1,
        max_length=64,
        description="name of a translator listed by /v1/models",
        examples=["sketch-to-emoji"],
    )
    fit: Literal["native", "resize", "pad", "crop"] = Field(
        "native",
        description="`native`: at its own size. The others show the model a square of the card's"
        " `resolution`: `resize` squeezes the image into it, `pad` fits all of it in, "
        "`crop` takes the largest square in its middle",
    )
    restore: bool = Field(
        False,
        description="true to bring the result back to the size of what was taken of the image: all of it, or"
        " with `crop` the square; what `pad` added is cut off",
    )
    alpha: Literal["flatten", "keep", "drop"] = Field(
        "flatten",
        description="what becomes of transparency. `flatten`: the image is laid onto `background`; `keep`:"
        " that too, and the result is as transparent as the image was (not with jpeg); `drop`: it is ignored",
    )
    background: Colour = Field(
        "#ffffff", description="`#rrggbb`: what is below transparent pixels, and beside the image with `pad`"
    )


def colour_of(text: str) -> tuple[int, int, int]:
    """Red, green and blue.

    Args:
        text: `#rrggbb`.

    Returns:
        Three levels.
    """
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
