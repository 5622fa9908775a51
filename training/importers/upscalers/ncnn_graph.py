"""Graphs of ncnn: found again from their outputs, and computed layer by layer as their files say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn import functional as F

from training.importers.base import UnsupportedWeightsError
from training.importers.files.ncnn_file import NcnnLayer, StoredNcnn

MAX_INPUTS = 16
NEAREST, BILINEAR, BICUBIC = 1, 2, 3
"""Ways of `Interp`, its parameter 0."""
_SUM = 1  # of `Eltwise`, its parameter 0
_ADD, _MUL = 0, 2  # of `BinaryOp`, its parameter 0
_LEAKY = 2  # of `Convolution`, its parameter 9
_AXES = (
    (1, 1, 0),
    (11, 1, 0),
    (2, 2, 1),
    (12, 2, 1),
    (3, 3, 1),
    (13, 3, 1),
    (4, 4, 0),
    (14, 4, 0),
    (15, 4, 0),
    (16, 4, 0),
)
"""Of `Convolution`: kernel, dilation, stride and padding of each axis, whose they are if not given, and if
those are not either."""


class NcnnGraph:
    """What computes what; a `Split` only gives a blob further names.

    Args:
        stored: The pair of files.
        title: What it is called in messages.
    """

    def __init__(self, stored: StoredNcnn, title: str) -> None:
        self.title = title
        self._same: dict[str, str] = {}
        self._made_by: dict[str, NcnnLayer] = {}
        used: set[str] = set()
        for layer in stored.layers:
            # So that no walk along the graph can go in circles.
            known = all(blob in self._same for blob in layer.inputs)
            if not known or any(blob in self._same for blob in layer.outputs):
                raise UnsupportedWeightsError(f"{title}: layer {layer.name!r} takes or makes what it cannot")
            # Every layer is computed: none may lie beside the way from the input to the output.
            if not layer.outputs or len(layer.inputs) not in _inputs(layer):
                raise UnsupportedWeightsError(
                    f"{title}: layer {layer.name!r} ({layer.type}) has {len(layer.inputs)} inputs and "
                    f"{len(layer.outputs)} outputs, which cannot be computed"
                )
            for blob in layer.outputs:
                self._same[blob] = self._same[layer.inputs[0]] if layer.type == "Split" else blob
                self._made_by.setdefault(self._same[blob], layer)
            used.update(layer.inputs)
        inputs = [layer for layer in stored.layers if layer.type == "Input"]
        outputs = [blob for layer in stored.layers for blob in layer.outputs if blob not in used]
        if len(inputs) != 1 or len(outputs) != 1:
            raise UnsupportedWeightsError(
                f"{title} has {len(inputs)} inputs and {len(outputs)} outputs, not one each"
            )
        self.input, self.output = inputs[0].outputs[0], outputs[0]

    def makes(self, blob: str) -> NcnnLayer:
        """The layer that makes a blob."""
        return self._made_by[self._same[blob]]

    def is_same(self, one: str, other: str) -> bool:
        """Whether two names are of one blob."""
        return self._same[one] == self._same[other]

    def differs(self, blob: str, wanted: str) -> NoReturn:
        """Refuses the network for the layer that makes a blob."""
        layer = self.makes(blob)
        parameters = " ".join(f"{key}={value}" for key, value in layer.parameters.items())
        raise UnsupportedWeightsError(
            f"{self.title} is no network that can be imported: layer {layer.name!r} is a {layer.type} "
            f"({parameters}) where {wanted} is; RRDB and compact networks of Real-ESRGAN can be imported"
        )

    def conv(self, blob: str, slope: float | None = None) -> tuple[str, str]:
        """A 3×3 convolution that keeps the size, followed by a leaky ReLU if there is to be a slope.

        Returns:
            Name of the layer, and the blob it takes.
        """
        wanted = "a 3×3 convolution" + (f" and a leaky ReLU of {slope:g}" if slope is not None else "")
        layer, found = self.makes(blob), None
        if layer.type == "ReLU":
            found = number(layer, 0)
            layer = self.makes(layer.inputs[0])
            if number(layer, 9) != 0:
                self.differs(blob, wanted)
        elif layer.type == "Convolution" and number(layer, 9) == _LEAKY:
            found = number(layer, 10)
        if layer.type != "Convolution" or len(layer.inputs) != 1 or number(layer, 9) not in (0, _LEAKY):
            self.differs(blob, wanted)
        square = [number(layer, key, number(layer, of, default)) for key, of, default in _AXES]
        if square != [3, 3, 1, 1, 1, 1, 1, 1, 1, 1] or number(layer, 5) != 1 or number(layer, 18) != 0:
            self.differs(blob, wanted)
        if slope is None and found is not None:
            self.differs(blob, wanted)
        if slope is not None and (found is None or abs(found - slope) > 1e-6):
            self.differs(blob, wanted)
        return layer.name, layer.inputs[0]

    def terms(self, blob: str, wanted: str) -> list[tuple[float, str]]:
        """The two blobs that are summed, each with its factor; the smaller factor first."""
        layer = self.makes(blob)
        if len(layer.inputs) != 2:
            self.differs(blob, wanted)
        if layer.type == "Eltwise" and number(layer, 0) == _SUM:
            factors = numbers(layer, 1) or (1.0, 1.0)
            if len(factors) != 2:
                self.differs(blob, wanted)
            return sorted(zip(factors, layer.inputs, strict=True), key=lambda term: term[0])
        if layer.type == "BinaryOp" and number(layer, 0) == _ADD:
            return sorted((self._scaled(part) for part in layer.inputs), key=lambda term: term[0])
        self.differs(blob, wanted)

    def _scaled(self, blob: str) -> tuple[float, str]:
        layer = self.makes(blob)
        if layer.type == "BinaryOp" and number(layer, 0) == _MUL and number(layer, 1) == 1:
            return number(layer, 2), layer.inputs[0]
        return 1.0, blob

    def enlarged(self, blob: str, wanted: str) -> tuple[float, str]:
        """The factor of an enlargement by nearest neighbours, and what is enlarged."""
        layer = self.makes(blob)
        square = number(layer, 1, 1) == number(layer, 2, 1)
        if layer.type != "Interp" or number(layer, 0) != NEAREST or not square or len(layer.inputs) != 1:
            self.differs(blob, wanted)
        return number(layer, 1, 1), layer.inputs[0]


def _inputs(layer: NcnnLayer) -> range:
    """How many blobs a layer may take."""
    if layer.type in ("Concat", "Eltwise"):
        return range(1, MAX_INPUTS + 1)
    if layer.type == "BinaryOp":
        return range(1, 2) if number(layer, 1) == 1 else range(2, 3)
    return range(1) if layer.type == "Input" else range(1, 2)


def number(layer: NcnnLayer, key: int, default: float = 0) -> float:
    """A parameter of a layer that is one number."""
    value = layer.parameters.get(key, default)
    if isinstance(value, tuple):
        return float(value[0]) if value else default
    return float(value)


def numbers(layer: NcnnLayer, key: int) -> tuple[float, ...]:
    """A parameter of a layer that is several numbers; empty if it is not given."""
    value = layer.parameters.get(key, ())
    return tuple(map(float, value)) if isinstance(value, tuple) else (float(value),)


@torch.no_grad()
def compute(stored: StoredNcnn, x: Tensor) -> Tensor:
    """Computes every layer in the order of the file, as the documentation of ncnn's operators says.

    Args:
        stored: The pair of files.
        x: [N, 3, H, W], the only input.

    Returns:
        The blob that the last layer makes.

    Raises:
        UnsupportedWeightsError: If there is a layer of another type than those of Real-ESRGAN.
    """
    blobs: dict[str, Tensor] = {}
    weights = {name: {k: t.float() for k, t in of.items()} for name, of in stored.weights.items()}
    left = Counter(blob for layer in stored.layers for blob in layer.inputs)  # how often each is still needed
    y = x
    for layer in stored.layers:
        taken = [blobs[blob] for blob in layer.inputs]
        if layer.type == "Input":
            y = x
        elif layer.type not in _LAYERS:
            raise UnsupportedWeightsError(
                f"layer {layer.name!r} is a {layer.type}, which cannot be computed here"
            )
        else:
            y = _LAYERS[layer.type](layer, weights.get(layer.name, {}), taken)
        for blob in layer.inputs:
            left[blob] -= 1
            if not left[blob]:
                del blobs[blob]
        blobs.update(dict.fromkeys(layer.outputs, y))
    return y


def _convolution(layer: NcnnLayer, weights: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    y = F.conv2d(taken[0], weights["weight"], weights.get("bias"), padding=int(number(layer, 4)))
    return torch.where(y > 0, y, number(layer, 10) * y) if number(layer, 9) == _LEAKY else y


def _prelu(_: NcnnLayer, weights: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    return torch.where(taken[0] > 0, taken[0], weights["slope"][:, None, None] * taken[0])


def _eltwise(layer: NcnnLayer, _: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    factors = numbers(layer, 1) or (1.0,) * len(taken)
    return torch.stack([factor * part for factor, part in zip(factors, taken, strict=True)]).sum(0)


def _binary(layer: NcnnLayer, _: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    other = torch.tensor(number(layer, 2)) if number(layer, 1) == 1 else taken[1]
    return taken[0] * other if number(layer, 0) == _MUL else taken[0] + other


def _interp(layer: NcnnLayer, _: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    mode = {NEAREST: "nearest", BILINEAR: "bilinear", BICUBIC: "bicubic"}[int(number(layer, 0))]
    size = [round(side * number(layer, key, 1)) for side, key in zip(taken[0].shape[2:], (1, 2), strict=True)]
    return F.interpolate(taken[0], size, mode=mode)


def _pixel_shuffle(layer: NcnnLayer, _: Mapping[str, Tensor], taken: list[Tensor]) -> Tensor:
    return F.pixel_shuffle(taken[0], int(number(layer, 0, 1)))


_LAYERS: Mapping[str, Callable[[NcnnLayer, Mapping[str, Tensor], list[Tensor]], Tensor]] = {
    "Split": lambda _layer, _weights, taken: taken[0],
    "Concat": lambda _layer, _weights, taken: torch.cat(taken, dim=1),
    "Convolution": _convolution,
    "ReLU": lambda layer, _weights, taken: F.leaky_relu(taken[0], number(layer, 0)),
    "PReLU": _prelu,
    "Eltwise": _eltwise,
    "BinaryOp": _binary,
    "Interp": _interp,
    "PixelShuffle": _pixel_shuffle,
}
