import pytest

from service.api.answers.negotiation import negotiate

OFFERS = ("application/json", "image/png", "image/jpeg", "image/webp", "application/zip")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("image/webp", "image/webp"),
        ("IMAGE/PNG", "image/png"),
        ("image/jpeg;q=0.5, image/webp;q=0.9", "image/webp"),
        ("image/*, image/png;q=0", "image/jpeg"),
        ("text/html, image/avif, image/webp, */*;q=0.8", "image/webp"),
        ("application/zip, */*;q=0.1", "application/zip"),
        ("image/png;q=nonsense, application/zip;q=0.1", "application/zip"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("nonsense", "application/json"),
    ],
)
def test_negotiate(accept: str, chosen: str | None) -> None:
    assert negotiate(accept, OFFERS) == chosen
