"""What is said of models and of the gateway itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE_DIGEST = "5c54a9ee1d2e51ee2a5a7b4a3f7ca3a8f24a3b4b1d0b5a9d31c3e9d8f6c20e11"


class ImportedFrom(BaseModel):
    """A checkpoint that `gantrain import` read."""

    model_config = ConfigDict(extra="allow")

    format: str = Field(description="Of its layout.", examples=["nvidia-stylegan3"])
    file: str = Field(description="Its name.", examples=["stylegan3-r-afhqv2-512x512.pkl"])
    sha256: str = Field(description="Of the file.")
    part: str | None = Field(None, description="Which of its networks.", examples=["G_ema"])


class ModelCard(BaseModel):
    """What is known about a model; besides these, everything its Triton card says."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["terrain"])
    kind: Literal["generator", "translator", "upscaler"]
    version: str = Field(examples=["1"])
    digest: str = Field(description="Identifies the weights.", examples=[EXAMPLE_DIGEST])
    state: Literal["READY", "CHECKING", "REFUSED", "FAILING"] = Field(
        description="READY takes traffic; REFUSED does not make the pixels its card says, FAILING fails.",
        examples=["READY"],
    )
    reason: str | None = Field(None, description="Why it takes no traffic.")
    family: str | None = Field(None, examples=["stylegan"])
    resolution: int | None = Field(None, examples=[64])
    c_dim: int | None = Field(
        None, description="Classes of a conditional generator, which needs a `label`, from 0 on or by name."
    )
    transforms: list[Literal["rotation", "translation"]] | None = Field(
        None, description="What of a generator's picture can be asked for, besides its styles."
    )
    licence: str | None = Field(
        None, description="Of the weights: an SPDX identifier, or what they say.", examples=["Apache-2.0"]
    )
    licence_url: str | None = Field(None, description="Where it stands.")
    commercial_use: bool | None = Field(
        None, description="Whether the licence allows it; null, or left out, if that is not known."
    )
    notice: str | None = Field(
        None, description="What users have to know, in a sentence: that commercial use is not allowed."
    )
    imported_from: ImportedFrom | None = Field(
        None, description="The file that the weights come from, if they were trained by others."
    )


class UnloadedModel(BaseModel):
    """A model that was unloaded."""

    name: str = Field(examples=["terrain"])
    state: Literal["UNLOADED"]


class ModelList(BaseModel):
    """All models that Triton has ready."""

    data: list[ModelCard]


class HealthStatus(BaseModel):
    """The gateway's own state."""

    status: str = Field(examples=["ok"])
    unavailable: dict[str, str] | None = Field(
        None, description="Models that take no traffic, and why; absent if there are none."
    )
