"""Seeds as people write them: `0-15,40,50-52`."""

from __future__ import annotations

import re
from itertools import pairwise

from service.latents import MAX_SEED

_MOST_SEEDS = 1_000_000
_PART = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


def parse_seeds(text: str, *, repeats: bool = False) -> list[int]:
    """The seeds that `text` lists, in its order; ranges include both ends.

    Args:
        text: As people write them.
        repeats: Whether one may be there twice.

    Raises:
        ValueError: `text` is not such a list; the message says which part is wrong, and how.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"{part.strip()!r} is neither a seed nor a range; write seeds like 0-15,40,50-52"
            )
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise ValueError(f"the range {part.strip()} runs backwards; write {last}-{first}")
        if last > MAX_SEED:
            raise ValueError(f"{last} is too large; the largest seed is {MAX_SEED}")
        if len(seeds) + last - first + 1 > _MOST_SEEDS:
            raise ValueError(f"that is more than {_MOST_SEEDS:,} seeds")
        seeds.extend(range(first, last + 1))
    for before, after in () if repeats else pairwise(sorted(seeds)):
        if before == after:
            raise ValueError(f"seed {after} is listed twice")
    return seeds
