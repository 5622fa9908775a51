"""A tiny generator that obeys the model contract, written with `onnx.helper` alone: no torch, no training."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Z_DIM = 8
W_DIM = 8
NUM_WS = 4
RESOLUTION = 16
LAYER_GROUPS = {"coarse": [0, 1], "middle": [2], "fine": [3]}

_OPSET = 17
_IR_VERSION = 8
# A prime below 2**16: products of two residues, and sums of a few of them, stay far inside INT64.
_PRIME = 65521


def write_toy_repository(
    path: Path,
    *,
    name: str = "toy",
    extra_milliseconds: float = 0,
    max_queue_size: int | None = None,
    golden: bool = True,
    patterns: int = 1,
    transforms: bool = False,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write the Triton models `<name>-mapping` and `<name>-synthesis` below `path`.

    Args:
        path: The model repository; made when it is missing, other models in it are left alone.
        name: Public name of the generator.
        extra_milliseconds: About how much longer each image takes on one core, for overload tests.
        max_queue_size: Requests that Triton queues for each model before it refuses more. Unlimited unless
            given: with any queue policy, this Triton's batcher misses wake-ups and a burst of requests
            stands still for half seconds, so served models have none and the gateway bounds the queue.
        golden: Whether the cards say what pixels the model makes.
        patterns: Seed of the patterns: another one makes another model.
        transforms: Whether its picture can be turned and moved.
        card: More of what the cards say.

    Returns:
        `path`, so that a fixture can write and yield in one line.
    """
    synthesis = _synthesis(extra_milliseconds, patterns, transforms)
    for role, model in (("mapping", _mapping()), ("synthesis", synthesis)):
        folder = path / f"{name}-{role}"
        (folder / "1").mkdir(parents=True, exist_ok=True)
        payload = model.SerializeToString(deterministic=True)
        (folder / "1" / "model.onnx").write_bytes(payload)
        made = {**_card(name, role, hashlib.sha256(payload).hexdigest()), **(card or {})}
        if golden:
            made["golden"] = toy_golden(patterns)  # of a picture that is not moved, in any case
        if transforms:
            made["transforms"] = ["rotation", "translation"]
        (folder / "config.pbtxt").write_text(
            _config(f"{name}-{role}", role, made, max_queue_size, transforms),
            encoding="utf-8",
        )
    return path


