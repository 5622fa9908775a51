from __future__ import annotations

import argparse
import hashlib
import re
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.training.importers.nvidia_container import Module, write_pickle
from tests.training.importers.weight_files import (
    NCNN_PARAM,
    TENSORS,
    write_every_container,
    write_ncnn,
    write_nvidia,
    write_tar,
)
from training.importers.base import StoredModule, UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.ncnn_file import StoredNcnn
from training.importers.files.reading import read_weights


def same(found: object, expected: Tensor) -> bool:
    return isinstance(found, Tensor) and found.dtype == expected.dtype and torch.equal(found, expected)


def refusal(path: Path) -> str:
    with pytest.raises((UnreadableWeightsError, UnsupportedWeightsError)) as caught:
        read_weights(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_is_read_as_torch_reads_it(tmp_path: Path, zipped: bool):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.randn(4, 3, 3, 3)}
    optimiser = {"state": {0: moments}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99), "params": [0]}]}
    shared = torch.randn(9)
    tensors = {
        **TENSORS,
        "view": shared[2:5],
        "same": shared,
        "transposed": torch.randn(3, 4).t(),
        "empty": torch.empty(0, 3),
        "bf16": torch.ones(3, dtype=torch.bfloat16),
        "complex": torch.tensor([1 + 2j]),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "x.whatever"
    torch.save(
        {"net": net.state_dict(), "optimiser": optimiser, "tensors": tensors, "step": 3},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    stored = read_weights(path)

    assert stored.container == ("torch" if zipped else "torch-legacy")
    assert (stored.path, stored.size) == (path, path.stat().st_size)
    assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    expected = torch.load(path, weights_only=True)
    assert stored.content["step"] == 3
    for part in ("net", "tensors"):
        assert list(stored.content[part]) == list(expected[part])
        assert all(same(stored.content[part][name], each) for name, each in expected[part].items())
    assert same(stored.content["optimiser"]["state"][0]["exp_avg"], moments["exp_avg"])
    assert stored.content["optimiser"]["param_groups"] == optimiser["param_groups"]


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint64, torch.float8_e4m3fn])
def test_dtypes_without_a_storage_class_are_read(tmp_path: Path, dtype: torch.dtype):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.ones(3).to(dtype)}, path)
    found = read_weights(path).content["x"]
    assert found.dtype is dtype
    assert found.float().tolist() == [1, 1, 1]


