"""Errors as RFC 9457 problem details: one table of types, one exception, one rendering."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of error a client can meet; `slug` never changes its meaning."""

    slug: str
    title: str
    status: int
    description: str

    @property
    def uri(self) -> str:
        """The `type` member: a path that this gateway answers with the description."""
        return f"/problems/{self.slug}"


PROBLEMS: Final[Mapping[str, ProblemType]] = {
    problem.slug: problem
    for problem in (
        ProblemType(
            "malformed-request", "Not an HTTP request", 400, "What arrived cannot be read as HTTP/1.1."
        ),
        ProblemType(
            "unauthenticated",
            "An API key is needed",
            401,
            "No key came with the request, or one that is unknown, revoked or expired. Send it as "
            "`Authorization: Bearer` or `x-api-key`.",
        ),
        ProblemType(
            "forbidden",
            "The API key does not allow this",
            403,
            "`scope` names what the key would need; whoever gave it out can give out another.",
        ),
        ProblemType(
            "cross-origin",
            "Web pages of this origin may not call",
            403,
            "A browser sent the request for a page from elsewhere; GANSERVE_CORS_ORIGINS lists the origins "
            "that may.",
        ),
        ProblemType("not-found", "No such path", 404, "Nothing is served at this path."),
        ProblemType(
            "model-not-found",
            "No such model",
            404,
            "Triton serves no model of that name now; `accepted` lists those it serves.",
        ),
        ProblemType(
            "method-not-allowed",
            "Method not allowed",
            405,
            "The path exists, but not for this method; the `Allow` header names those it answers.",
        ),
        ProblemType(
            "not-acceptable",
            "No representation is acceptable",
            406,
            "`Accept` excludes every media type this call can answer with; `accepted` lists them.",
        ),
        ProblemType(
            "request-timeout",
            "The request did not arrive in time",
            408,
            "Headers or body stopped coming; the connection is closed.",
        ),
        ProblemType(
            "model-load-failed",
            "The model cannot be loaded",
            409,
            "Triton cannot load what is in its repository, or the model does not make the pixels its card "
            "says; `detail` has the reason. What was loaded before serves on where Triton still has it.",
        ),
        ProblemType(
            "digest-mismatch",
            "The model is another one by now",
            409,
            "The request pins a model digest, and the model served under that name has another.",
        ),
        ProblemType(
            "body-too-large", "The request body is too large", 413, "`limit_bytes` says how large it may be."
        ),
        ProblemType(
            "too-many-files",
            "The request has too many files",
            413,
            "`limit_files` says how many one request may bring; a zip archive is one file.",
        ),
        ProblemType(
            "image-too-large",
            "The image has too many pixels",
            413,
            "Its header says so, or decoding needs more than it says; `limit_pixels` says how many are read.",
        ),
        ProblemType(
            "image-too-many-frames",
            "The image file has too many frames",
            413,
            "`limit_frames` says how many frames or pages a file may have, whichever of them is wanted.",
        ),
        ProblemType(
            "image-unsupported",
            "The image is of a kind that is not read",
            415,
            "The format, or this rare variant of it, is not read; `accepted` lists the formats that are.",
        ),
        ProblemType(
            "unsupported-media-type",
            "Unsupported media type",
            415,
            "The body is of a type this call does not read; `accepted` lists those it does.",
        ),
        ProblemType(
            "unknown-host",
            "Not a name of this gateway",
            421,
            "The request's `Host` is none that this gateway answers to; GANSERVE_ALLOWED_HOSTS lists them.",
        ),
        ProblemType(
            "image-unreadable",
            "The image cannot be read",
            422,
            "The file is damaged, ends early, or says one thing about itself and holds another.",
        ),
        ProblemType(
            "image-animated",
            "The image has several frames",
            422,
            "The call takes one picture; `frame` says which of the file's `frames` it is, counted from 0.",
        ),
        ProblemType(
            "frame-out-of-range",
            "The image has no such frame",
            422,
            "`frames` says how many frames or pages the file has; they are counted from 0.",
        ),
        ProblemType(
            "invalid-request",
            "The request is not valid",
            422,
            "A field is missing, unknown or out of range; `errors` names each and what would be accepted.",
        ),
        ProblemType(
            "too-many-images",
            "Too many images asked for in one call",
            422,
            "Ask for fewer, or spread them over several calls; `limit` says how many one call may ask for.",
        ),
        ProblemType(
            "output-too-large",
            "What was asked for has too many pixels",
            422,
            "`limit_pixels` says how many the answer may have; ask for fewer images or a smaller `scale`, or "
            "send less.",
        ),
        ProblemType(
            "image-exceeds-model",
            "The image is larger than the model takes",
            422,
            "The model computes images in one piece; `limit_side` says how long their sides may be.",
        ),
        ProblemType(
            "too-many-frames",
            "Too many frames asked for in one call",
            422,
            "Ask for fewer; `limit` says how many frames one animation may have.",
        ),
        ProblemType(
            "animation-too-large",
            "The animation has too many pixels",
            422,
            "Ask for fewer frames; `limit_pixels` says how many pixels all of them together may have.",
        ),
        ProblemType(
            "wrong-model-kind",
            "The model does not do this",
            422,
            "The call needs a model of another kind; `accepted` lists those that would do.",
        ),
        ProblemType(
            "signing-not-configured",
            "Nothing to sign with",
            422,
            "`sign` asks for a C2PA signature, and the operator has configured no certificate.",
        ),
        ProblemType(
            "rate-limited",
            "Too many calls",
            429,
            "`limit` calls in `window_seconds` seconds are allowed; `Retry-After` says when the next one is.",
        ),
        ProblemType(
            "too-many-concurrent",
            "Too many calls at once",
            429,
            "`limit` calls with this key may be under way at a time; wait until one of them is answered.",
        ),
        ProblemType(
            "head-too-large",
            "Path and headers are too large",
            431,
            "`limit_bytes` says how large they may be.",
        ),
        ProblemType(
            "internal-error", "Internal error", 500, "A fault in the gateway; its log has the details."
        ),
        ProblemType(
            "inference-failed",
            "The model failed",
            502,
            "Triton ran the model and the model failed; the same request will probably fail again.",
        ),
        ProblemType(
            "signing-failed",
            "The file could not be signed",
            502,
            "The operator's certificate has expired, or the timestamp authority does not answer.",
        ),
        ProblemType(
            "queue-full",
            "Too much work is waiting",
            503,
            "The model's queue is full; `Retry-After` is computed from its length and what an image takes.",
        ),
        ProblemType(
            "too-many-connections",
            "Too many connections",
            503,
            "`limit` says how many there may be at a time; this one is closed; `Retry-After` says when to "
            "try again.",
        ),
        ProblemType(
            "triton-unavailable",
            "The inference server is away",
            503,
            "Triton does not answer; the gateway goes on trying and needs no restart.",
        ),
        ProblemType(
            "model-unavailable",
            "The model takes no traffic now",
            503,
            "Triton is changing the model; or it is being checked, fails, or makes other pixels than its "
            "card says. `detail` has the reason, `/v1/models` the state.",
        ),
        ProblemType(
            "rate-limit-unavailable",
            "Calls cannot be counted",
            503,
            "Where calls are counted is away, and the operator chose to let none in uncounted.",
        ),
        ProblemType(
            "not-ready",
            "Not ready",
            503,
            "Triton is away, serves no model yet, or the gateway is shutting down.",
        ),
        ProblemType(
            "shutting-down",
            "The gateway stops",
            503,
            "The call took longer than the gateway waits for work in flight when it stops; send it again.",
        ),
        ProblemType(
            "job-not-found",
            "No such job",
            404,
            "There is no job of that name, its time is over, or it was made with another API key.",
        ),
        ProblemType("item-not-found", "No such item", 404, "The job has no item of that number."),
        ProblemType(
            "output-not-found",
            "No output",
            404,
            "The item has none: it has not succeeded, or its file is not where the worker put it.",
        ),
        ProblemType(
            "idempotency-conflict",
            "The idempotency key belongs to another job",
            409,
            "The same `Idempotency-Key` came before with another body; `job` names what it made.",
        ),
        ProblemType(
            "job-state",
            "The job is in no state for that",
            409,
            "Only jobs that have ended can be deleted, tried again, or sent as an archive.",
        ),
        ProblemType(
            "jobs-unavailable",
            "The database of jobs is away",
            503,
            "Nothing is known about jobs while it is; what workers have begun they finish.",
        ),
        ProblemType(
            "storage-unavailable",
            "Storage is away",
            503,
            "What jobs read and write is kept there; it does not answer, or has no room left.",
        ),
        ProblemType(
            "storage-refused",
            "Storage refuses",
            422,
            "The place cannot be read or written: no permission, or a name that cannot be; `field` names it.",
        ),
        ProblemType(
            "location-not-allowed",
            "Not a place that jobs may use",
            403,
            "Jobs read and write below the URLs that the operator lists (GANSERVE_JOB_INPUTS, "
            "GANSERVE_JOB_OUTPUTS); `accepted` has them.",
        ),
        ProblemType(
            "too-many-jobs",
            "Too many jobs at once",
            429,
            "`limit` jobs made with this key may be under way; wait until one has ended, or cancel one.",
        ),
        ProblemType(
            "too-many-watchers",
            "Too many calls follow jobs",
            503,
            "The gateway keeps so many event streams open and no more; ask for the job now and then instead.",
        ),
        ProblemType(
            "range-not-satisfiable",
            "The file has no such bytes",
            416,
            "`size` says how many the file has; `Range` begins beyond them.",
        ),
        ProblemType("no-inputs", "Nothing to do", 422, "None of the job's sources holds an image file."),
        ProblemType(
            "too-many-items",
            "Too many items",
            413,
            "The job's sources hold more items than one job may have (GANSERVE_MAX_JOB_ITEMS).",
        ),
        ProblemType(
            "input-unreadable",
            "The input cannot be read",
            422,
            "The file is not there any more, may not be read, or is not what the listing or archive said.",
        ),
        ProblemType(
            "input-too-large",
            "The input is too large",
            413,
            "The file has more bytes than an image file may have (GANSERVE_MAX_UPLOAD_BYTES).",
        ),
        ProblemType(
            "output-refused",
            "The output cannot be stored",
            507,
            "Storage refused the file for good; waiting would not have helped.",
        ),
        ProblemType(
            "item-lost",
            "Workers died with it",
            500,
            "Each worker that did the item, alone, died before it was done. The item is given up.",
        ),
        ProblemType(
            "deadline-exceeded",
            "Not done in time",
            504,
            "The work was cancelled at the deadline; `Prefer: wait=SECONDS` asks for a longer one.",
        ),
    )
}


