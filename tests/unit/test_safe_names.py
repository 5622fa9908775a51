import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.safe_names import UnsafeNameError, is_beneath, safe_name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a.png",
            "deep/er/still/b c.jpg",
            "日本/写真.png",
            "é.png",
            "50%.jpg",
            "a#1",
            "q?[1]*.png",
            "...",
            "a..b",
        ),
        *(".hidden", " ", "x" * 255, "/".join(["y" * 127] * 8), "👩‍👩‍👧.png", "a~b", "a:b", "-", "#"),
    ],
)
def test_ordinary_names_stay_what_they_are(name):
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\\b", "..\\a", "a\nb", "a\0b"),
        *("\x7f", "a\x85b", "\u202egnp.exe", "\ud800", "\u2028", "\ufeffa", "x" * 256, "é" * 128),
        *("/".join(["y" * 200] * 6), ".ganserve-part-0", "a/.ganserve-part-ff"),
    ],
)
def test_names_that_mislead_are_refused(name):
    with pytest.raises(UnsafeNameError):
        safe_name(name)


def test_one_name_is_never_two_objects():
    assert safe_name("u\u0308.png") == safe_name("\u00fc.png") == "\u00fc.png"


@given(st.text(max_size=40))
def test_whatever_is_safe_is_normal_and_stays_beneath(name):
    try:
        safe = safe_name(name)
    except UnsafeNameError:
        return
    assert safe == unicodedata.normalize("NFC", safe) == safe_name(safe)
    assert is_beneath(safe)
