"""An exported graph computed by PyTorch, so that gradients go through it.

ONNX Runtime computes a served model fast, but cannot say how its picture changes with its styles. Here each
node of the graph becomes the operation of PyTorch that ONNX's specification says it is; constants and what
follows from them alone are computed once. Only the operations that the export of this package writes are
known, and the numbers agree with ONNX Runtime's up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from training.errors import GantrainError

Attributes = Mapping[str, Any]
Operation = Callable[[Sequence[Any], Attributes], Any]
"""Inputs of a node, None where an optional one is left out, and its attributes → its one output."""


class UnknownOperationError(GantrainError):
    """A graph holds an operation that is not computed here; the message names it."""


class TorchGraph:
    """The part of an ONNX graph that one of its tensors follows from.

    Args:
        model: The model; of its outputs none need be the tensor that is wanted.
        output: Name of that tensor.
        fixed: Values of graph inputs that never change.
        device: Where to compute.
        replaceable: Names of constants that calls may give other values.

    Attributes:
        replaceable: Those constants by name.

    Raises:
        UnknownOperationError: If the graph holds an operation that is not computed here, or lacks the tensor.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        output: str,
        fixed: Mapping[str, Tensor],
        device: torch.device,
        replaceable: Sequence[str] = (),
    ) -> None:
        self.output = output
        values = {t.name: _tensor(t, device) for t in model.graph.initializer}
        values |= {name: value.to(device) for name, value in fixed.items()}
        self.replaceable = {name: values[name] for name in replaceable}
        self.nodes: list[onnx.NodeProto] = []
        self.attributes: list[dict[str, Any]] = []
        for name in replaceable:
            del values[name]
        with torch.no_grad():
            for node in _needed(model.graph, output):
                attributes = {a.name: _attribute(a, device) for a in node.attribute}
                if node.op_type not in OPERATIONS or len(node.output) > 1:
                    raise UnknownOperationError(
                        f"the graph has a node {node.op_type}, which has no gradient here"
                    )
                if all(name in values for name in node.input if name):
                    inputs = [values[name] if name else None for name in node.input]
                    values[node.output[0]] = OPERATIONS[node.op_type](inputs, attributes)
                else:
                    self.nodes.append(node)
                    self.attributes.append(attributes)
        read = {name for node in self.nodes for name in node.input}
        self.values = {name: value.contiguous() for name, value in values.items() if name in read}

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The wanted tensor.

        Args:
            inputs: Graph inputs that are not fixed, and constants to be replaced, by name.
        """
        values = {**self.values, **self.replaceable, **inputs}
        for node, attributes in zip(self.nodes, self.attributes, strict=True):
            arguments = [values[name] if name else None for name in node.input]
            values[node.output[0]] = OPERATIONS[node.op_type](arguments, attributes)
        result: Tensor = values[self.output]
        return result


def _needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that a tensor follows from, in order."""
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            nodes.append(node)
    if not nodes:
        raise UnknownOperationError(f"the graph has no tensor {output!r}: this package did not export it")
    return nodes[::-1]


def _tensor(proto: onnx.TensorProto, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(numpy_helper.to_array(proto))).to(device)


def _attribute(attribute: onnx.AttributeProto, device: torch.device) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _tensor(value, device)
    return value.decode() if isinstance(value, bytes) else value


def _integers(x: Any) -> list[int]:
    return [int(v) for v in x.flatten().tolist()]


def _axes(x: Sequence[Any], a: Attributes) -> list[int] | None:
    """Axes as operations have them since opset 13: the second input, or none."""
    if len(x) > 1 and x[1] is not None:
        return _integers(x[1])
    return list(a["axes"]) if "axes" in a else None


def _unsqueeze(x: Sequence[Any], a: Attributes) -> Tensor:
    axes = _axes(x, a) or []
    y: Tensor = x[0]
    for axis in sorted(axis % (x[0].ndim + len(axes)) for axis in axes):
        y = y.unsqueeze(axis)
    return y


def _squeeze(x: Sequence[Any], a: Attributes) -> Tensor:
    axes = _axes(x, a)
    y: Tensor = x[0].squeeze() if axes is None else x[0].squeeze(tuple(axes))
    return y


