"""What a large image costs a worker, with a model so small that it is the worker that is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.toy_image_models import write_toy_image_model
from tests.triton_process import TritonProcess

SIDE, SCALE = 1000, 8
MIB = 1 << 20
# In a process of its own, which prints by how many bytes its memory rose at its peak, and what it made.
WORKER = """
import asyncio, sys
from pathlib import Path
from service.jobs.operations import read_operation
from service.jobs.runtime import Runtime
from service.settings import Settings
from service.telemetry.metrics import Metrics

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

async def main(url, small, large):
    settings = Settings(triton_url=url, max_output_pixels=10**8, upscale_tile=64)
    operation = read_operation("super-resolution", "large", {})
    async with Runtime(settings, Metrics()) as runtime:
        for _ in range(200):
            if "large" in runtime.engine.catalog.names:
                break
            await asyncio.sleep(0.05)
        (await runtime.run_image(operation, Path(small).read_bytes())).file.close()
        data = Path(large).read_bytes()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = status("VmRSS")
        made = await runtime.run_image(operation, data)
        print(status("VmHWM") - before, made.width, made.height)
        made.file.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_large_image_takes_the_memory_of_its_source_and_a_row_of_tiles(
    start_triton: Callable[[Path], TritonProcess], tmp_path: Path
) -> None:
    triton = start_triton(write_toy_image_model(tmp_path / "models", "large", SCALE))
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:] = np.arange(SIDE)[:, None, None] // 8
    Image.fromarray(pixels).save(tmp_path / "large.png")
    Image.fromarray(pixels[:200, :200]).save(tmp_path / "small.png")
    done = subprocess.run(
        [sys.executable, "-c", WORKER, triton.grpc_url, tmp_path / "small.png", tmp_path / "large.png"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    grown, width, height = map(int, done.stdout.splitlines()[-1].split())
    assert (width, height) == (SIDE * SCALE, SIDE * SCALE)
    # The source is 3 MB of pixels, decoded with up to 20 bytes each, a row of tiles 12 MB, of which a few are
    # under way; 95 to 142 MiB in all. The result alone is 183 MiB, which come on top where it is held.
    assert grown < 170 * MIB, grown / MIB
