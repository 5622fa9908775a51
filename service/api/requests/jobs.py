"""A batch job as a client wants it, checked against models, storage and limits before anything is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import Request

from service.api.context import Services, services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.schemas.jobs import JobInput, JobRequest, SeedRange
from service.api.schemas.uploads import SuperResolutionRequest
from service.cards import ServedModel, Upscaler
from service.jobs.allowed import NotAllowedError, allowed_area
from service.jobs.naming import DEFAULT_PATTERNS, PatternError, check_pattern
from service.jobs.operations import JobOperation, check_operation, read_operation
from service.jobs.records import JobSpec, NewItem, PrefixSource, Seed, SeedSource, Source
from service.jobs.storage import StorageError, StorageUrlError
from service.jobs.webhook_secrets import checked_webhook_secret
from service.jobs.webhook_targets import WebhookRefusedError, check_webhook_url
from service.settings import Settings
from service.telemetry.records import record_of

log = structlog.get_logger(__name__)

_URLS: Final = "`s3://BUCKET/PREFIX` or `file:///FOLDER`"
_RETRY_STORAGE: Final = "5"
_WEBHOOK_SECONDS: Final = 5.0
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")


@dataclass(frozen=True)
class PlannedJob:
    """A job that may be made.

    Attributes:
        body: What was asked for.
        spec: What is recorded of it, but for archives that are sent along.
        items: Seeds that were listed one by one.
        webhook_secret: Signs what its webhook is told; None for the operator's.
    """

    body: JobRequest
    spec: JobSpec
    items: Sequence[NewItem]
    webhook_secret: str | None


async def planned_job(request: Request, body: JobRequest, *, with_files: bool) -> PlannedJob:
    """Checks a job.

    Args:
        request: For the services, and its record.
        body: What is asked for.
        with_files: Whether files are sent along, or may still be.

    Returns:
        The job.

    Raises:
        ProblemError: If its items would be refused one by one, if it has none, or if it names places that
            the operator does not allow.
    """
    services = services_of(request)
    operation = read_operation(body.operation, body.model, body.parameters, body.pin_digest)
    model = check_operation(services, operation)
    record_of(request.scope).model = model.name
    _check_sources(body, with_files, services.settings.max_job_items)
    sources: list[Source] = [
        await _source(services.settings, index, given) for index, given in enumerate(body.inputs)
    ]
    items: list[NewItem] = []
    if isinstance(body.seeds, SeedRange):
        sources.append(SeedSource(first=body.seeds.first, count=body.seeds.count))
    elif body.seeds is not None:
        items = [NewItem(str(seed), Seed(seed=seed)) for seed in body.seeds]
    if body.destination is not None:
        await _check_place(body.destination, services.settings, "destination")
    secret = await _checked_webhook(services, body)
    names = _names(operation, model)
    spec = JobSpec(
        operation=body.operation,
        model=model.name,
        parameters=operation.parameters_json(),
        naming=_checked_naming(body, operation, names),
        names=names,
        sources=tuple(sources),
        destination=body.destination,
        pin_digest=body.pin_digest,
        webhook=None if body.webhook is None else body.webhook.url,
        metadata=body.metadata,
    )
    return PlannedJob(body, spec, items, secret)


def idempotency_key_of(request: Request) -> str | None:
    """The key by which a client tells that two requests are the same.

    Args:
        request: Any.

    Returns:
        The header `Idempotency-Key`, or None if there is none.

    Raises:
        ProblemError: If there are several, or it is not 1 to 255 characters of ASCII.
    """
    found = request.headers.getlist("idempotency-key")
    if not found:
        return None
    if len(found) > 1 or not _IDEMPOTENCY_KEY.fullmatch(found[0]):
        raise invalid_field(
            "Idempotency-Key", "this is no key", "one key of 1 to 255 visible characters of ASCII"
        )
    return found[0]


def artifacts_problem(error: StorageError) -> ProblemError:
    """The problem of storage that the client did not choose; it is to blame for nothing.

    Args:
        error: What happened.

    Returns:
        The exception to raise.
    """
    log.error("storage of jobs fails", reason=error.reason, kind=error.kind)
    return ProblemError("storage-unavailable", error.reason, headers={"retry-after": _RETRY_STORAGE})


def _place_problem(error: StorageError, field: str) -> ProblemError:
    """The problem of storage that the client named."""
    if error.retryable:
        retry = {"retry-after": _RETRY_STORAGE}
        return ProblemError("storage-unavailable", error.reason, headers=retry, field=field)
    return ProblemError("storage-refused", error.reason, field=field)


def _check_sources(body: JobRequest, with_files: bool, limit: int) -> None:
    if body.operation == "generate":
        if body.seeds is None:
            raise invalid_field("seeds", "Field required", "seeds to generate images from")
        if body.inputs:
            raise invalid_field("inputs", "generation reads no images", "no inputs with generate")
        count = body.seeds.count if isinstance(body.seeds, SeedRange) else len(body.seeds)
        if count > limit:
            raise ProblemError(
                "too-many-items",
                f"{count} seeds were asked for; a job has at most {limit} items.",
                field="seeds",
                limit_items=limit,
            )
    elif body.seeds is not None:
        raise invalid_field("seeds", f"{body.operation} reads images", "no seeds but with generate")
    elif not (body.inputs or with_files):
        raise invalid_field(
            "inputs", "the job has nothing to work on", "files in a multipart body, or a prefix on storage"
        )


async def _source(settings: Settings, index: int, given: JobInput) -> PrefixSource:
    await _check_place(given.prefix, settings, f"inputs.{index}.prefix")
    return PrefixSource(url=given.prefix, pattern=given.pattern)


async def _check_place(url: str, settings: Settings, field: str) -> None:
    allowed = settings.job_outputs if field == "destination" else settings.job_inputs
    try:
        await allowed_area(url, allowed, settings.storage_timeout_seconds)
    except StorageUrlError as error:
        raise invalid_field(field, str(error), _URLS) from None
    except NotAllowedError as error:
        raise ProblemError(
            "location-not-allowed",
            f"{field}: the URL {error.reason}.",
            field=field,
            accepted=list(allowed),
        ) from None
    except StorageError as error:
        raise _place_problem(error, field) from None


def _names(operation: JobOperation, model: ServedModel) -> dict[str, str | int]:
    """What names of outputs are made of, besides what is each item's own."""
    names: dict[str, str | int] = {"ext": operation.extension, "model": model.name}
    if isinstance(operation.parameters, SuperResolutionRequest) and isinstance(model, Upscaler):
        scale = operation.parameters.scale or float(model.scale)
        names["scale"] = int(scale) if scale == int(scale) else f"{scale:g}"
    return names


