"""Tiny translators and upscalers of known reach: they average 3 × 3 pixels and repeat the result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PIXELS = ["N", "H", "W", 3]
_CARD = {"size_multiple": 1, "min_size": 1, "max_size": 1024, "receptive_radius": 1, "tileable": True}


def write_toy_image_model(path: Path, name: str, scale: int = 1, **card: Any) -> Path:
    """Writes one Triton model below `path`: an upscaler, or a translator where the scale is 1.

    Args:
        path: The model repository.
        name: Of the model.
        scale: Enlargement.
        card: Changes to its card.

    Returns:
        `path`.
    """
    folder = path / name
    (folder / "1").mkdir(parents=True)
    payload = _model(scale).SerializeToString(deterministic=True)
    (folder / "1" / "model.onnx").write_bytes(payload)
    kind = "upscaler" if scale > 1 else "translator"
    digest = hashlib.sha256(payload).hexdigest()
    text = json.dumps({**_CARD, "name": name, "kind": kind, "digest": digest, "scale": scale, **card})
    (folder / "config.pbtxt").write_text(
        f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
input {{ name: "source" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }}
output {{ name: "images" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }}
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "card" value {{ string_value: {json.dumps(text)} }} }}
""",
        encoding="utf-8",
    )
    return path


def toy_image(pixels: np.ndarray, scale: int = 1) -> np.ndarray:
    """What the model makes of an image [H, W, 3], but for rounding."""
    sums = np.pad(pixels.astype(np.float64), ((2, 1), (2, 1), (0, 0))).cumsum(0).cumsum(1)
    means = (sums[3:, 3:] - sums[:-3, 3:] - sums[3:, :-3] + sums[:-3, :-3]) / 9
    return np.round(means).repeat(scale, 0).repeat(scale, 1)


def _model(scale: int) -> onnx.ModelProto:
    constants = {
        "kernel": np.full((3, 1, 3, 3), 1 / 9, np.float32),
        "scales": np.array([1, 1, scale, scale], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["source"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["means"], group=3, pads=[1, 1, 1, 1]),
        helper.make_node(
            "Resize",
            ["means", "", "scales"],
            ["repeated"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        helper.make_node("Transpose", ["repeated"], ["pixels"], perm=[0, 2, 3, 1]),
        helper.make_node("Round", ["pixels"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["images"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("source", TensorProto.UINT8, _PIXELS)],
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "h", "w", 3])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="toy"
    )
    onnx.checker.check_model(model)
    return model
