"""Networks of ncnn: what computes in a `.param`, the weights in a `.bin`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

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
