"""State dicts out of what people wrap them in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.importers.base import StoredFile, StoredModule, UnsupportedWeightsError
from training.importers.state_dicts import state_dict_of

WEIGHTS = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}
OTHER = {"b": torch.ones(1)}


def stored(content):
    return StoredFile(Path("some.pth"), "0" * 64, 1, "torch", content)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (WEIGHTS, ""),
        ({**WEIGHTS, "epoch": 3}, ""),
        ({f"module.{name}": t for name, t in WEIGHTS.items()}, ""),
        ({f"_orig_mod.module.{name}": t for name, t in WEIGHTS.items()}, ""),
        (StoredModule("Net", (), {}, WEIGHTS), ""),
        ({"step": torch.tensor(3), "ema": WEIGHTS}, "ema"),
        ({"plain": OTHER, "ema": {f"module.{name}": t for name, t in WEIGHTS.items()}}, "ema"),
        ({"plain": OTHER, "ema": StoredModule("Net", (), {}, WEIGHTS), "optimizer": {"lr": 1}}, "ema"),
        ({"models": {"ema": WEIGHTS, "plain": OTHER}}, "ema"),
    ],
)
def test_tensors_are_found_in_what_they_are_wrapped_in(content, part):
    found, tensors = state_dict_of(stored(content), ["ema", "plain"])
    assert found == part
    assert tensors == WEIGHTS


def test_the_part_that_the_user_wants():
    file = stored({"plain": OTHER, "ema": WEIGHTS})
    assert state_dict_of(file, ["ema"], "plain") == ("plain", OTHER)
    with pytest.raises(UnsupportedWeightsError, match=r"no part 'mine'; its parts are plain, ema"):
        state_dict_of(file, ["ema"], "mine")
    with pytest.raises(UnsupportedWeightsError, match="holds one network"):
        state_dict_of(stored(WEIGHTS), ["ema"], "ema")


def test_what_holds_no_such_part():
    assert state_dict_of(stored({"d": OTHER}), ["ema"]) is None
    assert state_dict_of(stored([1, 2]), ["ema"]) is None
