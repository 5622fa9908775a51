"""The parity gate: a graph may be written only if ONNX Runtime computes what PyTorch computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import BaseModel

from training.errors import GantrainError

Arrays = dict[str, NDArray[np.generic]]

BATCHES = (1, 2, 5, 16)
MAX_ABS_ERROR = 1e-4
MAX_LEVEL_ERROR = 1


class ParityError(GantrainError):
    """A graph differs from its network by more than the gate allows."""


class ParityReport(BaseModel):
    """How far a graph is from the network it was made from, over all batches tried.

    Attributes:
        batches: Batch sizes that were run.
        max_abs_error: Largest difference of a float output.
        max_level_error: Largest difference of a UINT8 output, in levels of 255.
    """

    batches: list[int]
    max_abs_error: float = 0.0
    max_level_error: int = 0


def check_parity(
    model: onnx.ModelProto,
    make_inputs: Callable[[int], Arrays],
    reference: Callable[[Arrays], Arrays],
    batches: Sequence[int] = BATCHES,
) -> ParityReport:
    """Runs a model in ONNX Runtime on the CPU beside its PyTorch network.

    Args:
        model: The graph.
        make_inputs: Inputs by name for a batch size; each call may draw new ones.
        reference: The network's outputs by name for those inputs; outputs the graph lacks are ignored.
        batches: Batch sizes to try, every one of which the graph must take.

    Returns:
        The largest differences seen.

    Raises:
        ParityError: If the graph refuses a batch, an output has another shape or type, a float output
            differs by more than 1e-4, or a UINT8 output by more than one level.
    """
    import onnxruntime as ort  # heavy, and missing where only training is done

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    report = ParityReport(batches=list(batches))
    for n in batches:
        inputs = make_inputs(n)
        try:
            results = dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # ONNX Runtime raises a type of its own for each failure
            raise ParityError(f"the graph refuses a batch of {n}: {error}") from error
        expected = reference(inputs)
        for name, got in results.items():
            want = expected[name]
            if got.shape != want.shape or got.dtype != want.dtype:
                raise ParityError(
                    f"{name} at batch {n} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
                )
            difference = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
            if not np.isfinite(difference):
                raise ParityError(f"{name} at batch {n} is not finite")
            if got.dtype == np.uint8:
                report.max_level_error = max(report.max_level_error, int(difference))
            else:
                report.max_abs_error = max(report.max_abs_error, difference)
    if report.max_abs_error > MAX_ABS_ERROR:
        raise ParityError(
            f"differs from PyTorch by {report.max_abs_error:.2e}; at most {MAX_ABS_ERROR:.0e} passes"
        )
    if report.max_level_error > MAX_LEVEL_ERROR:
        raise ParityError(f"pixels differ from PyTorch by {report.max_level_error} levels; 1 passes")
    return report
