"""What is said of models and of the gateway itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE_DIGEST = "5c54a9ee1d2e51ee2a5a7b4a3f7ca3a8f24a3b4b1d0b5a9d31c3e9d8f6c20e11"


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
