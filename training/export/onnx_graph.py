"""PyTorch modules to ONNX models with a dynamic batch axis."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn

from training.errors import GantrainError

OPSET = 18
MAX_BATCH = 1024
"""Upper bound of the dynamic batch axis, as the exporter wants one; far above any configured batch."""


class ExportError(GantrainError):
    """A module could not be turned into the graph that the model contract asks for."""


def to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    """Exports a module.

    Args:
        module: In evaluation mode, with positional inputs named as in `inputs`.
        inputs: An example of each input with at least two samples along axis 0, the batch.
        outputs: Names of the outputs.

    Returns:
        A checked model whose inputs and outputs all have a symbolic batch axis.

    Raises:
        ExportError: If the exporter fails, or fixed the batch axis of an input or an output.
    """
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(f"no graph with a dynamic batch axis could be made: {error}") from error
    assert program is not None
    model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if not axis.dim_param:
            raise ExportError(f"the exporter fixed the batch axis of {value.name!r} at {axis.dim_value}")
    for node in model.graph.node:
        del node.metadata_props[:]  # where in the source each node came from: long, and of no use in serving
    onnx.checker.check_model(model)
    return model


def drop_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy of a model without one of its outputs; what only that output needed goes at load time."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [output for output in copy.graph.output if output.name != name]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    return copy


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its passes on standard output and warns about its own internals."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
