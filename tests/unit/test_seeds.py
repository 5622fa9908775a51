"""Seeds as people write them."""

from __future__ import annotations

import pytest

from service.seeds import parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("0-2,40,50-52", [0, 1, 2, 40, 50, 51, 52]),
        (" 5 , 3 - 4 ", [5, 3, 4]),
        ("9-9", [9]),
        ("4294967295", [4294967295]),
    ],
)
def test_lists_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither a seed nor a range"),
        ("1,,2", "'' is neither a seed nor a range"),
        ("a-b", "'a-b' is neither a seed nor a range; write seeds like 0-15,40,50-52"),
        ("-1", "'-1' is neither"),
        ("1.5", "'1.5' is neither"),
        ("9-3", "the range 9-3 runs backwards; write 3-9"),
        ("4294967296", "4294967296 is too large; the largest seed is 4294967295"),
        ("0-4294967295", "more than 1,000,000 seeds"),
        ("0-5,3", "seed 3 is listed twice"),
    ],
)
def test_errors_say_which_part_and_how(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^.*" + message.replace("'", ".")):
        parse_seeds(text)
