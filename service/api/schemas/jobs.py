"""What a batch job is asked to do, strictly, and what is told of jobs and their items."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.api.schemas.generate import Digest
from service.api.schemas.latents import STRICT, InDigits, Seed
from service.api.schemas.models import EXAMPLE_DIGEST
from service.latents import MAX_SEED

Operation = Literal["super-resolution", "translate", "generate"]
Priority = Literal["high", "normal", "low"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]

EXAMPLE_JOB: Final = "job_0193526e8a3f9c51d07be2a4f618"
MAX_LISTED_SEEDS: Final = 10_000

_Url = Annotated[str, Field(min_length=8, max_length=2000)]


class JobInput(BaseModel):
    """Everything below a prefix on storage."""

    model_config = STRICT

    prefix: _Url = Field(
        description="URL below one that the operator allows as an input, such as `s3://bucket/photos/`",
        examples=["s3://bucket/photos/"],
    )
    pattern: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="only names below it that match this shell pattern, such as `*.jpg`, in which `*` matches"
        " slashes too; every file with the suffix of an image if left out",
    )


class SeedRange(BaseModel):
    """Consecutive seeds."""

    model_config = STRICT

    first: Seed = Field(description="the first seed", examples=[0])
    count: int = Field(ge=1, le=MAX_SEED + 1, description="how many", examples=[1000])

    @model_validator(mode="after")
    def _ends_in_time(self) -> SeedRange:
        if self.first + self.count - 1 > MAX_SEED:
            raise ValueError(f"`first` + `count` - 1 is beyond {MAX_SEED}")
        return self


class JobWebhook(BaseModel):
    """Who is told when the job has ended."""

    model_config = STRICT

    url: _Url = Field(
        description="an https URL at a public address; the operator can allow others",
        examples=["https://example.com/hooks/ganserve"],
    )
    secret: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="signs what is sent, as Standard Webhooks says: `whsec_` and 24 to 64 bytes in base64;"
        " the operator's secret if left out",
    )


_Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64)],
        Annotated[str, Field(max_length=512)],
    ],
    Field(max_length=16),
]


class JobRequest(BaseModel):
    """A batch job: one operation with one model on any number of files or seeds.

    Files come as parts of a multipart body, or are read from storage (`inputs`); seeds are for generation.
    """

    model_config = STRICT

    operation: Operation = Field(
        description="`super-resolution`, `translate` or `generate`: what is done with each item",
        examples=["super-resolution"],
    )
    model: str = Field(
        min_length=1,
        max_length=64,
        description="name of a model listed by /v1/models that does this",
        examples=["photo-x4"],
    )
    parameters: Annotated[dict[str, Any], Field(max_length=64)] = Field(
        default_factory=dict,
        description="as in the body of the operation's own endpoint (`format` and `quality` among them), but"
        " for the model, and the image or the seeds",
        examples=[{"scale": 2, "format": "webp"}],
    )
    inputs: list[JobInput] = Field(
        default_factory=list,
        max_length=100,
        description="prefixes on storage whose files are worked on, after those that are sent along",
    )
    seeds: SeedRange | Annotated[list[Seed], Field(fail_fast=True)] | None = Field(
        None,
        description="for `generate` alone: a run of seeds (`first`, `count`), or a list of up to"
        f" {MAX_LISTED_SEEDS} integers from 0 to {MAX_SEED}",
    )
    naming: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="pattern of the outputs' names: text with `{path}`, `{stem}`, `{ext}`, `{n}`, `{model}`,"
        " `{scale}`, `{seed}`, and numbers with a width, as in `{n:06}`",
        examples=["{path}/{stem}-x2.{ext}"],
    )
    destination: _Url | None = Field(
        None,
        description="URL below one that the operator allows as an output: outputs are written below it, over"
        " what has the same name; they are kept with the job, and as long, if left out",
        examples=["s3://bucket/enlarged/"],
    )
    priority: Priority = Field("normal", description="`high`, `normal` or `low`: among jobs that wait")
    webhook: JobWebhook | None = Field(None, description="an object with the `url` that is told of the end")
    pin_digest: Digest | None = Field(
        None,
        description="the model's digest: items are made with that model alone, and fail once it is another",
    )
    metadata: _Metadata = Field(
        default_factory=dict,
        description="up to 16 texts by name, at most 512 characters each, that come back with the job",
    )

    @model_validator(mode="after")
    def _not_too_many_seeds(self) -> JobRequest:
        if isinstance(self.seeds, list) and not 1 <= len(self.seeds) <= MAX_LISTED_SEEDS:
            raise ValueError(f"`seeds` is a run, or a list of 1 to {MAX_LISTED_SEEDS}")
        return self


class JobUpload(BaseModel):
    """The parts of a multipart body: the job first, then files and archives in any number and order."""

    model_config = ConfigDict(
        json_schema_extra={
            "properties": {
                "job": {"$ref": "#/components/schemas/JobRequest"},
                "files": {
                    "type": "array",
                    "items": {"type": "string", "format": "binary"},
                    "description": "image files; `filename` names the item, with folders if there are any",
                },
                "zip": {
                    "type": "array",
                    "items": {"type": "string", "format": "binary"},
                    "description": "zip archives, of which every image file becomes an item",
                },
            },
            "required": ["job"],
        }
    )


class JobCounts(BaseModel):
    """Items by state; `total` grows until the job is `listed`."""

    total: int = Field(examples=[1000])
    queued: int = Field(examples=[700])
    running: int = Field(examples=[4])
    succeeded: int = Field(examples=[295])
    failed: int = Field(examples=[1])
    cancelled: int = Field(examples=[0])


class JobLinks(BaseModel):
    """Paths of this gateway."""

    self: str = Field(examples=[f"/v1/jobs/{EXAMPLE_JOB}"])
    items: str = Field(examples=[f"/v1/jobs/{EXAMPLE_JOB}/items"])
    events: str = Field(examples=[f"/v1/jobs/{EXAMPLE_JOB}/events"])
    archive: str = Field(examples=[f"/v1/jobs/{EXAMPLE_JOB}/archive"])


class Webhook(BaseModel):
    """Who is told of the end; the secret is told to nobody."""

    url: str = Field(examples=["https://example.com/hooks/ganserve"])


_TIME: Final = "2026-11-22T08:15:02.120Z"


class JobResource(BaseModel):
    """A job as it is now."""

    id: str = Field(examples=[EXAMPLE_JOB])
    object: Literal["job"]
    operation: Operation
    model: str = Field(examples=["photo-x4"])
    parameters: dict[str, Any] = Field(examples=[{"scale": 2}])
    inputs: list[JobInput] | None = Field(None, description="Prefixes that are worked on, if there are any.")
    seeds: SeedRange | None = Field(
        None, description="The run of seeds, if there is one; listed seeds are the names of the items."
    )
    naming: str = Field(examples=["{path}/{stem}.{ext}"])
    destination: str | None = Field(description="Where outputs are; null if they are kept with the job.")
    priority: Priority
    state: State = Field(
        description="`succeeded` if anything did, whatever failed besides; see `counts`.",
        examples=["running"],
    )
    cancelling: bool = Field(description="Cancellation was asked for; what runs is being stopped.")
    listed: bool = Field(description="Whether all sources have become items.")
    counts: JobCounts
    revision: int = Field(description="Grows with every change of the job or an item.", examples=[312])
    round: int = Field(description="How often failed items were tried anew.", examples=[0])
    created_at: str = Field(examples=[_TIME])
    started_at: str | None = Field(examples=[_TIME])
    ended_at: str | None = Field(examples=[None])
    expires_at: str | None = Field(description="When job and files are deleted.", examples=[None])
    pin_digest: str | None = Field(examples=[None])
    webhook: Webhook | None
    metadata: dict[str, str] = Field(examples=[{"album": "2026"}])
    idempotency_key: str | None = Field(examples=["album-2026"])
    owner: str | None = Field(None, description="Name of the API key; told to the scope admin alone.")
    problem: dict[str, Any] | None = Field(description="Why the job as a whole failed.")
    links: JobLinks


class JobList(BaseModel):
    """Jobs, the newest first."""

    data: list[JobResource]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class OutputResource(BaseModel):
    """What became of an item."""

    name: str = Field(examples=["2026/lake.webp"])
    href: str = Field(examples=[f"/v1/jobs/{EXAMPLE_JOB}/items/17/output"])
    url: str | None = Field(description="On storage, if the job has a destination.")
    size: int = Field(description="In bytes.", examples=[81_532])
    media_type: str = Field(examples=["image/webp"])
    width: int = Field(examples=[1024])
    height: int = Field(examples=[768])
    pixels_sha256: str = Field(description="As in the header of the interactive answer.")
    model_digest: str = Field(examples=[EXAMPLE_DIGEST])


class ItemResource(BaseModel):
    """An item as it is now."""

    n: int = Field(description="From 0.", examples=[17])
    name: str = Field(description="As it was sent or found; the seed, for generation.", examples=["lake.jpg"])
    state: State
    attempts: int = Field(examples=[1])
    output: OutputResource | None
    problem: dict[str, Any] | None = Field(description="Why it failed, as a problem.")
    timings: dict[str, float] = Field(
        description="Seconds by stage.", examples=[{"read": 0.002, "queue": 0.01, "infer": 0.4}]
    )
    started_at: str | None = Field(description="When the last attempt began.", examples=[_TIME])
    ended_at: str | None = Field(examples=[_TIME])


class ItemList(BaseModel):
    """Items by number."""

    data: list[ItemResource]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


_STATES: Final = "queued|running|succeeded|failed|cancelled"


class _ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    state: str | None = Field(
        None,
        pattern=rf"^({_STATES})(,({_STATES}))*$",
        description="only in these states, separated by commas: `queued`, `running`, `succeeded`, `failed`,"
        " `cancelled`",
        examples=["failed"],
    )
    limit: Annotated[int, InDigits] = Field(100, ge=1, le=1000, description="an integer from 1 to 1000")
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before")

    def states(self) -> list[str]:
        """The states that are asked for; none for all."""
        return [] if self.state is None else self.state.split(",")


class JobsQuery(_ListQuery):
    """Query of the list of jobs."""

    operation: Operation | None = Field(
        None, description="only of this operation: `super-resolution`, `translate` or `generate`"
    )
    idempotency_key: str | None = Field(
        None,
        pattern=r"^[\x20-\x7e]{1,255}$",
        description="only the one that was made with this key, 1 to 255 characters of ASCII",
    )
    owner: str | None = Field(
        None,
        pattern=r"^[^\x00]{1,200}$",
        description="only those made with the API key of this name; of others with the scope admin alone",
    )


class ItemsQuery(_ListQuery):
    """Query of the list of items."""

    first: Annotated[int, InDigits] = Field(
        0, ge=0, le=1 << 53, description="an integer from 0: no item with a smaller number"
    )


class CancelQuery(BaseModel):
    """Query of the call that cancels or deletes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purge: bool = Field(False, description="true to delete a job that has ended, with its files")


class EventsQuery(BaseModel):
    """Query of the stream of events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: bool = Field(True, description="false to be told of the job alone, not of its items")
    last_event_id: str | None = Field(
        None,
        max_length=40,
        description="as the header `Last-Event-ID`, for those who cannot send it: `id` of an event, or 0",
    )
