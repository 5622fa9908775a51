"""Problems as clients read them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