@lru_cache
def toy_golden(patterns: int = 1) -> dict[str, Any]:
    """What an export writes into cards: hashes and thumbnails of two seeds."""
    import onnxruntime  # here, since not all who write a repository have it loaded

    mapping, synthesis = (
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for model in (_mapping(), _synthesis(0, patterns))
    )
    hashes, thumbnails = {}, {}
    for seed in (0, 1):
        z = np.random.RandomState(seed).randn(1, Z_DIM).astype(np.float32)
        psi, cutoff = np.ones((1, 1), np.float32), np.full((1, 1), -1, np.int32)
        (ws,) = mapping.run(["ws"], {"z": z, "truncation_psi": psi, "truncation_cutoff": cutoff})
        noise = {"noise_gain": np.ones((1, 1), np.float32), "noise_seed": np.full((1, 1), -1, np.int64)}
        (images,) = synthesis.run(["images"], {"ws": ws, **noise})
        hashes[str(seed)] = hashlib.sha256(images[0].tobytes()).hexdigest()
        fields = images[0].reshape(8, 2, 8, 2, 3).astype(int).sum(axis=(1, 3))  # of 2×2 pixels
        thumbnails[str(seed)] = base64.b64encode(((fields + 2) // 4).astype(np.uint8).tobytes()).decode()
    return {"pixels_sha256": hashes, "thumbnails": thumbnails, "truncation": 1.0, "noise": "const"}


def _card(name: str, role: str, digest: str) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "generator",
        "role": role,
        "family": "stylegan",
        "title": "Toy generator for tests",
        "licence": "Apache-2.0",
        "dataset": {"name": "none", "licence": "Apache-2.0"},
        "resolution": RESOLUTION,
        "z_dim": Z_DIM,
        "w_dim": W_DIM,
        "num_ws": NUM_WS,
        "layer_groups": LAYER_GROUPS,
        "classes": [],
        "directions": [],
        "metrics": {},
        "training_command": "none",
        "digest": digest,
    }


def _mapping() -> onnx.ModelProto:
    """z → ws: tanh of an affine map, pulled to a fixed mean in the first `truncation_cutoff` layers."""
    random = np.random.RandomState(0)
    weight = random.randn(Z_DIM, W_DIM).astype(np.float32) / np.sqrt(Z_DIM).astype(np.float32)
    w_avg = (0.2 * random.randn(1, W_DIM)).astype(np.float32)
    constants = {
        "weight": weight,
        "w_avg": w_avg,
        "zero": np.array(0, np.int32),
        "layers": np.arange(NUM_WS, dtype=np.int32)[None],  # [1, num_ws]
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["z", "weight"], ["affine"]),
        helper.make_node("Tanh", ["affine"], ["w"]),  # [N, w_dim]
        helper.make_node("Sub", ["w", "w_avg"], ["from_mean"]),
        helper.make_node("Mul", ["from_mean", "truncation_psi"], ["scaled"]),
        helper.make_node("Add", ["scaled", "w_avg"], ["truncated"]),
        helper.make_node("Less", ["layers", "truncation_cutoff"], ["below"]),  # [N, num_ws]
        helper.make_node("Less", ["truncation_cutoff", "zero"], ["all"]),  # -1: every layer
        helper.make_node("Or", ["below", "all"], ["mask_2d"]),
        helper.make_node("Unsqueeze", ["mask_2d", "axis_2"], ["mask"]),  # [N, num_ws, 1]
        helper.make_node("Unsqueeze", ["w", "axis_1"], ["w_3d"]),
        helper.make_node("Unsqueeze", ["truncated", "axis_1"], ["truncated_3d"]),
        helper.make_node("Where", ["mask", "truncated_3d", "w_3d"], ["ws"]),
    ]
    return _model(
        "mapping",
        nodes,
        inputs=[
            ("z", TensorProto.FLOAT, ["N", Z_DIM]),
            ("truncation_psi", TensorProto.FLOAT, ["N", 1]),
            ("truncation_cutoff", TensorProto.INT32, ["N", 1]),
        ],
        outputs=[("ws", TensorProto.FLOAT, ["N", NUM_WS, W_DIM])],
        constants=constants,
    )


