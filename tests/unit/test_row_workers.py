"""Batches in parts, one thread a core: the embedded Triton's `onnxruntime` backend."""

from __future__ import annotations

import importlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BACKENDS = Path(__file__).parents[2] / "service" / "embedded" / "backends"


class Model:
    """Doubles its input, and says in which threads it was how large; a row takes `seconds` of CPU."""

    def __init__(self, seconds: float, lose: int = 0) -> None:
        self.seconds = seconds
        self.lose = lose
        self.opened = 0
        self.wide: list[int] = []
        self.narrow: list[int] = []
        self.threads: set[int] = set()

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        until = time.thread_time() + self.seconds * len(feeds["x"])
        while time.thread_time() < until:
            pass
        if (feeds["x"] < 0).any():
            raise ArithmeticError("negative")
        return [feeds["x"] * 2, feeds["x"][:, :1].astype(np.int64)]

    def run_wide(self, feeds: dict[str, Any]) -> list[Any]:
        self.wide.append(len(feeds["x"]))
        return self.run(feeds)

    def open_narrow(self) -> Any:
        self.opened += 1

        def run(feeds: dict[str, Any]) -> list[Any]:
            self.narrow.append(len(feeds["x"]))
            self.threads.add(threading.get_ident())
            return [result[self.lose :] for result in self.run(feeds)]

        return run


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has: the last core is then given twice."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: [cores[0], cores[-1]])
    monkeypatch.syspath_prepend(str(BACKENDS))


def make(model: Model) -> Any:
    return importlib.import_module("row_workers").RowWorkers(model.run_wide, model.open_narrow)


def rows(n: int) -> dict[str, Any]:
    return {"x": np.arange(n * 3, dtype=np.float32).reshape(n, 3)}


@pytest.mark.usefixtures("two_cores")
def test_parts_give_what_the_whole_gives() -> None:
    model = Model(seconds=2e-3)
    workers = make(model)
    for n in (1, 2, 3, 5, 8, 9, 16):
        model.narrow.clear()
        doubled, first = workers(rows(n))
        assert np.array_equal(doubled, rows(n)["x"] * 2)
        assert np.array_equal(first, rows(n)["x"][:, :1])
        sizes = model.narrow
        assert sum(sizes) == (n if n > 1 else 0), "a single row is for several threads"
        assert all(size <= 4 for size in sizes)
        assert not sizes or max(sizes) - min(sizes) <= 1
        assert len(sizes) % 2 == 0
    assert model.wide == [1]
    assert model.opened == 1
    assert len(model.threads) == 2
    workers.close()


@pytest.mark.usefixtures("two_cores")
def test_parts_of_long_rows_are_smaller() -> None:
    model = Model(seconds=21e-3)
    workers = make(model)
    workers(rows(1))
    assert np.array_equal(workers(rows(8))[0], rows(8)["x"] * 2)
    assert model.narrow == [2, 2, 2, 2]
    workers.close()


@pytest.mark.usefixtures("two_cores")
def test_what_costs_little_is_computed_whole() -> None:
    model = Model(seconds=0)
    model.run(rows(1))  # what numpy does for the first time is not the model's
    workers = make(model)
    for n in (1, 16, 2):
        workers(rows(n))
    assert model.wide == [1, 16, 2]
    assert model.opened == 0


@pytest.mark.usefixtures("two_cores")
def test_nothing_is_known_before_the_first_run() -> None:
    model = Model(seconds=2e-3)
    workers = make(model)
    workers(rows(4))
    assert model.wide == [4]
    workers(rows(4))
    assert model.wide == [4]
    workers.close()


@pytest.mark.usefixtures("two_cores")
def test_rows_that_go_missing_are_noticed() -> None:
    model = Model(seconds=2e-3, lose=1)
    workers = make(model)
    workers(rows(1))
    with pytest.raises(ValueError, match="for a batch of 2"):
        workers(rows(4))
    workers.close()


@pytest.mark.usefixtures("two_cores")
def test_a_part_that_fails_fails_the_batch_and_not_the_next() -> None:
    model = Model(seconds=2e-3)
    workers = make(model)
    workers(rows(1))
    with pytest.raises(ArithmeticError, match="negative"):
        workers({"x": np.array([[1.0], [2], [3], [-1]], np.float32)})
    assert np.array_equal(workers(rows(4))[0], rows(4)["x"] * 2)
    workers.close()
