"""The part of requests that says which latents are meant; shared by every call of generators."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.latents import MAX_SEED

_DIGITS = re.compile(r"0|[1-9][0-9]*")
_LONGEST_NAME = 200
_LARGEST_AMOUNT = 100.0
# Ten times around, and ten images away.
_LARGEST_ROTATION = 3600.0
_LARGEST_TRANSLATION = 10.0


def _in_digits(text: Any) -> Any:
    """Refuses `007`, `+7`, `7.0` and `7_0` in a URL: one image has one address, or caches keep several."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise ValueError("Input should be an integer in plain digits")
    return text


InDigits = BeforeValidator(_in_digits)
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Truncation = Annotated[float, Field(ge=-2.0, le=2.0, allow_inf_nan=False)]
Label = Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=_LONGEST_NAME)]
Amount = Annotated[float, Field(ge=-_LARGEST_AMOUNT, le=_LARGEST_AMOUNT, allow_inf_nan=False)]
Edits = Annotated[dict[Annotated[str, Field(max_length=_LONGEST_NAME)], Amount], Field(max_length=64)]
Rotation = Annotated[float, Field(ge=-_LARGEST_ROTATION, le=_LARGEST_ROTATION, allow_inf_nan=False)]
Offset = Annotated[float, Field(ge=-_LARGEST_TRANSLATION, le=_LARGEST_TRANSLATION, allow_inf_nan=False)]
Translation = Annotated[list[Offset], Field(min_length=2, max_length=2)]
Noise = Literal["const", "none"] | Seed
Quality = Annotated[int, Field(ge=1, le=100)]
# Fails fast: a megabyte of wrong numbers would otherwise cost a second of error messages. The lengths, far
# beyond any model, do the same for a megabyte of brackets: a union looks at each of its members thrice.
_Row = Annotated[list[float], Field(max_length=1 << 16, fail_fast=True)]
WsValue = str | _Row | Annotated[list[_Row], Field(max_length=256, fail_fast=True)]

MODEL = "name of a generator listed by /v1/models"
TRUNCATION = "a number from -2 to 2: how far from the average image; 1 leaves the model as trained"
CUTOFF = "an integer from 0 to the model's num_ws: only so many first layers are truncated; all if left out"
NOISE = "`const` (the model's own), `none`, or an integer from 0 to 4294967295 that seeds fresh noise"
LABEL = "index or name of one of the model's classes"
EDITS = 'amount by name of one of the model\'s directions, such as `{"direction-01": 2.5}`; see its card'
_TRANSFORMED = "; for models whose card names it in `transforms`, as StyleGAN3's do"
ROTATION = (
    f"a number from -3600 to 3600: degrees by which the picture is turned, counter-clockwise{_TRANSFORMED}"
)
TRANSLATION = (
    "two numbers from -10 to 10, [x, y]: how far the picture is moved to the right and down, as fractions of "
    f"its side{_TRANSFORMED}"
)
WS = (
    "styles that an earlier call returned, instead of seeds: base64 of num_ws × w_dim little-endian float32 "
    "values, or nested lists"
)
QUALITY = "an integer from 1 to 100, for jpeg and webp; webp without it is lossless"

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class LatentFields(BaseModel):
    """What else decides an image's styles, besides its seed."""

    model_config = STRICT

    truncation: Truncation = Field(1.0, description=TRUNCATION)
    truncation_cutoff: int | None = Field(None, ge=0, description=CUTOFF)
    label: Label | None = Field(None, description=LABEL)
    edits: Edits | None = Field(None, description=EDITS)


class TransformFields(BaseModel):
    """How the picture is turned and moved, whatever its styles."""

    model_config = STRICT

    rotation: Rotation | None = Field(None, description=ROTATION, examples=[30.0])
    translation: Translation | None = Field(None, description=TRANSLATION, examples=[[0.25, -0.1]])


class PictureFields(LatentFields, TransformFields):
    """What decides an image besides its seed, and noise."""


class LatentSource(LatentFields):
    """One latent: a seed with what goes with it, or styles. What is left out is as in the request itself."""

    seed: Seed | None = Field(None, description="an integer from 0 to 4294967295")
    ws: WsValue | None = Field(None, description=f"{WS}; a single one")

    @model_validator(mode="after")
    def _seed_or_styles(self) -> LatentSource:
        if (self.seed is None) == (self.ws is None):
            raise ValueError("give either `seed` or `ws`")
        return self


class Keyframe(LatentSource, TransformFields):
    """A latent and how its picture is turned and moved."""
