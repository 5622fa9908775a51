"""Areas of storage by their URLs: `file:///folder` and `s3://bucket/prefix`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.jobs.area import Area, ObjectTooLargeError, StorageError, StoredObject
from service.jobs.local_area import LocalArea
from service.jobs.s3_area import S3Area
from service.jobs.safe_names import UnsafeNameError, safe_name
from service.jobs.storage_urls import StorageUrl, StorageUrlError, read_url

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "Area",
    "LocalArea",
    "ObjectTooLargeError",
    "S3Area",
    "StorageError",
    "StorageUrl",
    "StorageUrlError",
    "StoredObject",
    "UnsafeNameError",
    "open_area",
    "read_url",
    "safe_name",
]

DEFAULT_TIMEOUT_SECONDS: Final = 30.0


def open_area(url: str | StorageUrl, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Area:
    """The area at a URL. Nothing is asked of the storage yet.

    Args:
        url: See `read_url`. Credentials, region and endpoint of S3 come from the environment (`AWS_…`).
        timeout_seconds: Longest wait for one answer of S3.

    Raises:
        StorageUrlError: If that is no such URL.
        StorageError: If the environment has settings for S3 that cannot be.
    """
    place = read_url(url) if isinstance(url, str) else url
    if place.scheme == "file":
        return LocalArea(Path("/", *place.parts))
    return S3Area(place.bucket, place.parts, timeout_seconds)
