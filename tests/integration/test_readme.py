"""The README's calls do what the README says."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import httpx
import pytest
from PIL import Image

README = (Path(__file__).parents[2] / "README.md").read_text()
CALLS = re.findall(r"^\$ (curl .*localhost:8080.*)$", README, re.MULTILINE)


def perform(line: str, http: httpx.Client) -> tuple[httpx.Response, str | None]:
    """Does what curl would do with the few options that the README uses."""
    words = shlex.split(line)[1:]
    headers, body, output, url = {}, None, None, ""
    fields, files = {}, {}
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(":")
            headers[name.strip()] = value.strip()
        elif word == "-d":
            body = words.pop(0)
        elif word == "-F":
            name, _, value = words.pop(0).partition("=")
            if value == "@7.png":  # what the first call wrote
                files[name] = http.get("/v1/models/terrain/images/7.png").content
            else:
                fields[name] = value
        elif word == "-o":
            output = words.pop(0)
        elif word != "-s":
            url = word
    path = url.removeprefix("localhost:8080")
    assert path.startswith("/"), url
    if files:
        return http.post(path, headers=headers, data=fields, files=files), output
    return http.request("GET" if body is None else "POST", path, headers=headers, content=body), output


def test_there_are_seven_calls():
    assert len(CALLS) == 7


@pytest.mark.parametrize("line", CALLS)
def test_call(line, http):
    response, output = perform(line, http)
    assert response.status_code == 200, response.text
    if output is None:
        assert json.loads(response.content)["data"]
    else:
        image = Image.open(io.BytesIO(response.content))
        assert f"image/{Path(output).suffix[1:]}" == response.headers["content-type"]
        assert image.width == (64 if "7" in output else image.width)
