"""The parity gate: a file may be written only if its runtime computes what the network computes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel

from training.errors import GantrainError
from training.export.exportable import Case, Run, batch_size

MAX_ABS_ERROR = 1e-4
MAX_LEVEL_ERROR = 1
MAX_FAST_ERROR = 1e-3
"""Of floats in a runtime whose faster convolutions round more: a quarter of a level of pixels in [0, 1]."""


class ParityError(GantrainError):
    """A graph differs from its network by more than the gate allows."""


class ParityReport(BaseModel):
    """How far a file is from the network it was made from, over all cases tried.

    Attributes:
        runtime: What computed the file.
        batches: Batch sizes that were run.
        sizes: Heights and widths that were run, where they are not fixed.
        max_abs_error: Largest difference of a float output.
        max_level_error: Largest difference of a UINT8 output, in levels of 255.
    """

    runtime: str
    batches: list[int] = []
    sizes: list[tuple[int, int]] = []
    max_abs_error: float = 0.0
    max_level_error: int = 0


def check_parity(
    run: Run, cases: Iterable[Case], report: ParityReport, max_abs_error: float = MAX_ABS_ERROR
) -> None:
    """Runs an exported file beside its network.

    Args:
        run: Computes the file.
        cases: Inputs, every batch and size of which the file must take, and what the network makes of each
            sample alone. Outputs the file lacks are ignored.
        report: Takes up the largest differences.
        max_abs_error: Most that a float output may differ by.

    Raises:
        ParityError: If the file refuses a batch, an output has another shape or type, a float output
            differs by more than it may, or a UINT8 output by more than one level.
    """
    for case in cases:
        n = batch_size(case.inputs)
        image = next((array for array in case.inputs.values() if array.ndim == 4), None)
        size = None if image is None else (image.shape[1], image.shape[2])
        where = f"a batch of {n}" + (f", {size[0]}×{size[1]} pixels," if size else "")
        try:
            results = run(case.inputs)
        except Exception as error:  # runtimes raise types of their own for each failure
            reason = str(error).strip().splitlines()[-1]  # behind pages of where it happened
            raise ParityError(f"the graph refuses {where}: {reason}") from error
        if n not in report.batches:
            report.batches.append(n)
        if size and size not in report.sizes:
            report.sizes.append(size)
        for name, got in results.items():
            want = case.expected[name]
            if got.shape != want.shape or got.dtype != want.dtype:
                raise ParityError(
                    f"{name} of {where} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
                )
            difference = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
            if not np.isfinite(difference):
                raise ParityError(f"{name} of {where} is not finite")
            if got.dtype == np.uint8:
                report.max_level_error = max(report.max_level_error, int(difference))
            else:
                report.max_abs_error = max(report.max_abs_error, difference)
    if report.max_abs_error > max_abs_error:
        raise ParityError(
            f"differs from PyTorch by {report.max_abs_error:.2e}; at most {max_abs_error:.0e} passes"
        )
    if report.max_level_error > MAX_LEVEL_ERROR:
        raise ParityError(f"pixels differ from PyTorch by {report.max_level_error} levels; 1 passes")
