"""JSON that is long and repeats itself, sent as gzip to whoever takes that (RFC 9110, 12.5.3)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

_GZIP = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=(?P<q>[0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)


def json_answer(request: Request, content: Any, headers: Mapping[str, str]) -> Response:
    """JSON, compressed if the caller takes it so.

    Args:
        request: For its `accept-encoding`.
        content: What to send.
        headers: More of the answer's headers.

    Returns:
        The answer.
    """
    response = JSONResponse(content, headers={**headers, "vary": "accept-encoding"})
    found = _GZIP.search(request.headers.get("accept-encoding", ""))
    if found is None or (found["q"] is not None and not found["q"].strip("0.")):
        return response
    response.body = _zipped(bytes(response.body))
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(response.body))
    return response


@lru_cache(maxsize=4)
def _zipped(plain: bytes) -> bytes:
    """The same cards are asked for again and again."""
    return gzip.compress(plain, compresslevel=6, mtime=0)
