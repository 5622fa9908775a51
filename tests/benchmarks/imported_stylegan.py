"""An imported StyleGAN in ONNX Runtime beside NVIDIA's code in eager PyTorch: one file, in turns in one run.

    git clone https://github.com/NVlabs/stylegan3
    python -m tests.benchmarks.imported_stylegan --code stylegan3 stylegan2-256
    python -m tests.benchmarks.imported_stylegan --code stylegan3 stylegan2-256 --batch 4
    python -m tests.benchmarks.imported_stylegan --code stylegan3 stylegan3-t-256 --rounds 3
    python -m tests.benchmarks.imported_stylegan --code stylegan3 ffhq.pkl

Of a name in `MADE`, NVIDIA's code makes a generator of random weights and writes it; of a file it loads it.
Ours is what `gantrain import` makes of the same file. A turn is a batch, each image of a seed of its own,
from z to UINT8 pixels, on the same threads; the first turn of each is not counted, and pixels are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tests.benchmarks.reference_process import ReferenceProcess
from training.export.formats import serialize
from training.export.generator import generator_product
from training.export.graphs import TRANSFORMS
from training.families.base import Deployable
from training.importers.files.reading import read_weights
from training.importers.table import recognise

RESULTS = Path(__file__).parent / "results"
OURS, THEIRS = "ours, ONNX Runtime", "NVIDIA's, PyTorch eager"
COMMON = {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": 256, "img_channels": 3}
RADIAL = {"conv_kernel": 1, "use_radial_filters": True, "channel_max": 1024}
MADE: dict[str, dict[str, Any]] = {
    "stylegan2-256": {
        "module": "training.networks_stylegan2",
        "options": {**COMMON, "channel_base": 16384, "conv_clamp": 256},
    },
    "stylegan2-256-f": {
        "module": "training.networks_stylegan2",
        "options": {**COMMON, "channel_base": 32768, "conv_clamp": 256},
    },
    "stylegan3-t-256": {
        "module": "training.networks_stylegan3",
        "options": {**COMMON, "channel_base": 16384},
    },
    "stylegan3-r-256": {
        "module": "training.networks_stylegan3",
        "options": {**COMMON, "channel_base": 32768, **RADIAL},
    },
}
"""Generators of random weights, of the capacity that their configurations had for 256² images."""


Images = Callable[[range], NDArray[np.uint8]]
"""From seeds to pixels [N, H, W, 3]."""


def of_onnx_runtime(file: Path, threads: int) -> tuple[str, Images]:
    """What is imported, and its images, as exported and embedded."""
    found = recognise(read_weights(file))
    network = found.build().network
    product = generator_product(Deployable("imported", "Imported", network))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    mapping, synthesis = (
        ort.InferenceSession(serialize(model, "onnx"), options, providers=["CPUExecutionProvider"])
        for model in product.models
    )
    widths = {spec.name: spec.dims[0] for spec in product.models[0].inputs}
    takes = {given.name for given in synthesis.get_inputs()}

    def run(seeds: range) -> NDArray[np.uint8]:
        n = len(seeds)
        z = [np.random.RandomState(seed).randn(widths["z"]) for seed in seeds]
        styles: dict[str, NDArray[Any]] = {
            "z": np.stack(z).astype(np.float32),
            "truncation_psi": np.ones((n, 1), np.float32),
            "truncation_cutoff": np.full((n, 1), -1, np.int32),
        }
        for name in widths.keys() & {"label", "edits"}:
            styles[name] = np.eye(widths[name], dtype=np.float32)[[0] * n] * (name == "label")
        (ws,) = mapping.run(["ws"], styles)
        noise = {"noise_gain": np.ones((n, 1), np.float32), "noise_seed": np.full((n, 1), -1, np.int64)}
        moves = {name: np.zeros((n, w), np.float32) for name, w in TRANSFORMS.items() if name in takes}
        images: NDArray[np.uint8] = synthesis.run(["images"], {"ws": ws, **noise, **moves})[0]
        return images

    return found.title, run


def main() -> None:
    """Measures one generator, prints a table, and writes what it was made of."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", help=f"a pickle of theirs, or one of {', '.join(MADE)}")
    parser.add_argument("--code", type=Path, required=True, help="a clone of stylegan3")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each of them")
    parser.add_argument("--batch", type=int, default=1, help="images of a turn")
    parser.add_argument("--rounds", type=int, default=10, help="turns that are counted")
    parser.add_argument("--out", type=Path, help="the report; by default in results/, by date and network")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make = MADE.get(options.network)
        file = Path(options.network) if make is None else folder / f"{options.network}.pkl"
        settings = {
            "file": str(file.resolve()), "make": make, "folder": temporary, "device": "cpu",
            "threads": options.threads, "cpu_time": False, "batch": options.batch,
        }  # fmt: skip
        reference = ReferenceProcess("imported_stylegan_reference", options.code, settings)
        try:
            title, ours = of_onnx_runtime(file, options.threads)
            seconds, agreement = in_turns(reference, ours, folder, options.rounds, options.batch)
        finally:
            reference.close()

    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = medians[THEIRS] / medians[OURS]
    print(f"{title}, {options.threads} threads, batches of {options.batch}, {options.rounds} turns")
    for name, times in seconds.items():
        print(f"  {name:24} median {medians[name]:7.3f} s   best {min(times):7.3f} s")
    print(f"  ours is {ratio:.2f}× as fast; {agreement['equal']:.4%} of samples equal, "
          f"at most {agreement['max_level_error']} levels apart")  # fmt: skip
    now = datetime.now(timezone.utc)
    batch = "" if options.batch == 1 else f"-batch-{options.batch}"
    out = options.out or RESULTS / f"{now:%Y-%m-%d}-cpu-{Path(options.network).stem}{batch}.json"
    report = {
        "at": now.isoformat(timespec="seconds"),
        "network": title,
        "made_of": make,
        "threads": options.threads,
        "rounds": options.rounds,
        "batch": options.batch,
        "machine": {"processor": platform.processor(), "python": platform.python_version()},
        "versions": {"onnxruntime": ort.__version__},
        "seconds": seconds,
        "ratio": ratio,
        "agreement": agreement,
    }
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {out}")


def in_turns(
    reference: ReferenceProcess, ours: Images, folder: Path, rounds: int, batch: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each turn, and how the pixels agree. The first turn is not counted."""
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    different, samples, levels = 0, 0, 0
    for turn in range(rounds + 1):
        seeds = range(turn * batch, (turn + 1) * batch)
        theirs = reference.seconds(turn, 1)
        started = time.perf_counter()
        images = ours(seeds)
        mine = time.perf_counter() - started
        if turn:
            seconds[OURS].append(mine)
            seconds[THEIRS].append(theirs)
        difference = np.abs(images.astype(int) - np.load(folder / f"{turn}.npy"))
        different, samples = different + int((difference > 0).sum()), samples + difference.size
        levels = max(levels, int(difference.max()))
    return seconds, {"equal": 1 - different / samples, "max_level_error": levels}


if __name__ == "__main__":
    main()
