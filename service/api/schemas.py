"""Bodies and queries of the HTTP contract, strict: what is not understood is refused, not ignored."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.latents import MAX_SEED

_DIGITS = re.compile(r"0|[1-9][0-9]*")


def _in_digits(text: Any) -> Any:
    """Refuses `007`, `+7`, `7.0` and `7_0` in a URL: one image has one address, or caches keep several."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise ValueError("Input should be an integer in plain digits")
    return text


InDigits = BeforeValidator(_in_digits)
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Truncation = Annotated[float, Field(ge=-2.0, le=2.0, allow_inf_nan=False)]
Quality = Annotated[int, Field(ge=1, le=100)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_LONGEST_LABEL = 200

_MODEL = "name of a generator listed by /v1/models"
_TRUNCATION = "a number from -2 to 2: how far from the average image; 1 leaves the model as trained"
_CUTOFF = "an integer from 0 to the model's num_ws: only so many first layers are truncated; all if left out"
_NOISE = "`const` (the model's own), `none`, or an integer from 0 to 4294967295 that seeds fresh noise"
_LABEL = "index or name of one of the model's classes"
_QUALITY = "an integer from 1 to 100, for jpeg and webp; webp without it is lossless"

EXAMPLE_DIGEST = "5c54a9ee1d2e51ee2a5a7b4a3f7ca3a8f24a3b4b1d0b5a9d31c3e9d8f6c20e11"


class GenerateRequest(BaseModel):
    """Which images to make: `seeds`, or `seed` and `n` for a run of consecutive ones."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: str = Field(min_length=1, max_length=64, description=_MODEL, examples=["terrain"])
    # Fails fast: a megabyte of wrong seeds would otherwise cost a second of error messages.
    seeds: Annotated[list[Seed], Field(fail_fast=True)] | None = Field(
        None, min_length=1, description="a list of integers from 0 to 4294967295, one image each"
    )
    seed: Seed | None = Field(None, description="an integer from 0 to 4294967295, instead of `seeds`")
    n: int | None = Field(
        None, ge=1, description="an integer of at least 1, with `seed`: images of seed, seed+1, …"
    )
    truncation: Truncation = Field(1.0, description=_TRUNCATION)
    truncation_cutoff: int | None = Field(None, ge=0, description=_CUTOFF)
    noise: Literal["const", "none"] | Seed = Field("const", description=_NOISE)
    label: Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=_LONGEST_LABEL)] | None = Field(
        None, description=_LABEL
    )
    format: Literal["png", "jpeg", "webp"] | None = Field(
        None, description="`png`, `jpeg` or `webp`; left to `Accept`, and then png, if left out"
    )
    quality: Quality | None = Field(None, description=_QUALITY)

    @model_validator(mode="after")
    def _one_way_to_name_seeds(self) -> GenerateRequest:
        if (self.seeds is None) == (self.seed is None):
            raise ValueError("give either `seeds`, or `seed` with or without `n`")
        if self.n is not None and self.seed is None:
            raise ValueError("`n` goes with `seed`, not with `seeds`")
        if self.seed is not None and self.seed + (self.n or 1) - 1 > MAX_SEED:
            raise ValueError(f"`seed` + `n` - 1 is beyond {MAX_SEED}")
        return self

    def count(self) -> int:
        """How many images are asked for."""
        return len(self.seeds) if self.seeds is not None else self.n or 1

    def all_seeds(self) -> list[int]:
        """The seed of each image, in order."""
        if self.seeds is not None:
            return self.seeds
        first = self.seed or 0
        return list(range(first, first + (self.n or 1)))


class ImageQuery(BaseModel):
    """Query of the cacheable image; the same fields as in `GenerateRequest`, as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncation: Truncation = Field(1.0, description=_TRUNCATION)
    truncation_cutoff: Annotated[int, InDigits] | None = Field(None, ge=0, description=_CUTOFF)
    noise: Literal["const", "none"] | Annotated[Seed, InDigits] = Field("const", description=_NOISE)
    label: str | None = Field(None, max_length=_LONGEST_LABEL, description=_LABEL)
    quality: Annotated[Quality, InDigits] | None = Field(None, description=_QUALITY)
    digest: Digest | None = Field(
        None, description="the model's digest: pins the model, so that the answer may be cached for ever"
    )


class GeneratedImage(BaseModel):
    """One image of a JSON answer."""

    seed: int = Field(examples=[42])
    b64_json: str = Field(description="The encoded file in base64.")
    pixels_sha256: str = Field(description="sha256 of the raw RGB bytes, row by row.")
    width: int = Field(examples=[64])
    height: int = Field(examples=[64])
    media_type: str = Field(examples=["image/png"])


class GenerateResponse(BaseModel):
    """Images in the order of their seeds."""

    created: int = Field(description="Unix time in seconds.")
    model: str = Field(examples=["terrain"])
    model_digest: str = Field(examples=[EXAMPLE_DIGEST])
    data: list[GeneratedImage]


class ModelCard(BaseModel):
    """What is known about a model; besides these, everything its Triton card says."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["terrain"])
    kind: Literal["generator", "translator", "upscaler"]
    version: str = Field(examples=["1"])
    digest: str = Field(description="Identifies the weights.", examples=[EXAMPLE_DIGEST])
    state: str = Field(examples=["READY"])
    family: str | None = Field(None, examples=["stylegan"])
    resolution: int | None = Field(None, examples=[64])


class ModelList(BaseModel):
    """All models served now."""

    data: list[ModelCard]


class HealthStatus(BaseModel):
    """The gateway's own state."""

    status: str = Field(examples=["ok"])


class FieldError(BaseModel):
    """One field that is not valid."""

    field: str = Field(description="Dotted path of the field.", examples=["seeds.0"])
    detail: str = Field(examples=["Input should be greater than or equal to 0"])
    accepted: Any = Field(description="What would be accepted.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Path that describes this kind of problem.", examples=["/problems/not-found"]
    )
    title: str = Field(examples=["No such path"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["Nothing is served at /v2."])
    instance: str = Field(examples=["/v2"])
    request_id: str = Field(examples=["0f3cde6a4b1f4e0d8a0f5be3e3f0a7d2"])
    errors: list[FieldError] | None = None


class ProblemDescription(BaseModel):
    """What a problem type means."""

    type: str = Field(examples=["/problems/queue-full"])
    title: str
    status: int
    description: str


class ProblemList(BaseModel):
    """Every problem type there is."""

    data: list[ProblemDescription]
