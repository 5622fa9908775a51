"""What a job and its items are, as the API, the workers and the database see them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Operation: TypeAlias = Literal["super-resolution", "translate", "generate"]
Priority: TypeAlias = Literal["high", "normal", "low"]

OPERATIONS: Final[tuple[Operation, ...]] = ("super-resolution", "translate", "generate")


class JobState(str, Enum):
    """Where a job stands; the last three are ends, until failed items are retried."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class ItemState(str, Enum):
    """Where an item stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ZipSource(_Frozen):
    """A zip archive that was sent with the job.

    Attributes:
        object: Its name among the artifacts.
    """

    kind: Literal["zip"] = "zip"
    object: str


class PrefixSource(_Frozen):
    """Everything below a prefix on storage that the operator allowed.

    Attributes:
        url: Such as `s3://bucket/photos/` or `file:///srv/photos/`.
        pattern: Only names that match this shell pattern; None takes all with a suffix of an image file.
    """

    kind: Literal["prefix"] = "prefix"
    url: str
    pattern: str | None = None


class SeedSource(_Frozen):
    """Consecutive seeds of a generator.

    Attributes:
        first: The first seed.
        count: How many.
    """

    kind: Literal["seeds"] = "seeds"
    first: int = Field(ge=0, lt=1 << 32)
    count: int = Field(ge=1, le=1 << 32)


Source = Annotated[ZipSource | PrefixSource | SeedSource, Field(discriminator="kind")]


class JobSpec(_Frozen):
    """What a job was asked to do; written once, when the job is made.

    Attributes:
        operation: What is done with each item.
        model: Public name of the model.
        parameters: As in the body of the operation's own endpoint, without model and image (or seeds).
        naming: Pattern of output names, see `service.jobs.naming`.
        names: Values of the pattern's fields that are the same for all items: `ext`, `model`, `scale`.
        sources: What is turned into items by the first worker, in this order, after the uploaded files.
        destination: URL of the prefix that outputs are written below; None for the job's artifacts.
        pin_digest: Digest of the model that items must be made with; None for the one served at the time.
        webhook: URL that is told of the end.
        metadata: What the client wants back with the job.
    """

    operation: Operation
    model: str
    parameters: dict[str, Any]
    naming: str
    names: dict[str, str | int] = Field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    destination: str | None = None
    pin_digest: str | None = None
    webhook: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)


class UploadedFile(_Frozen):
    """A file that came with the request.

    Attributes:
        kind: Always `upload`.
        object: Its name among the artifacts.
        size: In bytes.
    """

    kind: Literal["upload"] = "upload"
    object: str
    size: int


class ZipEntry(_Frozen):
    """One file within a zip archive, as its central directory says.

    Attributes:
        object: Name of the archive among the artifacts.
        offset: Of the entry's local header.
        compressed_size: In bytes.
        size: Uncompressed, in bytes.
        method: 0 for stored, 8 for deflated.
        crc: CRC-32 of the uncompressed bytes.
    """

    kind: Literal["entry"] = "entry"
    object: str
    offset: int
    compressed_size: int
    size: int
    method: int
    crc: int


class StoredObject(_Frozen):
    """An object below one of the job's prefixes.

    Attributes:
        prefix: URL of the prefix.
        name: Relative to it.
        size: In bytes, when it was listed.
    """

    kind: Literal["object"] = "object"
    prefix: str
    name: str
    size: int


class Seed(_Frozen):
    """An image to be generated."""

    kind: Literal["seed"] = "seed"
    seed: int


ItemSource = Annotated[UploadedFile | ZipEntry | StoredObject | Seed, Field(discriminator="kind")]


@dataclass(frozen=True)
class NewItem:
    """An item before it is in the database.

    Attributes:
        name: What the client calls it: file name, name in the archive, name below the prefix, or the seed.
        source: Where its bytes are.
        problem: Why it has failed already; None if it has not.
    """

    name: str
    source: UploadedFile | ZipEntry | StoredObject | Seed
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class Counts:
    """Items of a job by state; `total` grows while the sources are still being listed."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int

    @property
    def done(self) -> int:
        """Items that nothing more will happen to."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True)
class Job:
    """A job as it is now.

    Attributes:
        key: Number of it in the database.
        id: Public name.
        owner: Name of the API key that made it.
        spec: What was asked for.
        priority: Among jobs.
        state: Where it stands.
        cancelling: Cancellation was asked for; what runs is being stopped.
        listed: Whether all sources have become items.
        counts: Of items.
        revision: Grows with every change of the job or an item.
        round: How often failed items were tried anew.
        chunk_size: How many consecutive items are handed to a worker together; 0 while not decided.
        created_at: Seconds since 1970, as are the other times.
        started_at: When the first worker took it up.
        ended_at: When the last item was done.
        expires_at: When record and artifacts are deleted; None while it has not ended.
        problem: Why the job as a whole failed.
        traceparent: Trace of the request that made it.
        idempotency_key: That the client sent with it.
    """

    key: int
    id: str
    owner: str
    spec: JobSpec
    priority: Priority
    state: JobState
    cancelling: bool
    listed: bool
    counts: Counts
    revision: int
    round: int
    chunk_size: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    expires_at: float | None
    problem: dict[str, Any] | None
    traceparent: str | None
    idempotency_key: str | None


@dataclass(frozen=True)
class Output:
    """What became of an item.

    Attributes:
        size: Of the file, in bytes.
        media_type: Such as `image/png`.
        width: In pixels.
        height: In pixels.
        pixels_sha256: Of the pixels, as in the header of interactive answers.
        model_digest: Of the model that made it.
    """

    size: int
    media_type: str
    width: int
    height: int
    pixels_sha256: str
    model_digest: str


@dataclass(frozen=True)
class Item:
    """An item as it is now.

    Attributes:
        n: Its number within the job, from 0.
        name: What the client calls it.
        source: Where its bytes are.
        state: Where it stands.
        attempts: How often it was begun.
        suspect: It was running when its worker was lost, so it may be what killed it.
        output_name: Name of its output, below the destination or the job's outputs.
        output: What became of it, when it succeeded.
        problem: Why it failed, as problem+json.
        timings: Seconds by stage: read, queue, infer, encode, write.
        started_at: When the last attempt began.
        ended_at: When it was done.
        revision: That of the job when the item last changed.
    """

    n: int
    name: str
    source: UploadedFile | ZipEntry | StoredObject | Seed
    state: ItemState
    attempts: int
    suspect: bool
    output_name: str
    output: Output | None
    problem: dict[str, Any] | None
    timings: dict[str, float]
    started_at: float | None
    ended_at: float | None
    revision: int


@dataclass(frozen=True)
class Finished:
    """The end of one attempt at an item.

    Attributes:
        n: The item.
        attempt: Which one; results of an older one are ignored.
        state: SUCCEEDED, FAILED or CANCELLED, or QUEUED for one that was put back.
        output: If it succeeded.
        problem: If it failed.
        timings: Seconds by stage.
    """

    n: int
    attempt: int
    state: ItemState
    output: Output | None = None
    problem: dict[str, Any] | None = None
    timings: dict[str, float] | None = None


def new_job_id() -> str:
    """A name for a job, which sorts by time.

    Returns:
        `job_`, 12 hexadecimal digits of milliseconds since 1970, and 16 random ones.
    """
    return f"job_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"
