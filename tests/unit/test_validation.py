import pytest
from pydantic import ValidationError

from service.api.errors.validation import accepted_fields, validation_problem
from service.api.schemas.generate import GenerateRequest


def errors_of(body: str) -> dict[str, dict]:
    with pytest.raises(ValidationError) as caught:
        GenerateRequest.model_validate_json(body)
    problem = validation_problem(caught.value.errors(), accepted_fields(GenerateRequest))
    assert problem.problem.status == 422
    return {error["field"]: error for error in problem.members["errors"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"model": "m", "seeds": [1, -1]}', "seeds.1"),
        ('{"model": "m", "seeds": [4294967296]}', "seeds.0"),
        ('{"model": "m", "seeds": ["1"]}', "seeds.0"),
        ('{"model": "m", "seeds": [true]}', "seeds.0"),
        ('{"model": "m", "seeds": [1.5]}', "seeds.0"),
        ('{"model": "m", "seeds": []}', "seeds"),
        ('{"model": "m", "seed": 1, "n": 0}', "n"),
        ('{"seeds": [1]}', "model"),
        ('{"model": 3, "seeds": [1]}', "model"),
        ('{"model": "m", "seeds": [1], "truncation": 2.5}', "truncation"),
        ('{"model": "m", "seeds": [1], "truncation": "1"}', "truncation"),
        ('{"model": "m", "seeds": [1], "truncation_cutoff": -1}', "truncation_cutoff"),
        ('{"model": "m", "seeds": [1], "noise": "loud"}', "noise"),
        ('{"model": "m", "seeds": [1], "noise": -3}', "noise"),
        ('{"model": "m", "seeds": [1], "label": [1]}', "label"),
        ('{"model": "m", "seeds": [1], "format": "gif"}', "format"),
        ('{"model": "m", "seeds": [1], "quality": 101}', "quality"),
    ],
)
def test_the_field_and_what_it_accepts_are_named(body: str, field: str) -> None:
    error = errors_of(body)[field]
    assert error["detail"]
    assert error["accepted"] == GenerateRequest.model_fields[field.split(".")[0]].description


def test_a_union_is_one_error() -> None:
    assert list(errors_of('{"model": "m", "seeds": [1], "noise": "loud"}')) == ["noise"]


@pytest.mark.parametrize("field", ["edit", "latents", "trunction"])
def test_unknown_fields_are_refused(field: str) -> None:
    error = errors_of(f'{{"model": "m", "seeds": [1], "{field}": {{}}}}')[field]
    assert error["detail"] == "Unknown field"
    assert "truncation, truncation_cutoff" in error["accepted"]


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "m"}',
        '{"model": "m", "seeds": [1], "seed": 1}',
        '{"model": "m", "seeds": [1], "n": 2}',
        '{"model": "m", "seed": 4294967295, "n": 2}',
        "[1]",
        "{",
        "",
        '"\udcff"',
    ],
)
def test_the_body_as_a_whole(body: str) -> None:
    error = errors_of(body)["body"]
    assert error["detail"]
    assert "seeds" in error["accepted"]


def test_many_errors_are_cut_short() -> None:
    seeds = ",".join(["-1"] * 500)
    assert list(errors_of(f'{{"model": "m", "seeds": [{seeds}]}}')) == ["seeds.0"]
    unknown = ",".join(f'"x{index}": 0' for index in range(500))
    assert len(errors_of(f'{{"model": "m", "seeds": [1], {unknown}}}')) == 20
