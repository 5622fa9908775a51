import re

import httpx
import pytest
from PIL import Image

from service.api.routes.docs_page import docs_page
from service.app import create_app
from service.settings import Settings
from tests.image_files import saved

PICTURE = saved(Image.new("RGB", (24, 16), "red"), "PNG")
DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def ids(operations: list) -> list[str]:
    return [f"{method} {path}" for path, method, _ in operations]


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(child) for child in value.values()))
    if isinstance(value, list):
        return set().union(*(references(child) for child in value))
    return set()


def test_served(http: httpx.Client) -> None:
    assert http.get("/openapi.json").json()["paths"].keys() == DOCUMENT["paths"].keys()


def test_every_reference_resolves() -> None:
    for reference in references(DOCUMENT):
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=ids(OPERATIONS))
def test_every_operation_is_described(path: str, method: str, operation: dict) -> None:
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            (content,) = response["content"].items()
            assert content[0] == "application/problem+json"
            assert content[1]["examples"]
    for parameter in operation.get("parameters", ()):
        assert parameter.get("description") or parameter["schema"].get("description"), parameter["name"]


# Those about one job, which has to be there, are tried in `test_jobs_end_to_end.py`.
WITHOUT_JOB = [found for found in OPERATIONS if "{job}" not in found[0]]


@pytest.mark.parametrize(("path", "method", "operation"), WITHOUT_JOB, ids=ids(WITHOUT_JOB))
def test_every_example_works(http: httpx.Client, path: str, method: str, operation: dict) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            (example, *_) = parameter["schema"].get("examples") or [parameter.get("example")]
            path = path.replace(f"{{{parameter['name']}}}", str(example))
    assert "{" not in path
    content = operation.get("requestBody", {}).get("content", {})
    (examples, *_) = [kind["examples"] for kind in content.values() if "examples" in kind] or [
        {"": {"value": None}}
    ]
    # Each example as it is; the first, which asks for least, in each of the media types as well.
    offered = set(operation["responses"]["200"]["content"])
    if operation["operationId"].startswith(("image_", "interpolate_")):
        offered -= {"image/jpeg", "image/webp", "image/png"}  # which of them depends on path or body
    for index, (name, example) in enumerate(examples.items()):
        for accept in ("*/*", *(() if index else offered)):
            body = example["value"]
            sent = (
                {"data": body, "files": {"image": PICTURE}}
                if "examples" in content.get("multipart/form-data", {})
                else {"json": body}
            )
            response = http.request(method, path, **sent, headers={"accept": accept})
            assert response.status_code == (202 if path == "/v1/jobs" and body else 200), (
                name,
                accept,
                response.text,
            )
            if accept != "*/*":
                assert response.headers["content-type"].partition(";")[0] == accept
            if path.endswith("/unload"):  # the other examples need it
                assert http.post(path.replace("/unload", "/load")).status_code == 200


def test_a_page_to_read_that_loads_nothing(http: httpx.Client) -> None:
    response = http.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page = response.text
    for path, method, operation in OPERATIONS:
        assert f"<code>{method.upper()} {path}</code>" in page
        assert operation["summary"] in page
    for name, field in DOCUMENT["components"]["schemas"]["GenerateRequest"]["properties"].items():
        assert f"<code>{name}</code>" in page
        assert field["description"]
    assert not re.search(r"<(script|img|iframe|link)|@import|url\(", page)
    for target in re.findall(r"""(?:href|src)=['"]([^'"]*)""", page):
        assert http.get(f"/{target}").status_code == 200


def test_the_page_cannot_be_given_markup() -> None:
    page = docs_page(DOCUMENT, "http://x\"'><script>alert(1)</script>")
    assert "alert(1)" in page
    assert "<script" not in page
