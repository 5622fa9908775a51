"""Triton's `onnxruntime` backend in Python: what the embedded Triton computes with.

It is a Python-based backend, so any model whose config says `backend: "onnxruntime"` is served by it, and the
same model repository runs unchanged on a Triton with the native backend. Triton imports this file in a
process of its own per model instance; nothing else imports it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session that the batches gathered by Triton run through."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the version's model file.

        Args:
            args: What Triton says about the instance: its config, place in the repository, kind and device.

        Raises:
            pb_utils.TritonModelException: The file is missing, is not the one its card describes, or cannot
                be opened on the device asked for; Triton then reports the model as unavailable, and why.
        """
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], filename)
        try:
            payload = path.read_bytes()
        except OSError as error:
            raise pb_utils.TritonModelException(f"cannot read {path}: {error.strerror}") from None
        _check_digest(path, payload, config)
        # From the path, not from `payload`: a model beyond 2 GiB keeps its weights in files beside it.
        del payload
        try:
            self._session = ort.InferenceSession(
                str(path), sess_options=_session_options(config), providers=_providers(args)
            )
        except Exception as error:  # ONNX Runtime raises many classes, none of them public
            raise pb_utils.TritonModelException(f"ONNX Runtime cannot open {path}: {error}") from None
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._batched = int(config.get("max_batch_size", 0)) > 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch, in order.

        Requests whose inputs agree in shape (the batch axis aside) share one session run. A request that
        was cancelled is not computed, and one that fails takes no other with it.
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

    def finalize(self) -> None:
        """Let go of the session, and with it of the device memory."""
        del self._session

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
        """One response for each of `group`, from one session run where that succeeds."""
        if len(group) == 1:
            feeds = group[0].arrays
        else:
            feeds = {
                name: np.concatenate([pending.arrays[name] for pending in group]) for name in self._inputs
            }
        try:
            results = self._session.run(self._outputs, feeds)
        except Exception as error:  # ONNX Runtime raises many classes, none of them public
            if len(group) == 1:
                return [_failure(f"ONNX Runtime failed: {error}")]
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


class _Pending:
    """A request that is to be computed: its place among the answers, its inputs, the outputs it wants."""

    def __init__(self, index: int, arrays: dict[str, np.ndarray[Any, Any]], wanted: set[str]) -> None:
        self.index = index
        self.arrays = arrays
        self.wanted = wanted
        self.batch_size = len(next(iter(arrays.values()))) if arrays else 0
        self.shape_key = tuple((array.shape[1:], array.dtype.str) for array in arrays.values())


def _failure(message: str, code: int | None = None) -> Any:
    code = pb_utils.TritonError.INVALID_ARG if code is None else code
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _parameter(config: dict[str, Any], name: str) -> str | None:
    value = config.get("parameters", {}).get(name, {}).get("string_value")
    return value if value else None


def _check_digest(path: Path, payload: bytes, config: dict[str, Any]) -> None:
    """Refuse a file that is not the one its card was written for: its pixels would not be the card's."""
    card = _parameter(config, "card")
    expected = json.loads(card).get("digest") if card else None
    if expected is None:
        return
    digest = hashlib.sha256(payload).hexdigest()
    if digest != expected:
        raise pb_utils.TritonModelException(
            f"{path} is not the file its card describes: sha256 is {digest}, the card says {expected}; "
            "export the model again or restore the file"
        )


def _session_options(config: dict[str, Any]) -> ort.SessionOptions:
    """Session options from the parameters that the native onnxruntime backend knows by the same names."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(_parameter(config, "intra_op_thread_count") or 0)
    options.inter_op_num_threads = int(_parameter(config, "inter_op_thread_count") or 0)
    # Idle threads sleep instead of spinning: the gateway shares these cores and has images to encode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _providers(args: dict[str, str]) -> list[Any]:
    """Where to compute: on the instance's GPU if it is one of `KIND_GPU`, else on the CPU."""
    if args["model_instance_kind"] != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise pb_utils.TritonModelException(
            "the model's instance group asks for a GPU, but the installed ONNX Runtime computes on the CPU "
            "only; install ganserve[serve,gpu], or set the instance group's kind to KIND_CPU"
        )
    device = {"device_id": int(args["model_instance_device_id"])}
    return [("CUDAExecutionProvider", device), "CPUExecutionProvider"]
