import pytest

from service.api.answers.caching import etag_of, is_current

RECIPE = {"model": "toy", "digest": "a" * 64, "seed": 7}


def test_etag_is_strong_and_covers_everything_that_decides_the_bytes() -> None:
    etag = etag_of(RECIPE, "png", None)
    assert etag.startswith('"')
    assert etag == etag_of(dict(reversed(RECIPE.items())), "png", None)
    others = {
        etag_of({**RECIPE, "seed": 8}, "png", None),
        etag_of({**RECIPE, "digest": "b" * 64}, "png", None),
        etag_of(RECIPE, "webp", None),
        etag_of(RECIPE, "webp", 80),
    }
    assert len(others) == 4
    assert etag not in others


@pytest.mark.parametrize(
    ("lines", "current"),
    [
        ([], False),
        (['"a"'], True),
        (['"b"'], False),
        (['W/"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"c", "a"'], True),
        (["a"], False),
        (["*"], True),
        ([""], False),
    ],
)
def test_is_current(lines: list[str], current: bool) -> None:
    assert is_current(lines, '"a"') is current
