"""Parameters of jobs are those of the interactive endpoints, and refused as there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.api.errors.problems import ProblemError
from service.jobs.operations import JobOperation, item_problem, read_operation

VALID: list[tuple[str, dict[str, Any]]] = [
    ("super-resolution", {}),
    ("super-resolution", {"scale": 2, "background": "#ffffff", "format": "jpeg", "quality": 90, "frame": 3}),
    ("super-resolution", {"scale": 1.5, "keep_exif": True, "sign": False}),
    ("translate", {"fit": "pad", "restore": True, "alpha": "keep", "background": "#102030"}),
    ("generate", {}),
    (
        "generate",
        {"truncation": 0.7, "truncation_cutoff": 4, "noise": 9, "label": "7", "edits": {"a": 2.5}},
    ),
    ("generate", {"noise": "none", "label": 3, "format": "webp", "quality": 80}),
    ("generate", {"rotation": 30.5, "translation": [0.25, -0.5]}),
]


@pytest.mark.parametrize(("name", "parameters"), VALID)
def test_what_is_read_is_written_and_read_again(name: str, parameters: dict[str, Any]) -> None:
    operation = read_operation(name, "a-model", parameters, "a" * 64)
    assert operation.parameters_json() == parameters
    assert operation.model == "a-model"
    again = JobOperation.from_json(json.loads(json.dumps(operation.to_json())))
    assert again == operation
    assert again.parameters.model_fields_set == operation.parameters.model_fields_set


def test_files_are_png_unless_said_otherwise() -> None:
    operation = read_operation("generate", "a-model", {})
    assert (operation.image_format, operation.media_type, operation.extension) == ("png", "image/png", "png")
    operation = read_operation("translate", "a-model", {"format": "jpeg"})
    assert (operation.media_type, operation.extension) == ("image/jpeg", "jpg")


@pytest.mark.parametrize(
    ("name", "model", "parameters", "field"),
    [
        ("enlarge", "m", {}, "operation"),
        ("super-resolution", "", {}, "model"),
        ("super-resolution", "m" * 65, {}, "model"),
        ("super-resolution", "m", {"scale": "2"}, "parameters.scale"),
        ("super-resolution", "m", {"scale": 0.5}, "parameters.scale"),
        ("super-resolution", "m", {"scale": float("nan")}, "parameters.scale"),
        ("super-resolution", "m", {"quality": 90}, "parameters.quality"),
        ("super-resolution", "m", {"fit": "pad"}, "parameters.fit"),
        ("super-resolution", "m", {"model": "other"}, "parameters.model"),
        ("super-resolution", "m", {"background": "white"}, "parameters.background"),
        ("translate", "m", {"alpha": "keep", "format": "jpeg"}, "parameters.alpha"),
        ("translate", "m", {"format": "gif"}, "parameters.format"),
        ("generate", "m", {"seeds": [1]}, "parameters.seeds"),
        ("generate", "m", {"ws": "AAAA"}, "parameters.ws"),
        ("generate", "m", {"captions": True}, "parameters.captions"),
        ("generate", "m", {"truncation": 3}, "parameters.truncation"),
        ("generate", "m", {"edits": {"a": "b"}}, "parameters.edits.a"),
    ],
)
def test_what_is_not_valid_is_named(name: str, model: str, parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_operation(name, model, parameters)
    problem = item_problem(caught.value)
    assert problem["type"] == "/problems/invalid-request"
    assert [entry["field"] for entry in problem["errors"]] == [field]
    assert problem["errors"][0]["accepted"]
    json.dumps(problem, allow_nan=False)
