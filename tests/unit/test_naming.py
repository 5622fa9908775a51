import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.naming import (
    DEFAULT_PATTERNS,
    FIELDS,
    Named,
    PatternError,
    check_pattern,
    output_name,
    output_names,
)
from service.jobs.safe_names import UnsafeNameError, safe_name


def free(name):
    return False


def one_by_one(pattern, items):
    names: list[str | None] = []
    for item in items:
        try:
            names.append(output_name(pattern, item, names.__contains__))
        except UnsafeNameError:
            names.append(None)
    return names


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{stem}.{ext}", "cat.png"),
        ("{stem}-x{scale}.{ext}", "cat-x4.png"),
        ("{n:06}.{ext}", "000017.png"),
        ("{path}/{stem}.{ext}", "pets/old/cat.png"),
        ("seed{seed:04}.png", "seed0005.png"),
        ("{{{model}}}/{n}", "{photo-x4}/17"),
        ("out/{path}/{n:02}.{ext}", "out/pets/old/17.png"),
    ],
)
def test_patterns(pattern, expected):
    check_pattern(pattern, FIELDS, "png")
    fields = {"ext": "png", "scale": 4, "seed": 5, "model": "photo-x4"}
    assert output_name(pattern, Named(17, "pets/old/cat.jpeg", fields), free) == expected


@pytest.mark.parametrize("pattern", DEFAULT_PATTERNS.values())
def test_the_default_patterns_are_fine(pattern):
    assert check_pattern(pattern, FIELDS, "webp") == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "{",
            "}",
            "{stem",
            "{}",
            "{0}",
            "{nope}",
            "{stem.__class__}",
            "{stem[0]}",
            "{stem!r}",
            "{n:6}",
            "{n:x}",
        ),
        *(
            "{n:099999}",
            "{n:0{scale}}",
            "{stem:04}",
            "../{stem}",
            "{path}/../{stem}",
            "a\\{stem}",
            "a\n{stem}",
            "/",
        ),
        *("x" * 201, ".ganserve-part-{n}", "{n:021}", "{n:.3f}", "{n:,}"),
    ],
)
def test_patterns_that_name_nothing_are_refused(pattern):
    with pytest.raises(PatternError):
        check_pattern(pattern, FIELDS)


def test_a_pattern_may_use_what_the_job_has_and_no_more():
    with pytest.raises(PatternError, match=r"\{seed\}.*\{stem\}"):
        check_pattern("{seed}.{ext}", {"stem", "ext", "n"})


@pytest.mark.parametrize(
    ("written", "format_", "fine"), [("png", "png", 1), ("JPEG", "jpg", 1), ("png", "webp", 0)]
)
def test_the_extension_written_must_be_that_of_the_files(written, format_, fine):
    if fine:
        check_pattern(f"{{n}}.{written}", FIELDS, format_)
    else:
        with pytest.raises(PatternError, match=r"use \{ext\}"):
            check_pattern(f"{{n}}.{written}", FIELDS, format_)


def test_items_of_one_name_get_their_numbers():
    sources = ["a.jpg", "b.jpg", "a.png", "a~2.png", "b.webp", "a.gif"]
    items = [Named(n, source, {"ext": "png"}) for n, source in enumerate(sources)]
    expected = ["a.png", "b.png", "a~2.png", "a~2~3.png", "b~4.png", "a~5.png"]
    assert one_by_one("{stem}.{ext}", items) == expected
    for cut in range(len(items) + 1):  # pages of any length make no difference
        names = output_names("{stem}.{ext}", items[:cut], lambda some: set())
        names += output_names("{stem}.{ext}", items[cut:], lambda some, have=tuple(names): some & set(have))
        assert names == expected


def test_a_page_of_one_name_takes_two_questions():
    questions = []

    def taken_among(names):
        questions.append(names)
        return names & {"a.png"}

    items = [Named(n, "a.jpg", {"ext": "png"}) for n in range(1000, 2000)]
    names = output_names("{stem}.{ext}", items, taken_among)
    assert names == [f"a~{n}.png" for n in range(1000, 2000)]
    assert len(questions) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\\b\n.jpg", "a_b_.png"),
        ("x/..", "x/_.png"),
        ("../../etc/passwd", "__/__/etc/passwd.png"),
        ("noextension", "noextension.png"),
        (".hidden", ".hidden.png"),
        ("u\u0308.jpg", "\u00fc.png"),
        ("é" * 126 + ".jpg", "é" * 125 + ".png"),
        (".ganserve-part-1.jpg", "_.ganserve-part-1.png"),
        ("a.b.c", "a.b.png"),
    ],
)
def test_names_of_inputs_become_safe(source, expected):
    name = output_name("{path}/{stem}.{ext}", Named(0, source, {"ext": "png"}), free)
    assert name == safe_name(expected)


def test_an_item_that_cannot_have_a_name_has_none():
    deep = Named(0, "/".join(["x" * 200] * 7), {"ext": "png"})
    with pytest.raises(UnsafeNameError):
        output_name("{path}/{stem}.{ext}", deep, free)
    assert output_names("{path}/{stem}.{ext}", [deep], lambda names: ()) == [None]


@given(st.lists(st.text("ab~12./\\\u00e9", max_size=6), max_size=12))
def test_names_are_safe_and_different_whatever_the_inputs(sources):
    items = [Named(n, source, {"ext": "png"}) for n, source in enumerate(sources)]
    names = output_names("{path}/{stem}.{ext}", items, lambda names: ())
    assert names == one_by_one("{path}/{stem}.{ext}", items)
    given_names = [name for name in names if name is not None]
    assert len(set(given_names)) == len(given_names)
    assert all(safe_name(name) == name for name in given_names)
