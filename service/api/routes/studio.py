"""`/`: the studio, a page over the public API. Its files are served as they lie in `service/studio/`."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from service.api.errors.problems import ProblemError

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).parents[2] / "studio"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    # Asked for anew every time, and answered with 304 as long as it is the same: an upgrade is seen at once.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}
_PAGE_HEADERS: Final = {  # which browsers mind for pages alone; others need not carry them
    **_HEADERS,
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types lit-html"
    ),
    # A picture to translate can be taken with the camera; the browser asks its user.
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class _File:
    plain: bytes
    zipped: bytes
    etag: str


@router.get("/", name="studio")
def studio(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@router.get("/studio/{path:path}", name="studio-file")
def studio_file(request: Request, path: str) -> Response:
    """What the page is made of."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    file = FOLDER / path
    media_type = _TYPES.get(file.suffix)
    # No `..`, no link out of the folder, and nothing that is not listed.
    if media_type is None or "\0" in path or FOLDER not in file.resolve().parents or not file.is_file():
        raise ProblemError("not-found", "The studio has no such file.")
    status = file.stat()
    read = _read(file, status.st_mtime_ns, status.st_size)
    zips = "gzip" in request.headers.get("accept-encoding", "")
    etag = f'"{read.etag}{"-gzip" if zips else ""}"'
    headers = {**(_PAGE_HEADERS if file.suffix == ".html" else _HEADERS), "etag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if zips:
        headers["content-encoding"] = "gzip"
    return Response(read.zipped if zips else read.plain, media_type=media_type, headers=headers)


@lru_cache(maxsize=256)
def _read(file: Path, _changed: int, _size: int) -> _File:
    """A file as it is on disk, read again when it has changed: to see a change, reload the page."""
    plain = file.read_bytes()
    zipped = gzip.compress(plain, compresslevel=9, mtime=0)
    return _File(plain, zipped, hashlib.sha256(plain).hexdigest()[:32])
