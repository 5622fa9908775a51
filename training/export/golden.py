"""Golden hashes: what the pixels of a few seeds are, by which anyone can tell what a server makes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.export.exportable import Arrays, Run
from training.export.triton_entry import TensorSpec

SEEDS = (0, 1, 2, 3)


def golden_hashes(
    mapping: Run, synthesis: Run, mapping_inputs: Sequence[TensorSpec], runtime: str
) -> dict[str, Any]:
    """Hashes as the service reports them, with its defaults: truncation 1, constant noise, no edits, class 0.

    Args:
        mapping: The exported mapping.
        synthesis: The exported synthesis.
        mapping_inputs: What the mapping takes.
        runtime: What computes both.

    Returns:
        `pixels_sha256` by seed, and what they were computed with. Runtimes round alike only in the same
        version and with the same instructions of the processor.
    """
    widths = {spec.name: spec.dims[0] for spec in mapping_inputs}
    hashes = {}
    for seed in SEEDS:
        styles: Arrays = {
            "z": np.random.RandomState(seed).randn(1, widths["z"]).astype(np.float32),
            "truncation_psi": np.ones((1, 1), np.float32),
            "truncation_cutoff": np.full((1, 1), -1, np.int32),
        }
        if "label" in widths:
            styles["label"] = np.eye(1, widths["label"], dtype=np.float32)
        if "edits" in widths:
            styles["edits"] = np.zeros((1, widths["edits"]), np.float32)
        ws = mapping(styles)["ws"]
        noise: Arrays = {
            "noise_gain": np.ones((1, 1), np.float32),
            "noise_seed": np.full((1, 1), -1, np.int64),
        }
        image = synthesis({"ws": ws, **noise})["images"][0]
        hashes[str(seed)] = pixels_sha256(image)
    return {
        "pixels_sha256": hashes,
        "truncation": 1.0,
        "noise": "const",
        "label": 0 if "label" in widths else None,
        "runtime": runtime,
        "instruction_set": instruction_set(),
    }


def pixels_sha256(image: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> str:
    """sha256 of the raw RGB bytes of an image [H, W, 3], row by row."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def instruction_set() -> str:
    """The widest vector instructions of this processor, such as `AVX512`."""
    return torch.backends.cpu.get_cpu_capability()