def test_harmless_extras_of_training_are_read_as_plain_data(tmp_path: Path):
    path = tmp_path / "x.pt"
    extras = {
        "args": argparse.Namespace(size=256, path="data", mixing=[0.9, None]),
        "scalar": np.float32(0.5),
        "truth": np.bool_(True),
        "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">i4"),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
        "set": {3},
        "default": defaultdict(int, a=1),
        "ordered": OrderedDict(b=2),
        "path": Path("runs/1"),
        "plain": [1.5, None, True, -3, 2**70, "ü", (1,), b"raw"],
    }
    torch.save(extras, path)
    found = read_weights(path).content
    assert found["args"] == {"size": 256, "path": "data", "mixing": [0.9, None]}
    assert (found["scalar"], found["truth"]) == (0.5, True)
    assert same(found["array"], torch.arange(6.0, dtype=torch.float64).reshape(2, 3))
    assert same(found["fortran"], torch.arange(6).reshape(2, 3))
    assert same(found["swapped"], torch.arange(3, dtype=torch.int32))
    assert (found["size"], found["dtype"], found["device"]) == ((1, 2), "float16", "cuda:1")
    assert (found["set"], found["default"], found["ordered"]) == ([3], {"a": 1}, {"b": 2})
    assert found["path"] == "runs/1"
    assert found["plain"] == extras["plain"]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_is_read_as_its_state_and_not_as_its_class(tmp_path: Path, zipped: bool):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4)))
    path = tmp_path / "x.pt"
    torch.save(net, path, _use_new_zipfile_serialization=zipped)
    stored = read_weights(path).content
    assert isinstance(stored, StoredModule)
    assert stored.class_name == "torch.nn.modules.container.Sequential"
    assert set(stored.tensors) == set(net.state_dict())
    assert all(same(stored.tensors[name], tensor) for name, tensor in net.state_dict().items())
    assert stored.children["0"].attributes["kernel_size"] == (3, 3)
    assert list(stored.children["1"].children) == ["0"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_nvidia_becomes_modules_of_data(tmp_path: Path, protocol: int):
    stored = read_weights(write_nvidia(tmp_path / "x.pkl", protocol))
    assert stored.container == "nvidia-pickle"
    assert stored.content["G"] is None
    assert stored.content["training_set_kwargs"] == {"path": "x"}
    generator = stored.content["G_ema"]
    assert (generator.class_name, generator.arguments) == ("Generator", (16,))
    assert generator.options == {"img_resolution": 4}
    assert generator.attributes == {"training": False, "z_dim": 16}
    assert set(generator.tensors) == {"w_avg", "conv.weight"}
    assert same(generator.tensors["conv.weight"], TENSORS["conv.weight"])
    assert same(generator.tensors["w_avg"], TENSORS["conv.bias"])
    layer = generator.children["conv"]
    assert layer.attributes == {"training": False, "size": [4, 4], "gain": 0.25}
    assert layer.options == {"width": 3}
    assert list(layer.tensors) == ["weight"]


def test_what_is_not_plain_is_left_out_of_a_modules_attributes(tmp_path: Path):
    path = tmp_path / "x.pkl"
    tensor = torch.ones(2)
    attributes = {"note": "kept", "helper": tensor, "mixed": [1, tensor], "nested": {"a": [1.5]}}
    write_pickle(path, {"G_ema": Module("Outer", attributes=attributes)})
    assert read_weights(path).content["G_ema"].attributes == {
        "training": False,
        "note": "kept",
        "nested": {"a": [1.5]},
    }


def test_the_oldest_tar_is_read_as_torch_reads_it(tmp_path: Path):
    path = write_tar(tmp_path / "x.pth")
    stored = read_weights(path)
    expected = torch.load(path, weights_only=False)
    assert stored.container == "torch-legacy"
    assert set(stored.content) == {"conv.weight", "conv.bias"}
    for name, tensor in expected.items():
        assert same(stored.content[name], tensor)
        assert same(stored.content[name], TENSORS[name])


def test_safetensors_are_read_as_their_library_reads_them(tmp_path: Path):
    path = write_every_container(tmp_path)["safetensors"]
    stored = read_weights(path)
    assert (stored.container, stored.metadata) == ("safetensors", {"scale": "4"})
    expected = load_file(path)
    assert set(stored.content) == set(expected)
    assert all(same(stored.content[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("ending", [".param", ".bin"])
def test_either_file_of_an_ncnn_pair_finds_the_other(tmp_path: Path, ending: str):
    stored = read_weights(write_ncnn(tmp_path).with_suffix(ending))
    weights = tmp_path / "net.bin"
    assert (stored.container, stored.size) == ("ncnn", weights.stat().st_size)
    assert stored.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    network = stored.content
    assert isinstance(network, StoredNcnn)
    assert [layer.name for layer in network.layers] == ["data", "first", "act", "second", "output"]
    second = network.layers[3]
    assert (second.type, second.inputs, second.outputs) == ("Convolution", ["b"], ["c"])
    assert second.parameters == {0: 1, 1: 1, 11: 2, 5: 0, 6: 4, 30: (3, 0.5)}
    assert set(network.weights) == {"first", "act", "second"}
    assert same(network.weights["first"]["weight"], TENSORS["conv.weight"].half())
    assert same(network.weights["first"]["bias"], TENSORS["conv.bias"])
    assert same(network.weights["act"]["slope"], torch.tensor([0.25, 0.5]))
    assert same(network.weights["second"]["weight"], torch.arange(4.0).reshape(1, 2, 2, 1))
    assert set(network.weights["second"]) == {"weight"}


def test_half_an_ncnn_pair_and_weights_of_another_are_refused(tmp_path: Path):
    param = write_ncnn(tmp_path)
    weights = param.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole + b"more")
    assert "does not belong with its .param" in refusal(param)
    weights.write_bytes(whole[:-4])
    assert "cut off" in refusal(param)
    weights.write_bytes((0x000D4B38).to_bytes(4, "little") + whole[4:])
    assert "8-bit weights" in refusal(weights)
    weights.write_bytes(b"\1\0\0\0" + whole[4:])
    assert "indices of a table" in refusal(weights)
    weights.write_bytes(whole)
    param.write_text(NCNN_PARAM.replace("PixelShuffle", "LSTM        "))
    assert "'LSTM', which is not read" in refusal(param)
    param.write_text(NCNN_PARAM.replace("5 5", "6 5"))
    assert "damaged .param" in refusal(param)
    param.write_text(NCNN_PARAM.replace("6=24", "6=25"))
    assert "25 weights for [2, 3, 2, 2]" in refusal(param)
    weights.unlink()
    assert "net.bin is missing" in refusal(param)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html><title>Google Drive</title>", "is a web page"),
        (b"\xef\xbb\xbf<HTML>", "is a web page"),
        (b"hello there", "is text"),
        (bytes(600), "begins with zeros"),
        (b"\x89HDF\r\n\x1a\n...", "HDF5"),
        (b"\x1f\x8b\x08..", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"\xffjunk\x00", "no file of weights that is known"),
        (b"PK\x03\x04", "cut off"),
    ],
)
def test_what_is_no_file_of_weights_is_told_apart(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert said in refusal(path)


def test_paths_that_are_no_files_say_so(tmp_path: Path):
    assert "is a directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.pth")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_and_other_archives_say_what_to_do(tmp_path: Path):
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), script)
    assert "TorchScript program" in refusal(script)
    arrays = tmp_path / "arrays.npz"
    np.savez_compressed(arrays, a=np.zeros(3))
    assert "NumPy arrays" in refusal(arrays)


def test_a_stylegan_of_tensorflow_is_sent_to_nvidias_converter(tmp_path: Path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01}q\x02b.")
    assert "legacy.py" in refusal(path)


def test_special_tensors_are_unsupported(tmp_path: Path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.eye(3).to_sparse()}, path)
    assert "sparse, quantised" in refusal(path)


def test_every_truncation_of_a_file_is_refused(tmp_path: Path):
    for container, path in write_every_container(tmp_path).items():
        damaged = path.with_suffix(".bin") if container == "ncnn" else path
        content = damaged.read_bytes()
        for size in {1, 9, 20, 100, len(content) // 2, len(content) - 1} & set(range(len(content))):
            damaged.write_bytes(content[:size])
            # A tar may lack its last blocks, which are zeros.
            if not (container == "tar" and size == len(content) - 1):
                assert re.search(
                    r"cut off|damaged|no file|no archive|text|not of|missing|tar archive", refusal(path)
                )
