"""Files that read well, but whose numbers would take all memory or time, or make no sense."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from tests.training.importers.hostile_pickles import (
    archive,
    name,
    pickled,
    refusal,
    storage,
    tensor,
    text,
    write,
)
from training.cli import app
from training.importers.base import StoredFile, StoredModule, UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files import reading
from training.importers.files.reading import read_weights
from training.importers.files.safetensors_file import read_safetensors
from training.importers.files.stored_tensors import Block, Storage, pending_tensor
from training.importers.files.window import Window
from training.importers.generators.stylegan2_weights import Sizes, check_tensors
from training.importers.sensible import sensible
from training.importers.table import recognise
from training.terminal import printable

Z = torch.zeros


def said_of(content: Any) -> str:
    """Why a file of such content is refused."""
    with pytest.raises((UnsupportedWeightsError, UnreadableWeightsError)) as caught:
        recognise(StoredFile(Path("x.pth"), "", 1, "torch", content))
    return str(caught.value)


def compact(first: tuple[int, int], last: tuple[int, int], place: int = 2) -> dict[str, Tensor]:
    """Two convolutions of so many channels, without memory."""
    weights = {"body.0.weight": (*first, 3, 3), f"body.{place}.weight": (*last, 3, 3)}
    return {key: torch.empty(shape, device="meta") for key, shape in weights.items()}


def unet(levels: int) -> dict[str, Tensor]:
    prefix, weights = "model.model", {}
    for depth in range(levels):
        down, up = (0, 3) if depth == 0 else (1, 3 if depth == levels - 1 else 5)
        weights |= {f"{prefix}.{down}.weight": Z(1, 3, 4, 4), f"{prefix}.{up}.weight": Z(2, 3, 4, 4)}
        prefix = f"{prefix}.{3 if depth else 1}.model"
    return weights


def resnet() -> dict[str, Tensor]:
    weights = {"model.1": (2, 3, 7, 7), "model.6": (3, 2, 7, 7)}
    weights |= {f"model.4.conv_block.{i}": (2, 2, 3, 3) for i in (1, 5)}
    return {f"{key}.weight": Z(shape) for key, shape in weights.items()} | {
        f"{key}.bias": Z(shape[0]) for key, shape in weights.items()
    }


def stylegan3(layers: int) -> dict[str, Tensor]:
    weights = {"mapping.fc0.weight": Z(1, 1), "mapping.fc0.bias": Z(1), "mapping.w_avg": Z(1)}
    weights |= {"synthesis.input.freqs": Z(1, 2), "synthesis.input.affine.weight": Z(4, 1)}
    for i in range(layers + 1):
        height, channels = (36, 1) if i < layers - 1 else (16, 3 if i == layers else 1)
        weights[f"synthesis.L{i}_{height}_{channels}.weight"] = Z(channels, 1, 3, 3)
        weights[f"synthesis.L{i}_{height}_{channels}.down_filter"] = Z(840 * (i + 1))
    return weights


def stylegan2(features: int = 1, blocks: int = 1) -> dict[str, Tensor]:
    weights = {"mapping.fc0.weight": Z(features, 1), "mapping.fc1.weight": Z(1, features)}
    weights["synthesis.b4.const"] = Z(1, 4, 4)
    for i in range(blocks):
        weights[f"synthesis.b{4 * 2**i}.torgb.weight"] = Z(3, 1, 1, 1)
        weights[f"synthesis.b{4 * 2**i}.torgb.affine.weight"] = Z(1, 1)
    return weights


NUMBERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a scale of 300": (lambda: compact((1, 3), (270_000, 1)), "×300"),
    "a scale of nothing": (lambda: compact((1, 3), (0, 1)), "not the weights of a convolution"),
    "very many features": (lambda: compact((400_000, 3), (3, 400_000)), "400,000 features"),
    "no features": (lambda: compact((0, 3), (3, 0)), "not the weights of a convolution"),
    "a layer without an end": (lambda: compact((4, 3), (12, 4), 99_999_999_998), "no format that can be"),
    "MSRResNet without features": (
        lambda: {
            "conv_first.weight": Z(0, 3, 3, 3),
            "body.0.conv1.weight": Z(0, 0, 3, 3),
            "upconv1.weight": Z(0, 0, 3, 3),
            "conv_hr.weight": Z(0, 0, 3, 3),
        },
        "not the weights of a convolution",
    ),
    "a U-Net for images of 2^16": (lambda: unet(16), "num_downs: 16"),
    "weights that are whole": (lambda: {key: t.long() for key, t in resnet().items()}, "of torch.int64"),
    "averages of another shape": (
        lambda: {**resnet(), "model.2.weight": Z(2), "model.2.running_mean": Z(2, 1)},
        "the file is damaged",
    ),
    "a mapping network of millions": (lambda: stylegan2(2**20), "1,048,576 wide"),
    "an image of 8192 pixels": (lambda: stylegan2(blocks=12), "8192 × 8192"),
    "StyleGAN3 of 1000 layers": (lambda: stylegan3(1000), "up to 64 are supported"),
    "StyleGAN3 of filters of all lengths": (lambda: stylegan3(60), "is a StyleGAN3 generator, but"),
    "very many networks": (lambda: {"a": {str(i): {"t": Z(1)} for i in range(2000)}}, "networks"),
}


@pytest.mark.parametrize("numbers", NUMBERS)
def test_numbers_that_no_network_has_are_refused(numbers: str):
    make, said = NUMBERS[numbers]
    assert said in said_of(make())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"conv_clamp": "x"}, "conv_clamp=x"),
        ({"conv_clamp": 10**400}, "conv_clamp=1000"),
        ({"conv_clamp": float("nan")}, "conv_clamp=nan"),
        ({"filter_size": 0}, "filter_size=0"),
        ({"lrelu_upsampling": 0}, "lrelu_upsampling=0"),
    ],
)
def test_options_of_no_sense_are_refused(options: dict[str, Any], said: str):
    synthesis = StoredModule("S", (), options, {})
    module = StoredModule("G", (), {}, stylegan3(3), children={"synthesis": synthesis})
    assert said in said_of({"G_ema": module})


def test_a_bias_cannot_make_many_images_of_one():
    sizes = Sizes(1, 1, 0, (1,), 3, 2, 5, 0, 0.01, False, None)
    with torch.device("meta"):
        found = sizes.generator().state_dict()
    found["mapping.layers.0.bias"] = Z(5, 1)
    shapes = check_tensors("x", sizes, found, {key: key for key in found})
    assert shapes["mapping.layers.0.bias"] == (5,)


def test_names_without_an_end_are_refused(tmp_path: Path):
    save_file({"module." * 80_000 + "x": Z(1)}, tmp_path / "x.safetensors")
    assert "which is none" in refusal(tmp_path / "x.safetensors")


def test_names_of_modules_within_modules_do_not_multiply(tmp_path: Path):
    def module(buffers: bytes, modules: bytes) -> bytes:
        state = text("_parameters") + b"}s" + text("_buffers") + buffers + b"s"
        return name("net", "G") + b")\x81}" + state + text("_modules") + modules + b"sb"

    body = tensor(storage("0", 1), (1,), (1,)) + b"q\x000" + text("a" * 200) + b"q\x010"
    inner = module(b"}" + text("t") + b"h\x00s", b"}")
    for _ in range(3):
        inner = module(b"}", b"}h\x01" + inner + b"s")
    assert "which is none" in refusal(write(tmp_path / "x", archive(pickled(body + inner), {"0": bytes(4)})))


PARAM = """Input data 0 1 data
{bomb}
Convolution first 1 1 a c 0=4 1=3 4=1 5=1 6=108
PReLU slopes 1 1 c c2 0=4
Convolution last 1 1 c2 d 0=12 1=3 4=1 5=1 6=432
PixelShuffle pixels {inputs} e 0={scale}
Interp larger 1 1 b f 0=1 1={scale} 2={scale}
BinaryOp sum 2 1 e f output 0=0
"""
SPARE = "Split split 1 3 data a b spare\n"


@pytest.mark.parametrize(
    ("bomb", "inputs", "scale", "said"),
    [
        (f"{SPARE}Interp bomb 1 0 spare 0=1 1=1e5 2=1e5", "1 1 d", "2", "1 inputs and 0 outputs"),
        (f"{SPARE}Interp bomb 1 1 spare g 0=1 1=1e5 2=1e5", "2 1 d g", "2", "2 inputs and 1 outputs"),
        ("Split split 1 2 data a b", "1 1 d", "1e999", "an enlargement by 1 to"),
        ("Split split 1 2 data a b", "1 1 d", "0", "an enlargement by 1 to"),
    ],
)
def test_layers_of_ncnn_beside_the_way_are_refused(
    tmp_path: Path, bomb: str, inputs: str, scale: str, said: str
):
    layers = PARAM.format(bomb=bomb, inputs=inputs, scale=scale)
    (tmp_path / "x.param").write_text(f"7767517\n{layers.count(chr(10))} 1\n{layers}")
    (tmp_path / "x.bin").write_bytes(bytes(4 * (1 + 108 + 4 + 4 + 1 + 432 + 12)))
    with pytest.raises(UnsupportedWeightsError, match=said):
        recognise(read_weights(tmp_path / "x.param"))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: 1"),
            UnreadableWeightsError,
            "more memory",
        ),
        (MemoryError(), UnreadableWeightsError, "more memory"),
        (ZeroDivisionError("by zero"), UnsupportedWeightsError, "ZeroDivisionError, by zero"),
    ],
)
def test_what_fails_for_the_numbers_of_a_file_is_a_refusal(error: Exception, kind: type, said: str):
    with pytest.raises(kind, match=said), sensible(Path("x")):
        raise error


def test_a_file_cannot_send_sequences_to_the_terminal(tmp_path: Path):
    path = tmp_path / "x\n\x1b[2J\x07\x9b.pth"
    torch.save({"a": Z(1)}, path)
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 1
    assert not {"\x1b", "\x07", "\x9b"} & set(shown.output)
    assert "\\x1b" in shown.output
    assert printable("a\n×\ud800") == "a\n×\\ud800"


def test_no_loop_of_links_and_no_name_that_is_no_text_is_followed(tmp_path: Path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "is a symbolic link" in refusal(tmp_path / "a")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pth"))
    odd.write_bytes(b"")
    shown = CliRunner().invoke(app, ["inspect", str(odd)])
    assert isinstance(shown.exception, SystemExit)
    assert "is empty" in shown.output


def test_a_part_of_an_old_storage_begins_where_it_says():
    block = Block(16)
    block._numbers = torch.arange(4, dtype=torch.float32).view(torch.uint8)
    part = Storage(block, torch.float32, 1, 3)
    assert pending_tensor(part, 1, (2,), (1,)).tensor().tolist() == [2, 3]


def test_a_file_that_is_written_to_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "x.safetensors"
    save_file({"a": Z(1)}, path)

    def read(window: Window) -> tuple[dict[str, Tensor], dict[str, str]]:
        found = read_safetensors(window)
        os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(reading, "read_safetensors", read)
    assert "written to while it was read" in refusal(path)


@pytest.mark.parametrize("gain", ["abc", None, float("nan")])
def test_a_gain_that_is_no_number_is_refused(gain: object):
    first = StoredModule("L", (), {}, {}, {"bias_gain": gain})
    mapping = StoredModule("M", (), {}, {}, children={"fc0": first})
    module = StoredModule("G", (), {}, stylegan3(3), children={"mapping": mapping})
    assert f"bias_gain={gain}" in said_of({"G_ema": module})
