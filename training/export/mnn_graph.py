"""ONNX models to MNN, which computes 3×3 convolutions on a CPU with a fraction of the multiplications.

MNN (PyPI `MNN`) chooses Winograd's tiles for each layer, where ONNX Runtime and OpenVINO have no such kernel
for a CPU. It has no 64-bit integers, so that only graphs from images to images can be written.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from training.export.exportable import Arrays, Run
from training.export.onnx_graph import ExportError

# The module below `MNN.tools.mnnconvert`, which would also report each conversion to a server of theirs.
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
_LONGEST_SECONDS = 600


def to_mnn(model: onnx.ModelProto) -> bytes:
    """Converts a model.

    Returns:
        The file, with weights in single precision.

    Raises:
        ExportError: If MNN is not installed, or cannot express the model.
    """
    if not mnn_is_installed():
        raise ExportError("MNN is not installed; install ganserve[mnn], or export to ONNX")
    wide = [i.name for i in model.graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.INT64]
    if wide:
        raise ExportError(
            f"MNN has no 64-bit integers, which {', '.join(wide)} is made of: upscalers and translators can "
            "be written for it, generators cannot; export those to ONNX"
        )
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary, "model.onnx"), Path(temporary, "model.mnn")
        onnx.save(model, source)
        # In a process of its own: it ends it where it fails, and prints what it does.
        arguments = ["--framework", "ONNX", "--modelFile", str(source), "--MNNModel", str(target)]
        done = subprocess.run(
            [sys.executable, "-c", _CONVERT, *arguments, "--bizCode", "ganserve"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LONGEST_SECONDS,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not target.exists():
            said = done.stdout.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise ExportError(f"MNN cannot express this graph: {said[0]}")
        return target.read_bytes()


def run_mnn(file: bytes, outputs: Sequence[str], threads: int | None = None) -> Run:
    """Opens a model in MNN on the CPU, in single precision throughout.

    Args:
        file: What `to_mnn` made.
        outputs: Names of its outputs.
        threads: How many compute; as many as there are cores if None.
    """
    import MNN
    from MNN import expr

    wanted = list(outputs)
    threads = threads or len(os.sched_getaffinity(0))
    config = {"backend": "CPU", "precision": "high", "numThread": threads}
    with tempfile.TemporaryDirectory() as temporary, _quiet():
        path = Path(temporary, "model.mnn")
        path.write_bytes(file)
        runtime = MNN.nn.create_runtime_manager((config,))
        module: Any = MNN.nn.load_module_from_file(str(path), [], wanted, runtime_manager=runtime)
    inputs = module.get_info()["inputNames"]
    types = {"uint8": expr.uint8, "int32": expr.int, "float32": expr.float}

    def run_sample(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        made = module.forward([expr.const(a, list(a.shape), expr.NCHW, types[a.dtype.name]) for a in arrays])
        return [np.array(each.read()) for each in made]  # copies: the next run writes there

    def run(arrays: Arrays) -> Arrays:
        given = [np.ascontiguousarray(arrays[name]) for name in inputs]
        # One at a time: MNN chooses its tiles by the size of a batch, and each choice rounds otherwise.
        samples = [run_sample([each[i : i + 1] for each in given]) for i in range(len(given[0]))]
        results = [np.concatenate(each) for each in zip(*samples, strict=True)]
        return dict(zip(wanted, results, strict=True))

    return run


def mnn_is_installed() -> bool:
    """Whether models can be written for MNN, and run."""
    return importlib.util.find_spec("MNN") is not None


def mnn_version() -> str:
    """The runtime and its version, such as `MNN 3.6.1`."""
    return f"MNN {importlib.metadata.version('MNN')}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what MNN prints of the processor as it starts, which would be among the output of commands."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            yield
    finally:
        ctypes.CDLL(None).fflush(None)  # it prints through C's buffer
        os.dup2(kept, 1)
        os.close(kept)
