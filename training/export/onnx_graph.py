"""PyTorch modules to ONNX models whose batch axis, and where asked for height and width, are dynamic."""

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
from training.export.exportable import Arrays, Run, SizeAxis

OPSET = 18
MAX_BATCH = 1024
MAX_SIZE = 16384
"""Upper bounds of dynamic axes, as the exporter wants them; far above anything that is served."""


class ExportError(GantrainError):
    """A module could not be turned into the graph that the model contract asks for."""


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    sizes: Sequence[SizeAxis] = (),
) -> onnx.ModelProto:
    """Exports a module.

    Args:
        module: In evaluation mode.
        inputs: An example of each argument of `forward` with at least two samples along axis 0, the batch.
        outputs: Names of the outputs.
        sizes: Other axes of the first input that may have any length.

    Returns:
        A checked model whose inputs and outputs all have a symbolic batch axis.

    Raises:
        ExportError: If the exporter fails, or fixed an axis that must be dynamic.
    """
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    dynamic = {name: {0: batch} for name in inputs}
    first = next(iter(inputs))
    dynamic[first] |= {s.axis: torch.export.Dim(s.name, min=s.least, max=MAX_SIZE) for s in sizes}
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                (),
                kwargs=dict(inputs),
                dynamo=True,
                dynamic_shapes=dynamic,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(f"no graph with dynamic axes could be made: {error}") from error
    assert program is not None
    model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        _check_dynamic(value, 0, "batch")
    for size in sizes:
        _check_dynamic(model.graph.input[0], size.axis, size.name)
    for node in model.graph.node:
        del node.metadata_props[:]  # where in the source each node came from: long, and of no use in serving
    for value in model.graph.output:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if "(" in dim.dim_param:  # a formula of the input's axes, which ONNX Runtime takes for a name
                dim.dim_param = f"{value.name}_{axis}"
    onnx.checker.check_model(model)
    return model


def _check_dynamic(value: onnx.ValueInfoProto, axis: int, name: str) -> None:
    dim = value.type.tensor_type.shape.dim[axis]
    if not dim.dim_param:
        raise ExportError(f"the exporter fixed the {name} axis of {value.name!r} at {dim.dim_value}")


def run_onnx(file: bytes, outputs: Sequence[str]) -> Run:
    """Opens a model in ONNX Runtime on the CPU."""
    import onnxruntime as ort  # heavy, and missing where only training is done

    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(list(outputs), inputs), strict=True))

    return run


def onnx_runtime_version() -> str:
    """The runtime and its version, such as `onnxruntime 1.23.0`."""
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__}"


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
