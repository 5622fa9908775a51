"""Triton's `pytorch` backend in Python: TorchScript models in the embedded Triton.

It is a Python-based backend, so any model whose config says `backend: "pytorch"` is served by it, and the
same model repository runs unchanged on a Triton with the native LibTorch backend. It is the only part of the
service that needs PyTorch, and only where there is such a model. Triton imports this file in a process of its
own per model instance; nothing else imports it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from batching import Batching
from model_file import find_model_file, parameter

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Array = np.ndarray[Any, Any]


class TritonPythonModel:
    """One instance of one model: a TorchScript module that the batches gathered by Triton run through."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the version's model file.

        Args:
            args: What Triton says about the instance: its config, place in the repository, kind and device.

        Raises:
            pb_utils.TritonModelException: PyTorch is not installed; or the file is missing, is not the one
                its card describes, cannot be opened on the device asked for, or takes other inputs than the
                config says. Triton then reports the model as unavailable, and why.
        """
        if torch is None:
            raise pb_utils.TritonModelException(
                "this is a TorchScript model, and PyTorch is not installed; install it beside ganserve with: "
                "pip install torch, or export the model to ONNX"
            )
        config = json.loads(args["model_config"])
        path = find_model_file(args, config, "model.pt")
        device = _device(args)
        if threads := parameter(config, "INTRA_OP_THREAD_COUNT"):
            torch.set_num_threads(int(threads))
        try:
            module = torch.jit.load(str(path), map_location=device)
        except Exception as error:  # from a broken zip file to an operator this version does not know
            raise pb_utils.TritonModelException(f"PyTorch cannot open {path}: {error}") from None
        arguments = [argument.name for argument in module.forward.schema.arguments[1:]]
        inputs = in_order_of_arguments([spec["name"] for spec in config["input"]], arguments)

        def compute(feeds: dict[str, Array]) -> list[Array]:
            with torch.inference_mode():
                # What Triton lends is read-only, which tensors cannot be.
                tensors = [torch.from_numpy(np.require(feeds[name], requirements="W")) for name in inputs]
                results = module(*(tensor.to(device) for tensor in tensors))
            results = results if isinstance(results, tuple | list) else (results,)
            return [result.cpu().contiguous().numpy() for result in results]

        self._batching = Batching(
            inputs,
            in_order_of_results([spec["name"] for spec in config["output"]]),
            batched=int(config.get("max_batch_size", 0)) > 0,
            compute=compute,
            runtime="PyTorch",
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch, in order."""
        responses: list[Any] = self._batching.answer(requests)
        return responses

    def finalize(self) -> None:
        """Let go of the module, and with it of the device memory."""
        del self._batching


def in_order_of_arguments(names: list[str], arguments: list[str]) -> list[str]:
    """The config's inputs as `forward` takes them, by the rules of the native backend.

    Args:
        names: Of the inputs in the config.
        arguments: Of `forward`.

    Returns:
        The names by the argument that each stands for: the one that has its name, else the one whose index
        follows `__` in all the names, else the one at its place in the config.

    Raises:
        pb_utils.TritonModelException: There are more or fewer of them than arguments.
    """
    if len(names) != len(arguments):
        raise pb_utils.TritonModelException(
            f"the module takes {', '.join(arguments)}, and the config has {', '.join(names)}"
        )
    if set(names) == set(arguments):
        return arguments
    return in_order_of_results(names)


def in_order_of_results(names: list[str]) -> list[str]:
    """The config's outputs as `forward` gives them: by the index after `__` in all of them, or as listed."""
    indices = [name.rpartition("__")[2] for name in names]
    if all(index.isdecimal() and "__" in name for index, name in zip(indices, names, strict=True)):
        return [name for _, name in sorted(zip(map(int, indices), names, strict=True))]
    return names


def _device(args: dict[str, str]) -> torch.device:
    """Where to compute: on the instance's GPU if it is one of `KIND_GPU`, else on the CPU."""
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise pb_utils.TritonModelException(
            "the model's instance group asks for a GPU, but the installed PyTorch computes on the CPU only; "
            "install one with CUDA, or set the instance group's kind to KIND_CPU"
        )
    return torch.device("cuda", int(args["model_instance_device_id"]))
