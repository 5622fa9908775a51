"""How long calls may take."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from service.api.calls.supervision import allowed_seconds
from service.settings import Settings


def request(prefer: str | None = None) -> Request:
    headers = [] if prefer is None else [(b"prefer", prefer.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("pixels", "seconds"),
    [
        (0, 30),
        (64 * 64, 30.25),
        (1_500_000, 120),  # what becomes 24 megapixels
        (4_000_000, 270),  # what becomes the largest image that is sent out
        (16 << 20, 600),
    ],
)
def test_the_default_deadline_grows_with_what_is_sent(pixels: int, seconds: float) -> None:
    allowed, headers = allowed_seconds(request(), Settings(), pixels)
    assert allowed == pytest.approx(seconds, abs=0.01)
    assert headers == {}


def test_who_says_how_long_to_wait_gets_that() -> None:
    settings = Settings(max_deadline_seconds=100)
    for pixels in (0, 4_000_000):
        assert allowed_seconds(request("wait=7"), settings, pixels) == (7, {"preference-applied": "wait=7"})
        assert allowed_seconds(request("wait=101"), settings, pixels)[0] == 100
    assert allowed_seconds(request(), settings, 4_000_000)[0] == 100
    long = Settings(default_deadline_seconds=200, max_deadline_seconds=100)
    assert allowed_seconds(request(), long, 4_000_000)[0] == 200  # the operator said so


def test_by_default_there_is_three_times_what_the_shipped_upscaler_needs() -> None:
    """20 s a megapixel on two busy cores."""
    settings = Settings()
    largest = settings.max_output_pixels // 16
    assert settings.max_deadline_seconds > settings.deadline_seconds_per_megapixel * largest / 1e6
    assert settings.deadline_seconds_per_megapixel >= 3 * 20
