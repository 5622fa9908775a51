from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.training.importers.weight_files import write_every_container
from training.importers.base import StoredFile, UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.reading import read_weights

ROUNDS = 80


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with some bytes changed, a stretch moved or doubled, or the end cut off."""
    copy = bytearray(content)
    kind = chance.randrange(4)
    if kind == 0:
        del copy[chance.randrange(len(copy)) :]
    elif kind == 1:
        begin, end = sorted(chance.choices(range(len(copy)), k=2))
        copy[chance.randrange(len(copy)) : 0] = copy[begin:end]
    # Flips mostly where structure is: at the beginning and the end.
    for _ in range(chance.choice((1, 1, 2, 8))):
        if copy:
            place = chance.choice((chance.randrange(len(copy)), chance.randrange(min(len(copy), 200))))
            copy[place if chance.random() < 0.7 else -1 - place] = chance.choice(
                (0, 255, chance.randrange(256))
            )
    return bytes(copy)


@pytest.mark.parametrize(
    "container", ["zip", "row", "tar", "nvidia", "safetensors", "ncnn", "weights of ncnn"]
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path: Path, container: str):
    path = write_every_container(tmp_path)[container.split()[-1]]
    damaged = path.with_suffix(".bin") if container.startswith("weights") else path
    content = damaged.read_bytes()
    chance = random.Random(container)
    refused = 0
    for _ in range(ROUNDS):
        damaged.write_bytes(mutated(content, chance))
        try:
            assert isinstance(read_weights(path), StoredFile)
        except (UnreadableWeightsError, UnsupportedWeightsError):
            refused += 1
    assert refused >= ROUNDS // 3