class ProblemError(Exception):
    """Ends a request with a problem response."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        **members: Any,
    ) -> None:
        """Describes one occurrence.

        Args:
            slug: A key of `PROBLEMS`.
            detail: One sentence for the client's developer.
            headers: Extra response headers.
            errors: For invalid input: `{"field", "detail", "accepted"}` each.
            members: Extension members of the problem object.
        """
        super().__init__(detail)
        self.problem = PROBLEMS[slug]
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = {**({"errors": list(errors)} if errors else {}), **members}


def invalid_field(field: str, detail: str, accepted: Any) -> ProblemError:
    """The problem of one field that is well-formed but does not fit this model or service.

    Args:
        field: Dotted path of the field.
        detail: What is wrong with it.
        accepted: What would be accepted, as text or as a list of values.

    Returns:
        The exception to raise.
    """
    error = {"field": field, "detail": detail, "accepted": accepted}
    return invalid_fields([error])


def invalid_fields(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """The problem of a request in which something is not valid.

    Args:
        errors: `{"field", "detail", "accepted"}` each, at least one.

    Returns:
        The exception to raise.
    """
    count = "One field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return ProblemError("invalid-request", f"{count} not valid; see `errors`.", errors=errors)


def problem_body(error: ProblemError, instance: str, request_id: str) -> dict[str, Any]:
    """The problem object.

    Args:
        error: What happened.
        instance: Path of the request.
        request_id: The id under which the logs have it.

    Returns:
        Plain JSON values.
    """
    problem = error.problem
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        "instance": instance,
        "request_id": request_id,
        **error.members,
    }


def stored_problem(error: ProblemError) -> dict[str, Any]:
    """The problem object of something that is not the answer to one request, such as a job's item.

    Args:
        error: What happened.

    Returns:
        Plain JSON values.
    """
    problem = error.problem
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        **error.members,
    }


def problem_response(error: ProblemError, instance: str, request_id: str) -> Response:
    """Renders a problem.

    Args:
        error: What happened.
        instance: Path of the request.
        request_id: The id under which the logs have it.

    Returns:
        The response, with the status of the problem's type.
    """
    problem, body = error.problem, problem_body(error, instance, request_id)
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(
        content,
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", **error.headers},
    )
