"""What a call for images is asked, strictly (what is not understood is refused), and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.api.schemas.latents import (
    CUTOFF,
    LABEL,
    MODEL,
    NOISE,
    QUALITY,
    ROTATION,
    TRUNCATION,
    WS,
    InDigits,
    Noise,
    PictureFields,
    Quality,
    Rotation,
    Seed,
    Truncation,
    WsValue,
)
from service.api.schemas.models import EXAMPLE_DIGEST
from service.latents import MAX_SEED

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class GenerateRequest(PictureFields):
    """Which images to make: `seeds`, `seed` and `n` for a run of consecutive ones, or `ws`."""

    model: str = Field(min_length=1, max_length=64, description=MODEL, examples=["terrain"])
    # Fails fast: a megabyte of wrong seeds would otherwise cost a second of error messages.
    seeds: Annotated[list[Seed], Field(fail_fast=True)] | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="a list of integers from 0 to 4294967295, one image each",
    )
    seed: Seed | None = Field(None, description="an integer from 0 to 4294967295, instead of `seeds`")
    n: int | None = Field(
        None, ge=1, description="an integer of at least 1, with `seed`: images of seed, seed+1, …"
    )
    ws: str | Annotated[list[WsValue], Field(min_length=1, max_length=10_000, fail_fast=True)] | None = Field(
        None, description=f"{WS}; one, or a list of them"
    )
    noise: Noise = Field("const", description=NOISE)
    format: Literal["png", "jpeg", "webp"] | None = Field(
        None, description="`png`, `jpeg` or `webp`; left to `Accept`, and then png, if left out"
    )
    quality: Quality | None = Field(None, description=QUALITY)
    captions: bool = Field(
        False, description="true to write each image's seed (and label) under it on a contact sheet"
    )
    return_ws: bool = Field(
        False, description="true to return each image's styles as well, in JSON and zip answers"
    )
    sign: bool = Field(
        False, description="true for files with a C2PA manifest, signed with the operator's certificate"
    )

    @model_validator(mode="after")
    def _one_way_to_name_seeds(self) -> GenerateRequest:
        if sum(given is not None for given in (self.seeds, self.seed, self.ws)) != 1:
            raise ValueError("give either `seeds`, or `seed` with or without `n`, or `ws`")
        if self.n is not None and self.seed is None:
            raise ValueError("`n` goes with `seed`, not with `seeds`")
        if self.seed is not None and self.seed + (self.n or 1) - 1 > MAX_SEED:
            raise ValueError(f"`seed` + `n` - 1 is beyond {MAX_SEED}")
        return self

    def count(self) -> int:
        """How many images are asked for."""
        if self.ws is not None:
            return 1 if isinstance(self.ws, str) else len(self.ws)
        return len(self.seeds) if self.seeds is not None else self.n or 1

    def all_ws(self) -> list[WsValue] | None:
        """The styles given instead of seeds, if so."""
        return [self.ws] if isinstance(self.ws, str) else self.ws

    def all_seeds(self) -> list[int] | None:
        """The seed of each image, in order; None if there are styles instead."""
        if self.ws is not None:
            return None
        if self.seeds is not None:
            return self.seeds
        first = self.seed or 0
        return list(range(first, first + (self.n or 1)))


class ImageQuery(BaseModel):
    """Query of the cacheable image; the same fields as in `GenerateRequest`, as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncation: Truncation = Field(1.0, description=TRUNCATION)
    truncation_cutoff: Annotated[int, InDigits] | None = Field(None, ge=0, description=CUTOFF)
    noise: Literal["const", "none"] | Annotated[Seed, InDigits] = Field("const", description=NOISE)
    label: str | None = Field(None, max_length=200, description=LABEL)
    quality: Annotated[Quality, InDigits] | None = Field(None, description=QUALITY)
    edits: Annotated[str, Field(max_length=2000)] | None = Field(
        None, description="amounts along the model's directions, such as `direction-01:2.5,direction-03:-1`"
    )
    rotation: Rotation | None = Field(None, description=ROTATION)
    translation: Annotated[str, Field(max_length=100)] | None = Field(
        None,
        description="two numbers from -10 to 10, such as `0.25,-0.1`: how far the picture is moved to the "
        "right and down, as fractions of its side; for models whose card names it in `transforms`",
    )
    digest: Digest | None = Field(
        None, description="the model's digest: pins the model, so that the answer may be cached for ever"
    )


class GeneratedImage(BaseModel):
    """One image of a JSON answer."""

    seed: int | None = Field(None, description="Left out for images made of `ws`.", examples=[42])
    b64_json: str = Field(description="The encoded file in base64.")
    pixels_sha256: str = Field(description="sha256 of the raw RGB bytes, row by row.")
    width: int = Field(examples=[64])
    height: int = Field(examples=[64])
    media_type: str = Field(examples=["image/png"])
    ws: str | None = Field(None, description="With `return_ws`: base64 of little-endian float32 values.")


class GenerateResponse(BaseModel):
    """Images in the order of their seeds."""

    created: int = Field(description="Unix time in seconds.")
    model: str = Field(examples=["terrain"])
    model_digest: str = Field(examples=[EXAMPLE_DIGEST])
    ws_shape: list[int] | None = Field(None, description="With `return_ws`: [num_ws, w_dim].")
    data: list[GeneratedImage]
