"""`/problems`: what each problem type means, at the path that its `type` names."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from service.api.errors.problems import PROBLEMS, ProblemError, ProblemType
from service.api.openapi.service import PROBLEM_DOCS, PROBLEMS_DOCS

router = APIRouter(tags=["problems"])


def _page(problem: ProblemType) -> dict[str, str | int]:
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "description": problem.description,
    }


@router.get("/problems", name="problems", summary="All problem types", **PROBLEMS_DOCS)
async def list_problems() -> JSONResponse:
    """Every kind of error this gateway answers with."""
    return JSONResponse({"data": [_page(problem) for problem in PROBLEMS.values()]})


@router.get("/problems/{slug}", name="problem", summary="One problem type", **PROBLEM_DOCS)
async def get_problem(
    slug: Annotated[str, Path(description="last part of a problem's `type`", examples=["queue-full"])],
) -> JSONResponse:
    """What one problem type means."""
    if slug not in PROBLEMS:
        raise ProblemError("not-found", f"There is no problem type {slug!r}.", accepted=list(PROBLEMS))
    return JSONResponse(_page(PROBLEMS[slug]))