def _checked_naming(body: JobRequest, operation: JobOperation, names: Mapping[str, str | int]) -> str:
    own = ("seed",) if body.operation == "generate" else ("path", "stem")
    pattern = DEFAULT_PATTERNS[body.operation] if body.naming is None else body.naming
    try:
        check_pattern(pattern, ("n", *names, *own), operation.extension)
        # A width is for whole numbers, and whether the scale is one only this job knows.
        pattern.format_map({"n": 0, "seed": 0, "path": "", "stem": "", **names})
    except PatternError as error:
        raise invalid_field("naming", str(error), "text with fields in braces") from None
    except ValueError:
        raise invalid_field("naming", "the scale is no whole number", "{scale} without a width") from None
    return pattern


async def _checked_webhook(services: Services, body: JobRequest) -> str | None:
    if body.webhook is None:
        return None
    policy, secret = services.webhook_policy, body.webhook.secret
    if secret is not None:
        try:
            checked_webhook_secret(secret)
        except ValueError as error:
            raise invalid_field("webhook.secret", str(error), "whsec_ and 24 to 64 bytes in base64") from None
    elif policy.secret is None:
        raise invalid_field(
            "webhook.secret", "Field required", "a secret; the operator has none for those who bring none"
        )
    try:
        await asyncio.wait_for(check_webhook_url(body.webhook.url, policy), _WEBHOOK_SECONDS)
    except WebhookRefusedError as error:
        detail = error.detail
    except asyncio.TimeoutError:
        detail = "its host could not be looked up in time"
    else:
        return secret
    raise invalid_field("webhook.url", detail, "an https URL at a public address, or one that is allowed")
