"""How a Python-based backend answers the requests that Triton gathered: together where their shapes agree.

Copied beside each backend's `model.py`, which imports it by its bare name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Array = np.ndarray[Any, Any]


class Batching:
    """Runs requests through a model, as few runs as possible.

    Args:
        inputs: Names of what the model takes.
        outputs: Names of what it gives, in the order of `compute`'s results.
        batched: Whether the first axis of every tensor is the batch.
        compute: From inputs by name to all outputs.
        runtime: What computes, for messages.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        batched: bool,
        compute: Callable[[dict[str, Array]], Sequence[Array]],
        runtime: str,
    ) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._batched = batched
        self._compute = compute
        self._runtime = runtime

    def answer(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch, in order.

        Requests whose inputs agree in shape (the batch axis aside) share one run. A request that was
        cancelled is not computed, and one that fails takes no other with it.
        """
        responses: list[Any] = [None] * len(requests)
        groups: dict[tuple[Any, ...], list[_Pending]] = defaultdict(list)
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _failure("cancelled by the client", pb_utils.TritonError.CANCELLED)
                continue
            try:
                pending = self._read(index, request)
            except Exception as error:
                responses[index] = _failure(f"cannot read the request: {error}")
                continue
            groups[pending.shape_key if self._batched else (index,)].append(pending)
        for group in groups.values():
            for pending, response in zip(group, self._run(group), strict=True):
                responses[pending.index] = response
        return responses

    def _read(self, index: int, request: Any) -> _Pending:
        arrays = {}
        for name in self._inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input {name!r} is missing")
            arrays[name] = tensor.as_numpy()
        if self._batched and len({len(array) for array in arrays.values()}) != 1:
            sizes = {name: len(array) for name, array in arrays.items()}
            raise ValueError(f"inputs differ in batch size: {sizes}")
        return _Pending(index, arrays, set(request.requested_output_names()))

    def _run(self, group: list[_Pending]) -> list[Any]:
        """One response for each of `group`, from one run where that succeeds."""
        if len(group) == 1:
            feeds = group[0].arrays
        else:
            feeds = {
                name: np.concatenate([pending.arrays[name] for pending in group]) for name in self._inputs
            }
        try:
            results = self._compute(feeds)
            self._check(results, sum(pending.batch_size for pending in group))
        except Exception as error:  # runtimes raise many classes, few of them public
            if len(group) == 1:
                return [_failure(f"{self._runtime} failed: {error}")]
            # One of them is to blame: alone, each gets its own answer.
            return [self._run([pending])[0] for pending in group]
        responses = []
        start = 0
        for pending in group:
            stop = start + pending.batch_size
            tensors = [
                pb_utils.Tensor(name, result[start:stop] if self._batched else result)
                for name, result in zip(self._outputs, results, strict=True)
                if name in pending.wanted
            ]
            responses.append(pb_utils.InferenceResponse(tensors))
            start = stop
        return responses

    def _check(self, results: Sequence[Array], samples: int) -> None:
        """Raises ValueError unless there is a result for each output, with a row for each sample."""
        if len(results) != len(self._outputs):
            raise ValueError(
                f"the model gives {len(results)} results, and the config has {len(self._outputs)}"
            )
        for name, result in zip(self._outputs, results, strict=True):
            if self._batched and (result.ndim == 0 or len(result) != samples):
                raise ValueError(f"output {name!r} is {list(result.shape)} for a batch of {samples}")


class _Pending:
    """A request that is to be computed: its place among the answers, its inputs, the outputs it wants."""

    def __init__(self, index: int, arrays: dict[str, Array], wanted: set[str]) -> None:
        self.index = index
        self.arrays = arrays
        self.wanted = wanted
        self.batch_size = len(next(iter(arrays.values()))) if arrays else 0
        self.shape_key = tuple((array.shape[1:], array.dtype.str) for array in arrays.values())


def _failure(message: str, code: int | None = None) -> Any:
    code = pb_utils.TritonError.INVALID_ARG if code is None else code
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
