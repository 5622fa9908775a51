"""The formats a graph is written in, each behind the same parity gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import onnx
import torch

from training.export.exportable import FLOATS, Exportable, Graph, Run, batch_size
from training.export.mnn_graph import mnn_version, run_mnn, to_mnn
from training.export.onnx_graph import drop_output, onnx_runtime_version, run_onnx, to_onnx
from training.export.parity import MAX_ABS_ERROR, MAX_FAST_ERROR, ParityReport, check_parity
from training.export.torchscript import run_torchscript, to_torchscript
from training.export.triton_entry import Format

FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Converted:
    """A model's file, which has passed the gate.

    Attributes:
        file: Its bytes.
        run: Computes it as its format is computed in serving, on the CPU.
        runtime: What `run` computes with, and its version.
        parity: How close it is to the network.
    """

    file: bytes
    run: Run
    runtime: str
    parity: ParityReport


def convert(model: Exportable, format: Format) -> Converted:
    """Writes a graph in a format and compares it with its network.

    Raises:
        ExportError: If the format cannot express it with the axes that must be dynamic.
        ParityError: If it is not close enough to the network.
    """
    checked, shipped, run, runtime = _WRITERS[format](model)
    report = ParityReport(runtime=runtime)
    most = MAX_FAST_ERROR if format == "mnn" else MAX_ABS_ERROR
    if model.has_pixels:
        # What is shipped lacks the floats, so a runtime may fuse it otherwise: it is checked by itself.
        check_parity(run(checked, [*model.output_names, FLOATS]), model.cases, report, most)
    result = run(shipped, model.output_names)
    check_parity(result, model.cases, report, most)
    return Converted(shipped, result, runtime, report)


def serialize(model: Exportable, format: Format) -> bytes:
    """A graph's file without the gate, for measuring speed alone."""
    return _WRITERS[format](model)[1]


_Opened = Callable[[bytes, list[str]], Run]


def _onnx(model: Exportable) -> tuple[bytes, bytes, _Opened, str]:
    checked, shipped = (p.SerializeToString(deterministic=True) for p in _onnx_models(model))
    return checked, shipped, run_onnx, onnx_runtime_version()


def _mnn(model: Exportable) -> tuple[bytes, bytes, _Opened, str]:
    checked, shipped = (to_mnn(p) for p in _onnx_models(model))
    return checked, shipped, run_mnn, mnn_version()


def _onnx_models(model: Exportable) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """With the floats that are checked, and without."""
    with _floats_of(model.graph, model.has_pixels):
        names = [*model.output_names, FLOATS] if model.has_pixels else model.output_names
        checked = to_onnx(model.graph, example(model), names, model.sizes)
    return checked, drop_output(checked, FLOATS)


def _torchscript(model: Exportable) -> tuple[bytes, bytes, _Opened, str]:
    shipped = checked = to_torchscript(model.graph, example(model))
    if model.has_pixels:
        with _floats_of(model.graph, True):
            checked = to_torchscript(model.graph, example(model))
    return checked, shipped, run_torchscript, f"torch {torch.__version__}"


_WRITERS: dict[Format, Callable[[Exportable], tuple[bytes, bytes, _Opened, str]]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "mnn": _mnn,
}
"""Each gives the file that is checked, the file that is shipped, and what opens them."""


def example(model: Exportable) -> dict[str, torch.Tensor]:
    """Inputs to trace with: a batch of at least two, as an exporter takes an axis of one for fixed."""
    inputs = next(inputs for inputs in model.draw_cases() if batch_size(inputs) > 1)
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


@contextmanager
def _floats_of(graph: Graph, wanted: bool) -> Iterator[None]:
    graph.with_floats = wanted
    try:
        yield
    finally:
        graph.with_floats = False
