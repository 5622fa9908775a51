"""PyTorch modules to TorchScript, in a form that Triton's native backend takes as it is.

The native backend matches inputs by the names of `forward`'s arguments and outputs by their order. It
loads a file onto the GPU of a model instance, which moves weights and constants, but not the devices that
tracing wrote into the graph: those are replaced by the device of the first input.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.export.exportable import Arrays, Run
from training.export.onnx_graph import ExportError


def to_torchscript(module: nn.Module, inputs: Mapping[str, Tensor]) -> bytes:
    """Traces a module and freezes its weights into the graph.

    Args:
        module: In evaluation mode.
        inputs: An example of each argument of `forward`.

    Returns:
        The file, as `torch.jit.load` reads it.

    Raises:
        ExportError: If the module cannot be traced.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # sizes that become constants: the parity gate finds those that matter
        try:
            traced = torch.jit.trace(module, example_kwarg_inputs=dict(inputs), check_trace=False)
            frozen = torch.jit.freeze(traced.eval())
        except (RuntimeError, TypeError) as error:
            raise ExportError(f"no TorchScript graph could be made: {error}") from error
        _follow_device_of_input(frozen.graph)
        file = io.BytesIO()
        torch.jit.save(frozen, file)
    return file.getvalue()


def _follow_device_of_input(graph: torch._C.Graph) -> None:
    """Lets everything the graph makes lie on the device of its first input (after `self`)."""
    constants = [
        node
        for node in graph.nodes()
        if node.kind() == "prim::Constant" and node.output().type().kind() == "DeviceObjType"
    ]
    if not constants:
        return
    device = graph.create("prim::device", [list(graph.inputs())[1]], 1)
    device.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(device)
    for constant in constants:
        constant.output().replaceAllUsesWith(device.output())
    torch._C._jit_pass_dce(graph)


def run_torchscript(file: bytes, outputs: Sequence[str]) -> Run:
    """Opens a file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(io.BytesIO(file), map_location="cpu")

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            results = network(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        tensors = results if isinstance(results, tuple) else (results,)
        return {name: tensor.numpy() for name, tensor in zip(outputs, tensors, strict=True)}

    return run
