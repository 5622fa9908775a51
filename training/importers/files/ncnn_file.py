"""Networks of ncnn: what computes in a `.param`, the weights in a `.bin`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.inert import checked_name, shown
from training.importers.files.window import Window

MAGIC = b"7767517"
"""The first line of a `.param`."""
MAX_TEXT = 2 * 2**20
MAX_LAYERS = 100_000
MAX_PORTS = 4_096
"""Inputs or outputs of one layer."""
MAX_PARAMETERS = 256
MAX_DIGITS = 32

Parameter = int | float | tuple[int | float, ...]


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a `.param`.

    Attributes:
        type: Such as `Convolution`.
        name: Unique in the file.
        inputs: Names of the blobs it takes.
        outputs: Names of the blobs it makes.
        parameters: By ncnn's numbers; of a convolution 0 is the output channels, 1 the kernel, 5 the bias,
            6 how many weights, 9 the activation.
    """

    type: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    parameters: Mapping[int, Parameter]


@dataclass(frozen=True)
class StoredNcnn:
    """A pair of files of ncnn.

    Attributes:
        layers: In the order they compute.
        weights: Of each layer that has any, by its name: of convolutions `weight` [O, I / groups, kH, kW]
            and `bias` [O]; of inner products `weight` [O, I] and `bias` [O]; of PReLU `slope` [C]. In the
            precision of the file.
    """

    layers: Sequence[NcnnLayer]
    weights: Mapping[str, Mapping[str, Tensor]]


_HALF = 0x01306B47
_INT8 = 0x000D4B38
_PLAIN = (0, 0x0002C056)
_ARRAY = -23300
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise")
_WEIGHTLESS = frozenset(
    {
        "Input", "Split", "Concat", "Slice", "Crop", "Padding", "Noop", "Dropout", "Reshape",
        "Permute", "Flatten", "BinaryOp", "UnaryOp", "Eltwise", "Interp", "PixelShuffle", "Reorg",
        "Pooling", "Clip", "ReLU", "Sigmoid", "TanH", "Swish", "HardSigmoid", "HardSwish", "ELU",
        "GELU", "Mish", "Softmax", "Squeeze", "ExpandDims", "Reduction", "Cast", "Packing",
    }
)  # fmt: skip


def read_ncnn(text: Window, weights: Window) -> StoredNcnn:
    """Reads a pair of files of ncnn.

    Args:
        text: The `.param`.
        weights: The `.bin`.

    Returns:
        What they hold.

    Raises:
        UnreadableWeightsError: If either is damaged, or they do not belong together.
        UnsupportedWeightsError: If the weights are of 8 bits or of a table, or a layer's are not known.
    """
    layers = _layers(text)
    reader = _Weights(weights)
    stored: dict[str, Mapping[str, Tensor]] = {}
    for layer in layers:
        tensors = reader.of(layer)
        if tensors:
            stored[layer.name] = tensors
    if reader.at != weights.size:
        raise UnreadableWeightsError(
            f"does not belong with its .param: that uses {reader.at:,} of its {weights.size:,} bytes"
        )
    return StoredNcnn(layers, stored)


def _layers(text: Window) -> list[NcnnLayer]:
    if text.size > MAX_TEXT:
        raise UnreadableWeightsError(f"has a .param of {text.size:,} bytes; at most {MAX_TEXT:,} are read")
    try:
        lines = text.read(0, text.size).decode("ascii").splitlines()
        if lines[0].strip() != MAGIC.decode():
            raise ValueError("no magic number")
        count, _ = (_integer(number) for number in lines[1].split())
        rows = [line.split() for line in lines[2:] if line.strip()]
        if count != len(rows) or count > MAX_LAYERS:
            raise ValueError("another number of layers")
        layers = [_layer(row) for row in rows]
    except (ValueError, IndexError) as error:
        raise UnreadableWeightsError(
            "has a damaged .param; only ncnn's text is read, not its binary"
        ) from error
    if len({layer.name for layer in layers}) != len(layers):
        raise UnreadableWeightsError("has a .param with two layers of one name")
    return layers