def _gather(x: Sequence[Any], a: Attributes) -> Tensor:
    axis = a.get("axis", 0) % x[0].ndim
    index = x[1] % x[0].shape[axis]  # negative ones count from the end
    y: Tensor = x[0].index_select(axis, index.flatten())
    return y.reshape(*x[0].shape[:axis], *index.shape, *x[0].shape[axis + 1 :])


def _slice(x: Sequence[Any], a: Attributes) -> Tensor:
    starts, ends = _integers(x[1]), _integers(x[2])
    axes = _integers(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = _integers(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    y: Tensor = x[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise UnknownOperationError(
                "the graph has a Slice that runs backwards, which has no gradient here"
            )
        index = [slice(None)] * y.ndim
        index[axis] = slice(start, end, step)
        y = y[tuple(index)]
    return y


def _reshape(x: Sequence[Any], a: Attributes) -> Tensor:
    shape = _integers(x[1])
    if not a.get("allowzero", 0):
        shape = [x[0].shape[i] if length == 0 else length for i, length in enumerate(shape)]
    y: Tensor = x[0].reshape(shape)
    return y


def _expand(x: Sequence[Any], a: Attributes) -> Tensor:
    y: Tensor = x[0].expand(torch.broadcast_shapes(x[0].shape, _integers(x[1])))
    return y


def _shape(x: Sequence[Any], a: Attributes) -> Tensor:
    return torch.tensor(list(x[0].shape)[a.get("start", 0) : a.get("end")], device=x[0].device)


def _constant(x: Sequence[Any], a: Attributes) -> Tensor:
    y: Tensor = a["value"]
    return y


def _constant_of_shape(x: Sequence[Any], a: Attributes) -> Tensor:
    value: Tensor = a.get("value", torch.zeros(1))
    return value.to(x[0].device).expand(_integers(x[0])).clone()


def _cast(x: Sequence[Any], a: Attributes) -> Tensor:
    dtype = torch.from_numpy(np.empty(0, onnx.helper.tensor_dtype_to_np_dtype(a["to"]))).dtype
    y: Tensor = x[0].to(dtype)
    return y


def _mod(x: Sequence[Any], a: Attributes) -> Tensor:
    # `fmod` asks for the sign of the dividend, as C has it; otherwise it is that of the divisor.
    return torch.fmod(x[0], x[1]) if a.get("fmod", 0) else torch.remainder(x[0], x[1])


def _div(x: Sequence[Any], a: Attributes) -> Tensor:
    whole = not x[0].is_floating_point()
    return torch.div(x[0], x[1], rounding_mode="trunc" if whole else None)


def _clip(x: Sequence[Any], a: Attributes) -> Tensor:
    low, high = (*x[1:], None, None)[:2]
    y: Tensor = x[0]
    y = y if low is None else torch.maximum(y, low)
    return y if high is None else torch.minimum(y, high)


def _gemm(x: Sequence[Any], a: Attributes) -> Tensor:
    left = x[0].T if a.get("transA", 0) else x[0]
    right = x[1].T if a.get("transB", 0) else x[1]
    y: Tensor = left @ right * a.get("alpha", 1.0)
    return y if len(x) < 3 or x[2] is None else y + x[2] * a.get("beta", 1.0)


def _reduce(compute: Callable[[Tensor, list[int], bool], Tensor]) -> Operation:
    def reduce(x: Sequence[Any], a: Attributes) -> Tensor:
        axes = _axes(x, a)
        if axes is None and a.get("noop_with_empty_axes", 0):
            y: Tensor = x[0]
            return y
        dims = list(range(x[0].ndim)) if axes is None else axes
        keep = bool(a.get("keepdims", 1))
        return compute(x[0], dims, keep)

    return reduce


def _padding(a: Attributes, kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """Rows and columns that are added before and after."""
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UnknownOperationError(f"the graph has a convolution with auto_pad {a['auto_pad']}")
    pads = list(a.get("pads", [0] * 2 * len(kernel)))
    return pads[: len(kernel)], pads[len(kernel) :]


def _conv(x: Sequence[Any], a: Attributes) -> Tensor:
    before, after = _padding(a, x[1].shape[2:])
    image: Tensor = x[0]
    if before != after:
        image = F.pad(image, [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair])
        before = [0] * len(before)
    bias = x[2] if len(x) > 2 else None
    ones = [1] * len(before)
    return torch.convolution(
        image, x[1], bias, list(a.get("strides", ones)), before, list(a.get("dilations", ones)),
        False, [0] * len(before), a.get("group", 1),
    )  # fmt: skip


def _conv_transpose(x: Sequence[Any], a: Attributes) -> Tensor:
    before, after = _padding(a, x[1].shape[2:])
    if before != after or "output_shape" in a:
        raise UnknownOperationError("the graph has a ConvTranspose whose borders are not alike")
    bias = x[2] if len(x) > 2 else None
    ones = [1] * len(before)
    return torch.convolution(
        x[0], x[1], bias, list(a.get("strides", ones)), before, list(a.get("dilations", ones)),
        True, list(a.get("output_padding", [0] * len(before))), a.get("group", 1),
    )  # fmt: skip


def _depth_to_space(x: Sequence[Any], a: Attributes) -> Tensor:
    if a.get("mode") != "CRD":
        raise UnknownOperationError("the graph has a DepthToSpace of another order than CRD")
    return F.pixel_shuffle(x[0], a["blocksize"])


def _pad(x: Sequence[Any], a: Attributes) -> Tensor:
    mode = a.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge") or (len(x) > 3 and x[3] is not None):
        raise UnknownOperationError(f"the graph has a Pad of mode {mode}, or of some axes")
    pads = _integers(x[1])
    n = len(pads) // 2
    pairs = [(pads[i], pads[i + n]) for i in reversed(range(n))]
    while pairs and mode != "constant" and pairs[-1] == (0, 0):
        pairs.pop()  # PyTorch reflects the last axes alone
    flat = [length for pair in pairs for length in pair]
    if mode == "constant":
        value = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
        return F.pad(x[0], flat, value=value)
    return F.pad(x[0], flat, mode="replicate" if mode == "edge" else mode)


OPERATIONS: dict[str, Operation] = {
    "Abs": lambda x, _: x[0].abs(),
    "Add": lambda x, _: x[0] + x[1],
    "And": lambda x, _: x[0] & x[1],
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda x, a: torch.cat(list(x), dim=a["axis"]),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Cos": lambda x, _: x[0].cos(),
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Equal": lambda x, _: x[0] == x[1],
    "Exp": lambda x, _: x[0].exp(),
    "Expand": _expand,
    "Flatten": lambda x, a: x[0].reshape(math.prod(x[0].shape[: a.get("axis", 1)]), -1),
    "Gather": _gather,
    "Gemm": _gemm,
    "GreaterOrEqual": lambda x, _: x[0] >= x[1],
    "Greater": lambda x, _: x[0] > x[1],
    "Identity": lambda x, _: x[0],
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Less": lambda x, _: x[0] < x[1],
    "LessOrEqual": lambda x, _: x[0] <= x[1],
    "Log": lambda x, _: x[0].log(),
    "MatMul": lambda x, _: x[0] @ x[1],
    "Max": lambda x, _: torch.maximum(x[0], x[1]),
    "Min": lambda x, _: torch.minimum(x[0], x[1]),
    "Mod": _mod,
    "Mul": lambda x, _: x[0] * x[1],
    "Neg": lambda x, _: -x[0],
    "Not": lambda x, _: ~x[0],
    "Or": lambda x, _: x[0] | x[1],
    "Pad": _pad,
    "Pow": lambda x, _: x[0] ** x[1],
    "Reciprocal": lambda x, _: x[0].reciprocal(),
    "ReduceL2": _reduce(lambda x, dims, keep: x.square().sum(dims, keep).sqrt()),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda x, _: x[0].relu(),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": lambda x, _: x[0].sigmoid(),
    "Sin": lambda x, _: x[0].sin(),
    "Slice": _slice,
    "Sqrt": lambda x, _: x[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda x, _: x[0] - x[1],
    "Tanh": lambda x, _: x[0].tanh(),
    "Transpose": lambda x, a: (
        x[0].permute(a["perm"]) if "perm" in a else x[0].permute(*range(x[0].ndim)[::-1])
    ),
    "Unsqueeze": _unsqueeze,
    "Where": lambda x, _: torch.where(x[0], x[1], x[2]),
}
"""What each node computes, by ONNX's name of it (opset 18)."""
