"""Which URLs of storage a client may name: those below what the operator lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.jobs.area import Area, StorageError
from service.jobs.local_area import LocalArea
from service.jobs.storage import DEFAULT_TIMEOUT_SECONDS, open_area, read_url


class NotAllowedError(Exception):
    """A URL that is well-formed and not below what the operator allows."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url[:200]!r} {reason}")
        self.url = url
        self.reason = reason


async def allowed_area(
    url: str, allowed: Sequence[str], timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> Area:
    """The area of a URL that a client sent.

    Names are compared part by part after decoding, so `s3://b/photos-private` is not below `s3://b/photos`.
    A local area never leaves the allowed folder, whatever links are made in it later.

    Args:
        url: See `read_url`.
        allowed: URLs of the operator; nothing is allowed if there are none.
        timeout_seconds: See `open_area`.

    Returns:
        The area; nothing says yet that it exists.

    Raises:
        StorageUrlError: If the URL is none, or hides something.
        NotAllowedError: If it is not below an allowed one, or a link in it leads out of that.
        StorageError: If the folder cannot be looked at.
    """
    reason = "is not below a prefix that is allowed here"
    for area in _areas(url, allowed, timeout_seconds):
        if not isinstance(area, LocalArea) or await area.stays_within():
            return area
        reason = "leads out of the folder that is allowed here"
    raise NotAllowedError(url, reason)


def area_below(url: str, allowed: Sequence[str], timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Area:
    """The area of a URL that was found to be allowed, for use later: links are looked at as it is used.

    Args:
        url: See `read_url`.
        allowed: URLs of the operator as they are now.
        timeout_seconds: See `open_area`.

    Returns:
        The area, which never leaves the allowed folder.

    Raises:
        StorageUrlError: If the URL is none.
        NotAllowedError: If it is not below an allowed one any more.
    """
    for area in _areas(url, allowed, timeout_seconds):
        return area
    raise NotAllowedError(url, "is not below a prefix that is allowed here")


def _areas(url: str, allowed: Sequence[str], timeout_seconds: float) -> Iterator[Area]:
    place = read_url(url)
    for root in map(read_url, allowed):
        parts = place.beneath(root)
        if parts is not None:
            area = open_area(root, timeout_seconds)
            yield area.below("/".join(parts)) if parts else area


def checked_prefix(url: str) -> str:
    """Checks a URL of the operator's lists.

    Returns:
        The URL.

    Raises:
        ValueError: If it is no URL of storage, or S3 is not set up so that it could be opened.
    """
    try:
        open_area(url)
    except StorageError as error:
        raise ValueError(error.reason) from None
    return url
