"""Where a model's config has `priority_levels`, what a worker sends waits for what a gateway sends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.cards import TritonModel, read_triton_model
from service.jobs.runtime import TRITON_PRIORITY
from service.triton import Triton
from tests.toy_repository import NUM_WS, W_DIM, write_toy_repository
from tests.triton_process import TritonProcess

SENT = 12
LIMIT = 1 << 24


async def overtaken(url: str, priority: int | None) -> int:
    """Of the images that a worker has waiting in Triton, how many an interactive one lets go first."""
    gateway, worker = Triton(url, LIMIT), Triton(url, LIMIT, priority)
    try:
        model = read_triton_model(await gateway.model_config("toy-synthesis", "1", 5), "1")
        batch = [asyncio.create_task(image(worker, model)) for _ in range(SENT)]
        await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)  # so all of them are with Triton
        await image(gateway, model)
        before = sum(task.done() for task in batch)
        await asyncio.gather(*batch)
        return before
    finally:
        await gateway.close()
        await worker.close()


async def image(triton: Triton, model: TritonModel) -> None:
    inputs = {
        "ws": np.zeros((1, NUM_WS, W_DIM), np.float32),
        "noise_gain": np.zeros((1, 1), np.float32),
        "noise_seed": np.full((1, 1), -1, np.int64),
    }
    await triton.infer(model, inputs, "images", 60)


@pytest.mark.parametrize("levels", [True, False])
def test_interactive_work_goes_first(
    start_triton: Callable[[Path], TritonProcess], tmp_path: Path, levels: bool
) -> None:
    """Counted, not timed: of twelve that wait, a few may have begun. Without levels nobody is overtaken."""
    repository = write_toy_repository(tmp_path / "models", extra_milliseconds=20)
    config = repository / "toy-synthesis" / "config.pbtxt"
    text = config.read_text().replace("max_batch_size: 16", "max_batch_size: 1")
    policy = "priority_levels: 2 default_priority_level: 1" if levels else ""
    text, replaced = re.subn(r"dynamic_batching \{[^}]*\}", f"dynamic_batching {{ {policy} }}", text)
    assert replaced == 1
    config.write_text(text)
    triton = start_triton(repository)
    found = asyncio.run(overtaken(triton.grpc_url, TRITON_PRIORITY))
    assert found <= 5 if levels else found >= SENT - 1, found
