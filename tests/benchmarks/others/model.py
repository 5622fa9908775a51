"""Seeds to PNG files with ONNX Runtime and Pillow, as somebody would write it who serves one model."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


class Model:
    """A generator in a model repository of Triton's, without Triton."""

    def __init__(self, repository: str, name: str) -> None:
        def session(role: str) -> onnxruntime.InferenceSession:
            path = Path(repository) / f"{name}-{role}" / "1" / "model.onnx"
            return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

        self.mapping, self.synthesis = session("mapping"), session("synthesis")
        self.inputs = {given.name: given.shape[1] for given in self.mapping.get_inputs()}

    def images(self, seeds: Sequence[int]) -> np.ndarray:
        """UINT8 [N, height, width, 3]."""
        n = len(seeds)
        rows = [np.random.RandomState(seed).randn(self.inputs["z"]) for seed in seeds]
        given = {
            "z": np.stack(rows).astype(np.float32),
            "truncation_psi": np.ones((n, 1), np.float32),
            "truncation_cutoff": np.full((n, 1), -1, np.int32),
        }
        for name in ("label", "edits"):
            if name in self.inputs:
                given[name] = np.zeros((n, self.inputs[name]), np.float32)
        (ws,) = self.mapping.run(["ws"], given)
        noise = {"noise_gain": np.ones((n, 1), np.float32), "noise_seed": np.full((n, 1), -1, np.int64)}
        (images,) = self.synthesis.run(["images"], {"ws": ws, **noise})
        return images


def png(pixels: np.ndarray) -> bytes:
    """The file of one image."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
