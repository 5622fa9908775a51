"""What is exported: a module with the tensors of the model contract, and what its file must agree with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from training.export.triton_entry import TensorSpec

Arrays = dict[str, NDArray[np.generic]]
Run = Callable[[Arrays], Arrays]
"""Computes outputs by name from inputs by name, the batch axis first."""

FLOATS = "floats"
"""Name of the output that a graph has for the parity gate alone: what its UINT8 pixels were rounded from."""


class Graph(nn.Module):
    """A module whose `forward` takes the inputs of the model contract by name and gives its outputs in order.

    One with UINT8 pixels appends the floats they were rounded from while `with_floats` is set.
    """

    with_floats = False

    def pixels(self, images: Tensor, floats: Tensor) -> Any:
        """What `forward` returns: `images`, and `floats` if they are asked for."""
        return (images, floats) if self.with_floats else images


@dataclass(frozen=True)
class SizeAxis:
    """An axis of an input that may have any length.

    Attributes:
        axis: Its position.
        name: What it is called, `height` or `width`.
        least: Least length.
    """

    axis: int
    name: str
    least: int


def batch_size(arrays: Arrays) -> int:
    """Samples in a batch."""
    return len(next(iter(arrays.values())))


@dataclass(frozen=True)
class Case:
    """Inputs of one batch, and the outputs that a file must give for them."""

    inputs: Arrays
    expected: Arrays


@dataclass(frozen=True)
class Exportable:
    """One Triton model before it is written in a format.

    Attributes:
        role: `mapping` or `synthesis` of a generator; empty for a model that is one graph.
        graph: In evaluation mode, on the CPU.
        inputs: What it takes, in the order of `forward`.
        outputs: What it gives.
        max_batch_size: Largest batch that Triton may make.
        draw_cases: Inputs of every batch and size that a file must agree on.
        reference: Computes the network itself, one sample at a time; its `floats` are compared if the graph
            has them.
        sizes: Axes of the first input, besides the batch, that are not fixed.
    """

    role: Literal["mapping", "synthesis", ""]
    graph: Graph
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    max_batch_size: int
    draw_cases: Callable[[], Sequence[Arrays]]
    reference: Run
    sizes: Sequence[SizeAxis] = ()

    @cached_property
    def cases(self) -> list[Case]:
        """Every case; computed once, for all formats."""
        return [Case(inputs, self.reference(inputs)) for inputs in self.draw_cases()]

    @property
    def output_names(self) -> list[str]:
        """The outputs of the contract."""
        return [output.name for output in self.outputs]

    @property
    def has_pixels(self) -> bool:
        """Whether its output is UINT8, so that it has `floats` for the gate."""
        return any(output.data_type == "TYPE_UINT8" for output in self.outputs)


@dataclass(frozen=True)
class Product:
    """What a deployable network becomes: Triton models that belong together.

    Attributes:
        models: One, or mapping and synthesis.
        card: What follows from the networks for the model card.
        measure: Adds to the card what is found out by running the exported models, given in order; the second
            argument names the runtime.
    """

    models: Sequence[Exportable]
    card: Mapping[str, Any]
    measure: Callable[[Sequence[Run], str], dict[str, Any]] = field(default=lambda _runs, _runtime: {})
