"""What the toy generator must answer, computed without Triton and without the gateway."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


@lru_cache
def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def toy_pixels(
    repository: Path,
    seed: int,
    *,
    name: str = "toy",
    truncation: float = 1.0,
    truncation_cutoff: int | None = None,
    noise: str | int = "const",
    rotation: float = 0,
    translation: Sequence[float] = (0, 0),
) -> np.ndarray:
    """Pixels [height, width, 3] of one seed, by ONNX Runtime alone."""
    mapping = _session(repository / f"{name}-mapping" / "1" / "model.onnx")
    synthesis = _session(repository / f"{name}-synthesis" / "1" / "model.onnx")
    z_dim = mapping.get_inputs()[0].shape[1]
    styles = {
        "z": np.random.RandomState(seed).randn(1, z_dim).astype(np.float32),
        "truncation_psi": np.full((1, 1), truncation, np.float32),
        "truncation_cutoff": np.full(
            (1, 1), -1 if truncation_cutoff is None else truncation_cutoff, np.int32
        ),
    }
    for taken in mapping.get_inputs():
        if taken.name == "edits":  # a model that ships directions; none is taken here
            styles["edits"] = np.zeros((1, taken.shape[1]), np.float32)
    (ws,) = mapping.run(["ws"], styles)
    drawn = {
        "ws": ws,
        "noise_gain": np.full((1, 1), 0 if noise == "none" else 1, np.float32),
        "noise_seed": np.full((1, 1), noise if isinstance(noise, int) else -1, np.int64),
        "rotation": np.full((1, 1), rotation, np.float32),
        "translation": np.array([translation], np.float32),
    }
    taken_by_synthesis = {taken.name for taken in synthesis.get_inputs()}
    (images,) = synthesis.run(
        ["images"], {name: value for name, value in drawn.items() if name in taken_by_synthesis}
    )
    return images[0]


def toy_sha256(repository: Path, seed: int, **parameters: Any) -> str:
    """sha256 of those pixels."""
    return hashlib.sha256(toy_pixels(repository, seed, **parameters).tobytes()).hexdigest()