def _synthesis(extra_milliseconds: float, seed: int, transforms: bool = False) -> onnx.ModelProto:
    """ws → image: a sum of patterns, one octave finer per layer, plus noise, squashed to [0, 255].

    With transforms, a wave is drawn over it, the further the picture is turned and moved the stronger.
    """
    pixels = RESOLUTION * RESOLUTION * 3
    random = np.random.RandomState(seed)
    patterns = []
    for layer in range(NUM_WS):
        cells = 2 << layer  # 2, 4, 8, 16 cells along each side
        coarse = random.randn(W_DIM, cells, cells, 3).astype(np.float32)
        repeat = RESOLUTION // cells
        patterns.append(coarse.repeat(repeat, axis=1).repeat(repeat, axis=2).reshape(W_DIM, pixels))
    positions = np.arange(pixels, dtype=np.int64)[None]
    constants = {
        "patterns": np.concatenate(patterns) / np.float32(4),  # [num_ws · w_dim, pixels]
        "flat": np.array([-1, NUM_WS * W_DIM], np.int64),
        "image_shape": np.array([-1, RESOLUTION, RESOLUTION, 3], np.int64),
        "zero": np.array(0, np.int64),
        "prime": np.array(_PRIME, np.int64),
        "factor": np.array(7919, np.int64),
        "offset": np.array(104729 % _PRIME, np.int64),
        "positions": positions,
        "constant_noise": random.rand(1, pixels).astype(np.float32),
        "inverse_prime": np.array(1 / _PRIME, np.float32),
        "half": np.array(0.5, np.float32),
        "noise_scale": np.array(0.4, np.float32),
        "level_scale": np.array(127.5, np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["ws", "flat"], ["ws_flat"]),
        # Noise in [0, 1) for every position: two rounds of (a·x + b)² mod p, seeded by the seed's residue.
        helper.make_node("Mod", ["noise_seed", "prime"], ["seed"]),  # [N, 1]
        helper.make_node("Mul", ["seed", "factor"], ["seed_scaled"]),
        helper.make_node("Add", ["seed_scaled", "positions"], ["round_0"]),  # [N, pixels]
        *_hash_round("round_0", "round_1"),
        *_hash_round("round_1", "round_2"),
        helper.make_node("Cast", ["round_2"], ["hash_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["hash_float", "inverse_prime"], ["seeded_noise"]),
        helper.make_node("Less", ["noise_seed", "zero"], ["is_constant"]),
        helper.make_node("Where", ["is_constant", "constant_noise", "seeded_noise"], ["noise"]),
        helper.make_node("Sub", ["noise", "half"], ["noise_centred"]),
        helper.make_node("Mul", ["noise_centred", "noise_scale"], ["noise_scaled"]),
        helper.make_node("Mul", ["noise_scaled", "noise_gain"], ["noise_gained"]),
        helper.make_node("MatMul", ["ws_flat", "patterns"], ["drawn"]),
        helper.make_node("Add", ["drawn", "noise_gained"], ["noisy"]),
        helper.make_node("Tanh", ["noisy"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "level_scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "level_scale"], ["levels"]),
        helper.make_node("Round", ["levels"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["bytes", "image_shape"], ["images"]),
    ]
    if extra_milliseconds:
        busy, busy_constants = _busy_work(extra_milliseconds)
        constants |= busy_constants
        nodes[0].output[0] = "ws_plain"
        nodes[1:1] = busy
    more = []
    if transforms:
        more = [("rotation", TensorProto.FLOAT, ["N", 1]), ("translation", TensorProto.FLOAT, ["N", 2])]
        waves = random.randn(3, pixels).astype(np.float32) * np.array([[1 / 90], [1], [1]], np.float32)
        constants["waves"] = waves
        place = next(at for at, node in enumerate(nodes) if node.output[0] == "noisy")
        nodes[place].output[0] = "unmoved"
        nodes[place + 1 : place + 1] = [
            helper.make_node("Concat", ["rotation", "translation"], ["moves"], axis=1),  # [N, 3]
            helper.make_node("MatMul", ["moves", "waves"], ["moved"]),
            helper.make_node("Add", ["unmoved", "moved"], ["noisy"]),
        ]
    return _model(
        "synthesis",
        nodes,
        inputs=[
            ("ws", TensorProto.FLOAT, ["N", NUM_WS, W_DIM]),
            ("noise_gain", TensorProto.FLOAT, ["N", 1]),
            ("noise_seed", TensorProto.INT64, ["N", 1]),
            *more,
        ],
        outputs=[("images", TensorProto.UINT8, ["N", RESOLUTION, RESOLUTION, 3])],
        constants=constants,
    )


def _hash_round(source: str, target: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Mul", [source, "factor"], [f"{target}_scaled"]),
        helper.make_node("Add", [f"{target}_scaled", "offset"], [f"{target}_moved"]),
        helper.make_node("Mod", [f"{target}_moved", "prime"], [f"{target}_residue"]),
        helper.make_node("Mul", [f"{target}_residue", f"{target}_residue"], [f"{target}_squared"]),
        helper.make_node("Mod", [f"{target}_squared", "prime"], [target]),
    ]


def _busy_work(milliseconds: float) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A loop of matrix products between `ws_plain` and `ws_flat` that changes nothing but the time taken.

    It starts from the input, since a loop over constants alone would be folded away when the model loads.
    """
    size = 128
    iterations = max(1, round(milliseconds * 30))  # a product of 128³ takes about 1/30 ms on one core
    constants = {
        "busy_start": np.zeros((1, size, size), np.float32),
        "busy_weight": np.eye(size, dtype=np.float32),
        "busy_trips": np.array(iterations, np.int64),
        "busy_go": np.array(True),
        "busy_axes": np.array([1, 2], np.int64),
        "busy_axis_1": np.array([1], np.int64),
        "busy_nothing": np.array(0, np.float32),
    }
    state = ["N", size, size]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("MatMul", ["state_in", "busy_weight"], ["state_out"]),
        ],
        "busy",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, state),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, state),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["ws_plain"], ["busy_mean"], axes=[1], keepdims=1),  # [N, 1]
        helper.make_node("Unsqueeze", ["busy_mean", "busy_axis_1"], ["busy_mean_3d"]),
        helper.make_node("Mul", ["busy_mean_3d", "busy_nothing"], ["busy_zero"]),
        helper.make_node("Add", ["busy_start", "busy_zero"], ["busy_first"]),  # [N, size, size] of zeros
        helper.make_node("Loop", ["busy_trips", "busy_go", "busy_first"], ["busy_last"], body=body),
        helper.make_node("ReduceSum", ["busy_last", "busy_axes"], ["busy_sum"], keepdims=0),  # [N]
        helper.make_node("Unsqueeze", ["busy_sum", "busy_axis_1"], ["busy_sum_2d"]),
        helper.make_node("Add", ["ws_plain", "busy_sum_2d"], ["ws_flat"]),
    ]
    return nodes, constants


def _model(
    graph_name: str,
    nodes: list[onnx.NodeProto],
    *,
    inputs: list[tuple[str, int, list[Any]]],
    outputs: list[tuple[str, int, list[Any]]],
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        graph_name,
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="toy"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


_TENSORS = {
    "mapping": (
        [("z", "FP32", [Z_DIM]), ("truncation_psi", "FP32", [1]), ("truncation_cutoff", "INT32", [1])],
        [("ws", "FP32", [NUM_WS, W_DIM])],
    ),
    "synthesis": (
        [("ws", "FP32", [NUM_WS, W_DIM]), ("noise_gain", "FP32", [1]), ("noise_seed", "INT64", [1])],
        [("images", "UINT8", [RESOLUTION, RESOLUTION, 3])],
    ),
}


def _config(
    triton_name: str, role: str, card: dict[str, Any], max_queue_size: int | None, transforms: bool
) -> str:
    inputs, outputs = _TENSORS[role]
    if transforms and role == "synthesis":
        inputs = [*inputs, ("rotation", "FP32", [1]), ("translation", "FP32", [2])]
    policy = f"default_queue_policy {{ max_queue_size: {max_queue_size} }} " if max_queue_size else ""
    # A JSON string is a protobuf text string as well, as long as non-ASCII characters are not escaped.
    card_string = json.dumps(json.dumps(card, ensure_ascii=False), ensure_ascii=False)
    return f"""name: "{triton_name}"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 16
{_tensors("input", inputs)}{_tensors("output", outputs)}instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ {policy}}}
model_warmup [
  {{
    name: "one image"
    batch_size: 1
{_warmup(inputs)}  }}
]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "card" value {{ string_value: {card_string} }} }}
"""


def _tensors(section: str, tensors: list[tuple[str, str, list[int]]]) -> str:
    return "".join(
        f'{section} {{ name: "{name}" data_type: TYPE_{datatype} dims: {dims} }}\n'
        for name, datatype, dims in tensors
    )


def _warmup(tensors: list[tuple[str, str, list[int]]]) -> str:
    return "".join(
        f'    inputs {{ key: "{name}" '
        f"value {{ data_type: TYPE_{datatype} dims: {dims} zero_data: true }} }}\n"
        for name, datatype, dims in tensors
    )
