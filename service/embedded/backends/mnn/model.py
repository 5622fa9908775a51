"""Triton's `mnn` backend in Python: models of MNN in the embedded Triton, on the CPU.

No Triton has a native backend of this name; it is a Python-based backend, which can be put into any Triton's
folder of backends, with the files beside this one's folder. Triton imports this file in a process of its own
per model instance; nothing else imports it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from batching import Batching
from model_file import find_model_file, parameter

try:
    import MNN
    from MNN import expr
except ImportError:
    MNN = None

Array = np.ndarray[Any, Any]


class TritonPythonModel:
    """One instance of one model: a module of MNN that the batches gathered by Triton run through."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the version's model file.

        Args:
            args: What Triton says about the instance: its config, place in the repository, kind and device.

        Raises:
            pb_utils.TritonModelException: MNN is not installed, or a GPU is asked for; or the file is
                missing, is not the one its card describes, cannot be opened, or has other tensors than the
                config says. Triton then reports the model as unavailable, and why.
        """
        if MNN is None:
            raise pb_utils.TritonModelException(
                "this is a model of MNN, which is not installed; install ganserve[mnn], or export the model "
                "to ONNX"
            )
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(
                "the model's instance group asks for a GPU, but MNN computes on the CPU; set the instance "
                "group's kind to KIND_CPU, or export the model to ONNX"
            )
        config = json.loads(args["model_config"])
        path = find_model_file(args, config, "model.mnn")
        threads = int(parameter(config, "intra_op_thread_count") or 0) or len(os.sched_getaffinity(0))
        module, inputs, outputs = open_module(str(path), threads)
        _check_names("takes", inputs, config["input"])
        _check_names("gives", outputs, config["output"])
        batched = int(config.get("max_batch_size", 0)) > 0
        types = {"uint8": expr.uint8, "int32": expr.int, "float32": expr.float}

        def compute_sample(arrays: list[Array]) -> list[Array]:
            results = module.forward(
                [expr.const(a, list(a.shape), expr.NCHW, types[a.dtype.name]) for a in arrays]
            )
            return [np.array(result.read()) for result in results]  # copies: the next run writes there

        def compute(feeds: dict[str, Array]) -> list[Array]:
            given = [np.ascontiguousarray(feeds[name]) for name in inputs]
            if not batched:
                return compute_sample(given)
            # One at a time: MNN chooses its tiles by the size of a batch, and each choice rounds otherwise,
            # so that pixels would depend on what else is asked for.
            samples = [compute_sample([each[i : i + 1] for each in given]) for i in range(len(given[0]))]
            return [np.concatenate(each) for each in zip(*samples, strict=True)]

        self._batching = Batching(
            inputs,
            outputs,
            batched=batched,
            compute=compute,
            runtime="MNN",
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch, in order."""
        responses: list[Any] = self._batching.answer(requests)
        return responses

    def finalize(self) -> None:
        """Let go of the module."""
        del self._batching


def open_module(path: str, threads: int) -> tuple[Any, list[str], list[str]]:
    """A model on the CPU, in single precision throughout; and names of its inputs and outputs, in order.

    Raises:
        pb_utils.TritonModelException: It cannot be opened.
    """
    config = {"backend": "CPU", "precision": "high", "numThread": threads}
    try:
        runtime = MNN.nn.create_runtime_manager((config,))
        module = MNN.nn.load_module_from_file(path, [], [], runtime_manager=runtime)
        info = module.get_info()
    except Exception as error:  # whatever its binding makes of a file it cannot read
        raise pb_utils.TritonModelException(f"MNN cannot open {path}: {error}") from None
    return module, info["inputNames"], info["outputNames"]


def _check_names(verb: str, names: list[str], specs: list[dict[str, Any]]) -> None:
    """Raises TritonModelException unless the config lists these tensors, in whatever order."""
    said = [spec["name"] for spec in specs]
    if sorted(names) != sorted(said):
        raise pb_utils.TritonModelException(
            f"the model {verb} {', '.join(names)}, and the config has {', '.join(said)}"
        )