def _layer(row: list[str]) -> NcnnLayer:
    inputs, outputs = _integer(row[2]), _integer(row[3])
    if not (0 <= inputs <= MAX_PORTS and 0 <= outputs <= MAX_PORTS) or len(row) < 4 + inputs + outputs:
        raise ValueError("a layer without its inputs")
    items = row[4 + inputs + outputs :]
    if len(items) > MAX_PARAMETERS:
        raise ValueError("a layer of very many parameters")
    parameters = dict(_parameter(item) for item in items)
    for name in row[: 4 + inputs + outputs]:
        checked_name(name)
    return NcnnLayer(row[0], row[1], row[4 : 4 + inputs], row[4 + inputs : 4 + inputs + outputs], parameters)


def _parameter(item: str) -> tuple[int, Parameter]:
    key, _, value = item.partition("=")
    number = _integer(key)
    if number <= _ARRAY:
        values = [_number(each) for each in value.split(",")]
        if values[0] != len(values) - 1:
            raise ValueError("an array of another length")
        return _ARRAY - number, tuple(values[1:])
    return number, _number(value)


def _number(text: str) -> int | float:
    return float(text) if "." in text or "e" in text.lower() else _integer(text)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number without an end")
    return int(text)


class _Weights:
    """Takes one layer's weights after the other; each follows the one before, without names."""

    def __init__(self, window: Window) -> None:
        self._window, self.at = window, 0

    def of(self, layer: NcnnLayer) -> dict[str, Tensor]:
        """The weights of a layer."""
        if layer.type in _CONVOLUTIONS:
            return self._convolution(layer)
        if layer.type == "InnerProduct":
            outputs, size = _size(layer, 0), _size(layer, 2)
            return self._matrix(layer, (outputs, size // max(outputs, 1)), size, bias=_size(layer, 1))
        if layer.type == "PReLU":
            return {"slope": self._floats(_size(layer, 0))}
        if layer.type not in _WEIGHTLESS:
            raise UnsupportedWeightsError(
                f"has a layer {shown(layer.name)} of ncnn's {shown(layer.type)}, which is not read"
            )
        return {}

    def _convolution(self, layer: NcnnLayer) -> dict[str, Tensor]:
        outputs, width, size = _size(layer, 0), _size(layer, 1), _size(layer, 6)
        height = _size(layer, 11, width)
        if layer.parameters.get(8, 0):
            raise _eight_bits(layer)
        if layer.parameters.get(19, 0):
            raise UnsupportedWeightsError(f"has a layer {shown(layer.name)} whose weights are computed")
        inputs = size // max(outputs * width * height, 1)
        return self._matrix(layer, (outputs, inputs, height, width), size, bias=_size(layer, 5))

    def _matrix(self, layer: NcnnLayer, shape: tuple[int, ...], size: int, *, bias: int) -> dict[str, Tensor]:
        if size == 0 or math.prod(shape) != size:
            raise UnreadableWeightsError(
                f"has a layer {shown(layer.name)} of {size:,} weights for {list(shape)}"
            )
        tensors = {"weight": self._flagged(layer, size).reshape(shape)}
        return {**tensors, "bias": self._floats(shape[0])} if bias else tensors

    def _flagged(self, layer: NcnnLayer, count: int) -> Tensor:
        """Numbers behind a mark of what precision they are of."""
        flag = int.from_bytes(self._window.read(self.at, 4), "little")
        self.at += 4
        if flag == _HALF:
            half = self._numbers(count, torch.float16)
            self.at += -self.at % 4
            return half
        if flag == _INT8:
            raise _eight_bits(layer)
        if flag not in _PLAIN:
            raise UnsupportedWeightsError(
                f"has a layer {shown(layer.name)} whose weights are indices of a table, or that is damaged; "
                "convert the network to ncnn with fp16 or fp32 weights"
            )
        return self._floats(count)

    def _floats(self, count: int) -> Tensor:
        return self._numbers(count, torch.float32)

    def _numbers(self, count: int, dtype: torch.dtype) -> Tensor:
        part = self._window.part(self.at, count * dtype.itemsize)
        self.at += part.size
        return torch.frombuffer(part.all(), dtype=dtype) if count else torch.empty(0, dtype=dtype)


def _size(layer: NcnnLayer, key: int, default: int = 0) -> int:
    value = layer.parameters.get(key, default)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise UnreadableWeightsError(f"has a layer {shown(layer.name)} whose parameter {key} is no size")
    return value


def _eight_bits(layer: NcnnLayer) -> UnsupportedWeightsError:
    return UnsupportedWeightsError(
        f"has a layer {shown(layer.name)} of 8-bit weights: import the network it was made from, or one of "
        "fp16 or fp32"
    )
