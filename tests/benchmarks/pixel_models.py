"""Generators that cost next to nothing and answer images of any size: what is measured is the way around."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_Z_DIM = 512
_NUM_WS = 14
_FLOAT, _INT32, _INT64, _UINT8 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8
_TYPES = {_FLOAT: "FP32", _INT32: "INT32", _INT64: "INT64", _UINT8: "UINT8"}

Tensor = tuple[str, int, list[int]]


def write_pixel_model(repository: Path, name: str, resolution: int) -> None:
    """Writes a generator with real sizes (z 512, ws 14 × 512) whose images look like a smooth texture.

    Args:
        repository: Triton's model repository.
        name: Public name.
        resolution: Height and width of its images in pixels.
    """
    mapping_inputs: list[Tensor] = [
        ("z", _FLOAT, [_Z_DIM]),
        ("truncation_psi", _FLOAT, [1]),
        ("truncation_cutoff", _INT32, [1]),
    ]
    ws: Tensor = ("ws", _FLOAT, [_NUM_WS, _Z_DIM])
    mapping = _model(
        [
            helper.make_node("Mul", ["z", "truncation_psi"], ["w"]),
            helper.make_node("Cast", ["truncation_cutoff"], ["cutoff"], to=_FLOAT),
            helper.make_node("Mul", ["cutoff", "nothing"], ["zero"]),
            helper.make_node("Add", ["w", "zero"], ["w_2"]),
            helper.make_node("Unsqueeze", ["w_2", "axis_1"], ["w_3d"]),
            helper.make_node("Expand", ["w_3d", "layers"], ["ws"]),
        ],
        mapping_inputs,
        [ws],
        {
            "nothing": np.array(0, np.float32),
            "axis_1": np.array([1], np.int64),
            "layers": np.array([1, _NUM_WS, 1], np.int64),
        },
    )
    images: Tensor = ("images", _UINT8, [resolution, resolution, 3])
    synthesis_inputs: list[Tensor] = [ws, ("noise_gain", _FLOAT, [1]), ("noise_seed", _INT64, [1])]
    synthesis = _model(
        [
            helper.make_node("ReduceMean", ["ws", "mean_axes"], ["mean"], keepdims=0),  # [N]
            helper.make_node("Cast", ["noise_seed"], ["seed"], to=_FLOAT),
            helper.make_node("Mul", ["seed", "noise_gain"], ["noise"]),
            helper.make_node("Squeeze", ["noise", "axis_1"], ["noise_1d"]),
            helper.make_node("Add", ["mean", "noise_1d"], ["level"]),
            helper.make_node("Cast", ["level"], ["level_8"], to=_UINT8),
            helper.make_node("Unsqueeze", ["level_8", "axes"], ["level_4d"]),
            helper.make_node("BitwiseXor", ["texture", "level_4d"], ["images"]),
        ],
        synthesis_inputs,
        [images],
        {
            "axis_1": np.array([1], np.int64),
            "axes": np.array([1, 2, 3], np.int64),
            "mean_axes": np.array([1, 2], np.int64),
            "texture": _texture(resolution)[None],
        },
    )
    for role, model, inputs, output in (
        ("mapping", mapping, mapping_inputs, ws),
        ("synthesis", synthesis, synthesis_inputs, images),
    ):
        folder = repository / f"{name}-{role}"
        (folder / "1").mkdir(parents=True)
        payload = model.SerializeToString(deterministic=True)
        (folder / "1" / "model.onnx").write_bytes(payload)
        card = {
            "name": name,
            "kind": "generator",
            "role": role,
            "resolution": resolution,
            "digest": hashlib.sha256(payload).hexdigest(),
        }
        (folder / "config.pbtxt").write_text(_config(f"{name}-{role}", inputs, output, card))


def _texture(resolution: int) -> np.ndarray:
    """Smooth hills with a little noise, which deflate about as well as generated pictures do."""
    random = np.random.RandomState(0)
    y, x = np.mgrid[0:resolution, 0:resolution] / resolution
    hills = np.zeros((resolution, resolution, 3))
    for octave in range(6):
        fy, fx = random.randint(1, 3 << octave, (2, 3))
        phase = random.rand(3) * 7
        hills += np.sin(2 * np.pi * (y[..., None] * fy + x[..., None] * fx) + phase) / (1 << octave)
    noise = 0.5 * random.randn(resolution, resolution, 3)
    return np.clip(127 + 60 * hills + noise, 0, 255).astype(np.uint8)


def _model(
    nodes: list[onnx.NodeProto], inputs: list[Tensor], outputs: list[Tensor], constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info(name, kind, ["N", *dims]) for name, kind, dims in inputs],
        [helper.make_tensor_value_info(name, kind, ["N", *dims]) for name, kind, dims in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _config(name: str, inputs: list[Tensor], output: Tensor, card: dict[str, Any]) -> str:
    tensors = [("input", each) for each in inputs] + [("output", output)]
    lines = [
        f'{section} {{ name: "{tensor}" data_type: TYPE_{_TYPES[kind]} dims: {dims} }}'
        for section, (tensor, kind, dims) in tensors
    ]
    return "\n".join(
        [
            f'name: "{name}"',
            'backend: "onnxruntime"',
            "max_batch_size: 16",
            *lines,
            "instance_group [ { count: 1 kind: KIND_CPU } ]",
            "dynamic_batching { }",
            f'parameters {{ key: "card" value {{ string_value: {json.dumps(json.dumps(card))} }} }}',
            "",
        ]
    )
