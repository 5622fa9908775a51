"""Triton's `onnxruntime` backend in Python: what the embedded Triton computes with.

It is a Python-based backend, so any model whose config says `backend: "onnxruntime"` is served by it, and the
same model repository runs unchanged on a Triton with the native backend. Triton imports this file in a
process of its own per model instance; nothing else imports it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from batching import Batching
from model_file import find_model_file, parameter
from row_workers import RowWorkers


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
        # Opened by its path, not by its content: a model beyond 2 GiB keeps its weights in files beside it.
        path = find_model_file(args, config, "model.onnx")
        providers = _providers(args)
        threads = int(parameter(config, "intra_op_thread_count") or 0)
        try:
            session = ort.InferenceSession(str(path), _session_options(config, threads), providers)
        except Exception as error:  # ONNX Runtime raises many classes, none of them public
            raise pb_utils.TritonModelException(f"ONNX Runtime cannot open {path}: {error}") from None
        outputs = [value.name for value in session.get_outputs()]
        batched = int(config.get("max_batch_size", 0)) > 0

        def compute(feeds: dict[str, Any]) -> list[Any]:
            return list(session.run(outputs, feeds))

        def open_narrow() -> Callable[[dict[str, Any]], list[Any]]:
            narrow = ort.InferenceSession(str(path), _session_options(config, threads=1), providers)
            return lambda feeds: list(narrow.run(outputs, feeds))

        self._workers = None
        # Whoever says how many threads there shall be gets them, as from the native backend.
        if batched and threads == 0 and args["model_instance_kind"] != "GPU":
            self._workers = RowWorkers(compute, open_narrow)
        self._batching = Batching(
            [value.name for value in session.get_inputs()],
            outputs,
            batched=batched,
            compute=self._workers or compute,
            runtime="ONNX Runtime",
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch, in order."""
        responses: list[Any] = self._batching.answer(requests)
        return responses

    def finalize(self) -> None:
        """Let go of the sessions, and with them of the device memory."""
        if self._workers is not None:
            self._workers.close()
        del self._batching, self._workers


def _session_options(config: dict[str, Any], threads: int) -> ort.SessionOptions:
    """Session options from the parameters that the native onnxruntime backend knows by the same names."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = int(parameter(config, "inter_op_thread_count") or 0)
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
