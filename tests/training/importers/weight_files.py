"""Small files of weights in every container, of numbers that are easy to tell apart."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.training.importers.nvidia_container import SOURCE, Module, write_pickle

TENSORS: dict[str, Tensor] = {
    "conv.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2) / 7,
    "conv.bias": torch.tensor([0.5, -1.5]),
    "half": torch.tensor([1.0, 2.0], dtype=torch.float16),
    "steps": torch.tensor(7),
    "mask": torch.tensor([True, False, True]),
}


def write_nvidia(path: Path, protocol: int = 4, source: str = SOURCE) -> Path:
    """A pickle of a generator with one layer."""
    layer = Module(
        "Layer",
        {"width": 3},
        {"weight": TENSORS["conv.weight"]},
        attributes={"size": np.array([4, 4]), "gain": np.float64(0.25)},
        source=source,
    )
    generator = Module(
        "Generator",
        {"img_resolution": 4},
        buffers={"w_avg": TENSORS["conv.bias"]},
        attributes={"z_dim": 16},
        children={"conv": layer},
        arguments=(16,),
        source=source,
    )
    networks = {"G": None, "D": None, "G_ema": generator}
    return write_pickle(path, networks, protocol=protocol, training_set_kwargs={"path": "x"})


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
