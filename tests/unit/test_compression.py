"""Which callers are sent gzip."""

from __future__ import annotations

import gzip
import json

import pytest
from fastapi import Request

from service.api.answers.compression import json_answer

CONTENT = {"data": [{"name": "terrain"}] * 50}


def _answered(accepts: str) -> tuple[bytes, str | None]:
    request = Request({"type": "http", "headers": [(b"accept-encoding", accepts.encode())]})
    response = json_answer(request, CONTENT, {"cache-control": "no-cache"})
    assert response.headers["content-length"] == str(len(response.body))
    assert response.headers["vary"] == "accept-encoding"
    assert response.headers["content-type"] == "application/json"
    return bytes(response.body), response.headers.get("content-encoding")


@pytest.mark.parametrize("accepts", ["gzip", "gzip, deflate, br, zstd", "br;q=1, GZIP;q=0.5", "x-gzip"])
def test_who_takes_gzip_gets_it(accepts: str) -> None:
    body, encoding = _answered(accepts)
    assert encoding == "gzip"
    assert len(body) < 300
    assert json.loads(gzip.decompress(body)) == CONTENT


@pytest.mark.parametrize("accepts", ["", "identity", "gzip;q=0", "gzip; q=0.000, br", "notgzip", "br"])
def test_others_get_it_plain(accepts: str) -> None:
    body, encoding = _answered(accepts)
    assert encoding is None
    assert json.loads(body) == CONTENT
