"""ONNX Runtime against eager PyTorch: one synthesis network, the same weights, in turns, on all cores."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from tests.benchmarks.random_weights import random_generator
from tests.benchmarks.tables import Options, Row, Table
from training.export.formats import serialize
from training.export.generator import synthesis_model
from training.export.graphs import SynthesisGraph
from training.pixels import to_uint8

NETWORKS = (
    (
        "64², channel_base 2048 (terrain)",
        {"resolution": 64, "channel_base": 2048, "channel_max": 128, "dim": 128},
    ),
    ("256², channel_base 16384 (published)", {"resolution": 256, "channel_base": 16384}),
)


class WithoutSeededNoise(SynthesisGraph):
    """The same graph with the model's constant noise alone, to tell what seeded noise costs."""

    def forward(self, ws: Tensor, noise_gain: Tensor, noise_seed: Tensor) -> Any:
        noise = [layer * noise_gain[:, :, None, None] for layer in self.synthesis.constant_noise()]
        images = self.synthesis(ws, noise).permute(0, 2, 3, 1)
        return self.pixels(to_uint8(images), images)


def measure(options: Options) -> Iterator[Table]:
    """A table for each network and batch size: PyTorch as the baseline, then ONNX Runtime."""
    for title, size in NETWORKS:
        generator = random_generator(**size)
        synthesis = generator.synthesis
        plain = WithoutSeededNoise(synthesis)
        model = synthesis_model(generator)
        sessions = {
            "ONNX Runtime": _session(serialize(model, "onnx")),
            "ONNX Runtime, no seeded noise": _session(serialize(replace(model, graph=plain), "onnx")),
        }
        for batch in (1, 8):
            ws = np.random.RandomState(0).randn(batch, synthesis.num_ws, synthesis.w_dim)
            inputs = {
                "ws": ws.astype(np.float32),
                "noise_gain": np.ones((batch, 1), np.float32),
                "noise_seed": np.full((batch, 1), -1, np.int64),
            }
            tensors = [torch.from_numpy(array) for array in inputs.values()]
            calls = {"PyTorch eager": partial(_eager, plain, tensors)}
            calls |= {name: partial(_run, session, inputs) for name, session in sessions.items()}
            rounds = max(5, options.images // (10 if synthesis.resolution <= 64 else 40))
            yield Table(
                f"{title}, batch {batch}, {os.cpu_count()} cores", list(_in_turns(calls, batch, rounds))
            )


def _session(file: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # As in the embedded backend; idle threads that spin would slow down whoever's turn it is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _eager(graph: SynthesisGraph, tensors: list[Tensor]) -> None:
    with torch.inference_mode():
        graph(*tensors)


def _run(session: ort.InferenceSession, inputs: dict[str, np.ndarray]) -> None:
    session.run(None, inputs)


def _in_turns(calls: dict[str, Callable[[], object]], batch: int, rounds: int) -> Iterator[Row]:
    """Times calls one after the other, round by round, so that a slow spell of the machine hits all alike."""
    latencies: dict[str, list[float]] = {name: [] for name in calls}
    cpu = dict.fromkeys(calls, 0.0)
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            call()
            latencies[name].append((time.perf_counter() - started) * 1e3 / batch)
            cpu[name] += (time.process_time() - cpu_started) * 1e3 / batch / rounds
    for position, (name, values) in enumerate(latencies.items()):
        p95 = statistics.quantiles(values, n=20)[18]
        yield Row(name, statistics.median(values), p95, cpu[name], baseline=position == 0)
