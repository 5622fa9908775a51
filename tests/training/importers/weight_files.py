"""Small files of weights in every container, of numbers that are easy to tell apart."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

TENSORS: dict[str, Tensor] = {
    "conv.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2) / 7,
    "conv.bias": torch.tensor([0.5, -1.5]),
    "half": torch.tensor([1.0, 2.0], dtype=torch.float16),
    "steps": torch.tensor(7),
    "mask": torch.tensor([True, False, True]),
}


class NvidiaModule:
    """A module as NVIDIA's persistence pickles it: its source code and its state."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str = "raise SystemExit\n") -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        function = sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj  # type: ignore[attr-defined]
        return function, (self.meta,)


@contextmanager
def nvidia_modules() -> Iterator[type[dict[str, Any]]]:
    """While open, pickles can name NVIDIA's function and dictionary, which are not here; gives the latter."""

    def reconstruct(meta: object) -> None:
        raise AssertionError("the reader called what the pickle names")

    reconstruct.__module__ = "torch_utils.persistence"
    reconstruct.__name__ = reconstruct.__qualname__ = "_reconstruct_persistent_obj"
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    made = {
        name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    made["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    made["dnnlib.util"].EasyDict = easy  # type: ignore[attr-defined]
    sys.modules.update(made)
    try:
        yield easy
    finally:
        for name in made:
            del sys.modules[name]


def module_state(tensors: dict[str, Tensor], **rest: Any) -> dict[str, Any]:
    """The `__dict__` of a module with parameters."""
    parameters = OrderedDict((name, torch.nn.Parameter(tensor)) for name, tensor in tensors.items())
    return {"training": False, "_parameters": parameters, "_buffers": {}, "_modules": {}, **rest}


def write_nvidia(path: Path, protocol: int = 4, source: str = "raise SystemExit\n") -> Path:
    """A pickle of a generator with one layer, as NVIDIA's training loop writes it."""
    with nvidia_modules() as easy:
        layer = NvidiaModule(
            "Layer",
            module_state(
                {"weight": TENSORS["conv.weight"]},
                size=np.array([4, 4]),
                gain=np.float64(0.25),
                _init_args=(),
                _init_kwargs=easy(width=3),
            ),
            source,
        )
        state = module_state({}, z_dim=16, _init_args=(16,), _init_kwargs=easy(img_resolution=4))
        state["_modules"]["conv"] = layer
        state["_buffers"]["w_avg"] = TENSORS["conv.bias"]
        generator = NvidiaModule("Generator", state, source)
        content = {"G": None, "D": None, "G_ema": generator, "training_set_kwargs": easy(path="x")}
        path.write_bytes(pickle.dumps(content, protocol))
    return path


def write_tar(path: Path) -> Path:
    """A file of PyTorch 0.1: a tar of storages, tensors and a pickle that refers to them."""
    numbers = {1: TENSORS["conv.weight"], 2: TENSORS["conv.bias"]}
    storages, tensors = io.BytesIO(), io.BytesIO()
    storages.write(pickle.dumps(len(numbers), 2))
    tensors.write(pickle.dumps(len(numbers), 2))
    for key, tensor in numbers.items():
        storages.write(pickle.dumps((key, "cpu", torch.FloatStorage), 2))
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
        tensors.write(pickle.dumps((key + 10, key, torch.FloatStorage), 2))
        tensors.write(struct.pack("<i4x", tensor.dim()))
        tensors.write(struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.stride(), 0))
    storages.write(pickle.dumps([], 2))

    class Referring(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return next((key + 10 for key, tensor in numbers.items() if tensor is obj), None)

    main = io.BytesIO()
    Referring(main, 2).dump({"conv.weight": numbers[1], "conv.bias": numbers[2]})
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("storages", storages), ("tensors", tensors), ("pickle", main)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = content.tell(), 1_500_000_000.5  # type: ignore[assignment]  # as os.stat has it
            content.seek(0)
            archive.addfile(entry, content)
    return path


NCNN_PARAM = """7767517
5 5
Input                    data      0 1 data
Convolution              first     1 1 data a 0=2 1=2 5=1 6=24
PReLU                    act       1 1 a b 0=2
Convolution              second    1 1 b c 0=1 1=1 11=2 5=0 6=4 -23330=2,3,0.5
PixelShuffle             output    1 1 c output 0=1
"""


def write_ncnn(folder: Path) -> Path:
    """A pair of ncnn: a convolution of half precision, slopes, one of single; gives its `.param`."""
    first = struct.pack("<I", 0x01306B47) + TENSORS["conv.weight"].half().numpy().tobytes()
    bias = TENSORS["conv.bias"].numpy().tobytes()
    slopes = np.array([0.25, 0.5], np.float32).tobytes()
    second = struct.pack("<I", 0) + np.arange(4, dtype=np.float32).tobytes()
    (folder / "net.bin").write_bytes(first + bias + slopes + second)
    path = folder / "net.param"
    path.write_text(NCNN_PARAM)
    return path


def write_every_container(folder: Path) -> dict[str, Path]:
    """One small file of each container, by a name of it."""
    paths = {name: folder / f"{name}.bin" for name in ("zip", "row", "tar", "nvidia", "safetensors")}
    torch.save(TENSORS, paths["zip"])
    torch.save(TENSORS, paths["row"], _use_new_zipfile_serialization=False)
    write_tar(paths["tar"])
    write_nvidia(paths["nvidia"])
    save_file(TENSORS, paths["safetensors"], metadata={"scale": "4"})
    return {**paths, "ncnn": write_ncnn(folder)}
