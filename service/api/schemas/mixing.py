"""Bodies of the calls that combine latents: interpolation, style mixing, arithmetic on styles."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, model_validator

from service.api.schemas.latents import (
    MODEL,
    NOISE,
    QUALITY,
    Keyframe,
    LatentFields,
    LatentSource,
    Noise,
    PictureFields,
    Quality,
    Seed,
)
from service.latents import Easing

_SOURCE = "a seed, or an object with `seed` or `ws` and, if they differ, truncation, label and edits"
_KEYFRAME = f"{_SOURCE}, and how the picture is turned and moved there, `rotation` and `translation`"
_EASING = "`linear`, `ease-in`, `ease-out` or `ease-in-out`: how fast each segment is passed through"
_SPACE = "`w`: straight between styles, or `z`: along the arc between latents"
_LOOP = "true to return to the first keyframe, without showing it twice"
_LAYERS = "`coarse`, `middle`, `fine`, or a list of layers and groups: what is taken from the other latent"

SLOWEST: Final = 1
FASTEST: Final = 60
"""Frames a second that an animation may have."""

SourceOrSeed = Seed | LatentSource
Sources = Annotated[list[SourceOrSeed], Field(fail_fast=True)]
Keyframes = Annotated[list[Seed | Keyframe], Field(fail_fast=True)]
Layers = (
    Literal["coarse", "middle", "fine"]
    | Annotated[list[Literal["coarse", "middle", "fine"] | Annotated[int, Field(ge=0)]], Field(min_length=1)]
)
FrameFormat = Literal["png", "jpeg", "webp"]


class InterpolateRequest(PictureFields):
    """A path through the latents of a generator, as an animation."""

    model: str = Field(min_length=1, max_length=64, description=MODEL, examples=["terrain"])
    keyframes: Keyframes = Field(
        min_length=2, max_length=1000, description=f"what the path leads through: {_KEYFRAME}"
    )
    frames: int = Field(60, ge=2, description="an integer of at least 2: frames of the whole animation")
    space: Literal["w", "z"] = Field("w", description=_SPACE)
    easing: Easing = Field("linear", description=_EASING)
    loop: bool = Field(False, description=_LOOP)
    fps: float = Field(
        24.0,
        ge=SLOWEST,
        le=FASTEST,
        allow_inf_nan=False,
        description="a number from 1 to 60: frames a second",
    )
    noise: Noise = Field("const", description=NOISE)
    format: Literal["webp", "gif", "apng", "mp4", "zip", "sheet"] | None = Field(
        None,
        description="`webp`, `gif`, `apng`, `mp4`, `zip` or `sheet` (a filmstrip); left to `Accept`, and "
        "then webp, if left out",
    )
    frame_format: FrameFormat = Field(
        "png", description="`png`, `jpeg` or `webp`: of the single frames in events, zip and sheet"
    )
    quality: Quality | None = Field(
        None, description="an integer from 1 to 100, for webp, mp4 and jpeg; webp without it is lossless"
    )
    sign: bool = Field(
        False, description="true for files with a C2PA manifest, signed with the operator's certificate"
    )


class StyleMixRequest(PictureFields):
    """A grid of style mixing: rows give the structure, columns the chosen layers."""

    model: str = Field(min_length=1, max_length=64, description=MODEL, examples=["terrain"])
    rows: Sources = Field(min_length=1, max_length=1000, description=f"whose structure is kept: {_SOURCE}")
    columns: Sources = Field(min_length=1, max_length=1000, description=f"whose layers are taken: {_SOURCE}")
    layers: Layers = Field("fine", description=_LAYERS)
    noise: Noise = Field("const", description=NOISE)
    headers: bool = Field(True, description="false to leave out the unmixed images above and beside the grid")
    captions: bool = Field(False, description="true to write seeds under the images of the grid")
    format: FrameFormat | None = Field(
        None, description="`png`, `jpeg` or `webp`; left to `Accept`, and then png, if left out"
    )
    quality: Quality | None = Field(None, description=QUALITY)
    sign: bool = Field(
        False, description="true for files with a C2PA manifest, signed with the operator's certificate"
    )


class LatentsRequest(LatentFields):
    """Arithmetic on styles, without images."""

    model: str = Field(min_length=1, max_length=64, description=MODEL, examples=["terrain"])
    operation: Literal["map", "average", "mix", "walk"] = Field(
        "map",
        description="`map` (each latent's styles), `average` (their weighted mean), `mix` (the first with "
        "layers of the second) or `walk` (a path through them)",
    )
    latents: Sources = Field(min_length=1, max_length=1000, description=f"one or more: {_SOURCE}")
    weights: list[Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]] | None = Field(
        None, description="for `average`: a number from -1000 to 1000 for each latent; equal ones if left out"
    )
    layers: Layers | None = Field(None, description=f"for `mix`: {_LAYERS}")
    steps: int | None = Field(None, ge=2, description="for `walk`: an integer of at least 2")
    space: Literal["w", "z"] = Field("w", description=f"for `walk`: {_SPACE}")
    easing: Easing = Field("linear", description=f"for `walk`: {_EASING}")
    loop: bool = Field(False, description=f"for `walk`: {_LOOP}")

    @model_validator(mode="after")
    def _fields_of_the_operation(self) -> LatentsRequest:
        needed = {"mix": "layers", "walk": "steps"}.get(self.operation)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"`{self.operation}` needs `{needed}`")
        for field, operation in (("weights", "average"), ("layers", "mix"), ("steps", "walk")):
            if getattr(self, field) is not None and operation != self.operation:
                raise ValueError(f"`{field}` goes with `{operation}`, not with `{self.operation}`")
        if self.operation == "mix" and len(self.latents) != 2:
            raise ValueError("`mix` takes two latents")
        if self.operation == "walk" and len(self.latents) < 2:
            raise ValueError("`walk` needs two latents or more")
        if self.weights is not None and len(self.weights) != len(self.latents):
            raise ValueError("`average` takes as many weights as latents")
        if self.weights is not None and abs(sum(self.weights)) < 1e-6:
            raise ValueError("the weights add up to zero")
        return self


class Styles(BaseModel):
    """One latent's styles."""

    ws: str = Field(description="Base64 of num_ws × w_dim little-endian float32 values, layer by layer.")
    seed: int | None = Field(None, description="For `map` of a seed.", examples=[42])


class LatentsResponse(BaseModel):
    """Styles, to be given back as `ws`."""

    model: str = Field(examples=["terrain"])
    model_digest: str
    ws_shape: list[int] = Field(description="[num_ws, w_dim].", examples=[[10, 128]])
    data: list[Styles]
