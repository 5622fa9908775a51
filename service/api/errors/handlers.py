"""Exception handlers: whatever goes wrong while routing or in a router becomes a problem."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.api.errors.problems import ProblemError, problem_response
from service.api.errors.validation import accepted_fields, validation_problem
from service.api.schemas.generate import ImageQuery
from service.api.schemas.jobs import CancelQuery, EventsQuery, ItemsQuery, JobsQuery
from service.telemetry.records import ANSWERED_METHODS, record_of

_QUERIES = {
    "image": accepted_fields(ImageQuery),
    "jobs": accepted_fields(JobsQuery),
    "job-items": accepted_fields(ItemsQuery),
    "job-events": accepted_fields(EventsQuery),
    "cancel-job": accepted_fields(CancelQuery),
}
_PARAMETERS = {
    "model": "name of a model",
    "seed": "an integer from 0 to 4294967295",
    "format": "png, jpg or webp",
    "slug": "last part of a problem's `type`",
    "job": "id of a job",
    "n": "number of an item, an integer from 0",
}


def install_handlers(app: FastAPI) -> None:
    """Answers every exception that has a meaning for the client with `application/problem+json`.

    Args:
        app: The application.
    """
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def failure_response(path: str, request_id: str) -> Response:
    """The answer to an exception that nobody caught: where to look, and nothing of what happened.

    Args:
        path: Of the request.
        request_id: The id under which the log has the exception.

    Returns:
        A 500 problem.
    """
    error = ProblemError("internal-error", "The gateway failed; its log has the details.")
    return problem_response(error, path, request_id)


def shutdown_response(path: str, request_id: str) -> Response:
    """The answer to a call that is cut off because the gateway stops, and has waited for it long enough.

    Args:
        path: Of the request.
        request_id: The id under which the log has the call.

    Returns:
        A 503 problem.
    """
    return problem_response(shutdown_problem(), path, request_id)


def shutdown_problem() -> ProblemError:
    """The problem of a call that is cut off in that way."""
    return ProblemError(
        "shutting-down",
        "The gateway stops, and could not wait for this call any longer; another one can take it.",
        headers={"retry-after": "1", "connection": "close"},
    )


def respond(request: Request, error: ProblemError) -> Response:
    """Renders a problem and notes it as the outcome of the request.

    Args:
        request: The request that ends this way.
        error: The problem.

    Returns:
        The response.
    """
    record = record_of(request.scope)
    record.outcome = error.problem.slug
    return problem_response(error, request.url.path, record.request_id)


async def _problem(request: Request, error: Any) -> Response:
    return respond(request, error)


async def _invalid(request: Request, error: Any) -> Response:
    query = _QUERIES.get(record_of(request.scope).operation, {})
    problem = validation_problem(error.errors(), {**_PARAMETERS, **query}, known=list(query), skip=1)
    return respond(request, problem)


async def _http(request: Request, error: Any) -> Response:
    if error.status_code == 405:
        methods = list(request.scope[ANSWERED_METHODS])
        if "GET" in methods:
            methods.insert(methods.index("GET") + 1, "HEAD")  # see service.api.answers.head
        return respond(
            request,
            ProblemError(
                "method-not-allowed",
                f"{request.method} is not answered here.",
                headers={"allow": ", ".join(methods)},
                accepted=methods,
            ),
        )
    if error.status_code == 404:
        return respond(request, ProblemError("not-found", f"Nothing is served at {request.url.path}."))
    return respond(request, ProblemError("invalid-request", str(error.detail)))
