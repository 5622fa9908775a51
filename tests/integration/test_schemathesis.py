"""Schemathesis over the OpenAPI document: whatever is sent, the answer is one that the document describes.

Two passes, both with all checks of schemathesis but for those below:

- what the document allows, made to obey the rules too that JSON Schema has no words for, such as that the
  model exists: that has to be accepted;
- what the document allows and what it does not, from the schema alone: boundaries of every field, wrong
  types, missing and unknown fields, media types and methods that are not there.

Checks that say nothing here:

- `negative_data_rejection` in the first pass, where nothing is to be rejected.
- `positive_data_acceptance` in the second: "either `seed` or `seeds`", or "a layer that the model has", are
  told in descriptions, so that what fits the schema may be refused. The first pass is for this check.
- `ignored_auth`: whether a key is needed is the operator's choice, which the document tells as optional
  security; `test_gateway_auth.py` tries the calls with keys.
- `use_after_free` and `ensure_resource_availability`: no call makes a resource that another one names.
- `missing_required_header`: no call requires a header.
- `max_response_time`: off unless given a number; deadlines have tests of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from service.app import create_app
from service.settings import Settings
from tests.gateway_process import GatewayProcess
from tests.valid_requests import obeying

DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}
OBEYING = ("generate", "interpolate", "style-mix", "latents", "translate", "super-resolution")

load_all_checks()
ACCEPTANCE = CHECKS.get_one("positive_data_acceptance")
QUIET = hypothesis.settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
REJECTION = CHECKS.get_one("negative_data_rejection")


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def models(gateway: GatewayProcess) -> Iterator[None]:
    """All that were there are there again afterwards, for the tests to come."""
    with gateway.client() as client:
        names = {card["name"] for card in client.get("/v1/models").json()["data"]}
        yield
        ready = {card["name"] for card in client.get("/v1/models").json()["data"] if card["state"] == "READY"}
        for name in sorted(names - ready):
            assert client.post(f"/v1/models/{name}/load").status_code == 200


@schemathesis.serializer("image/bmp", "image/tiff", "image/x-portable-anymap")
def _as_they_are(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return getattr(value, "data", None) or str(value).encode(errors="replace")


@pytest.mark.parametrize("name", OBEYING)
def test_what_is_valid_is_accepted(
    name: str, gateway: GatewayProcess, models: None, session: requests.Session
) -> None:
    """And answered as documented: these calls reach the models and the encoders."""
    statuses: Counter[int] = Counter()

    @hypothesis.given(OPERATIONS[f"POST /v1/{name}"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @hypothesis.settings(QUIET, max_examples=15, phases=[Phase.generate])
    def call(case: schemathesis.Case) -> None:
        case.body = obeying(name, case.body)
        case.headers.pop("Prefer", None)
        response = case.call(base_url=gateway.url, session=session)
        statuses[response.status_code] += 1
        case.validate_response(response, excluded_checks=[REJECTION])  # nothing here is to be rejected

    call()
    assert statuses[200] >= 0.9 * statuses.total(), statuses


@SCHEMA.parametrize()
@hypothesis.settings(QUIET, max_examples=4)
def test_whatever_is_sent(
    case: schemathesis.Case, gateway: GatewayProcess, models: None, session: requests.Session
) -> None:
    excluded = [ACCEPTANCE]
    # Meant as a wrong type, but in a URL the right one looks the same.
    if case.query.get("reproduce") == "true":
        excluded.append(REJECTION)
    response = case.call(base_url=gateway.url, session=session)
    if response.status_code == 413:
        excluded.append(REJECTION)  # this is a rejection, though not one that the check knows
    case.validate_response(response, excluded_checks=excluded)
