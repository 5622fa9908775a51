"""Makes images with NVIDIA's StyleGAN2 or StyleGAN3, from a local clone, as `gen_images.py` does on a CPU."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.benchmarks.reference_process import Settings, Step
from tests.benchmarks.stylegan_reference import without_downloads


def build(settings: Settings) -> tuple[str, Step]:
    """Loads a generator, or makes one of random weights and writes it as their training does.

    Args:
        settings: `file`, the pickle; `make`, None or what it is to be made of: `module` of theirs and
            `options` of its `Generator`; `batch`, images of a step; `folder`, where pixels of each step are
            left as `<number>.npy`.

    Returns:
        What it is, and a step that makes images of the seeds from its number times the batch on, untruncated,
        of class 0.
    """
    without_downloads()
    without_setuptools()
    file, folder = Path(settings["file"]), Path(settings["folder"])
    if settings["make"] is not None:
        write_random(file, **settings["make"])
    importlib.import_module("torch_utils.persistence")
    with file.open("rb") as opened:
        g: Any = pickle.load(opened)["G_ema"]  # which runs the code in it: their own, of the user's own file
    n = settings["batch"]
    label = torch.eye(1, g.c_dim).expand(n, -1) if g.c_dim else torch.zeros(n, 0)

    @torch.no_grad()
    def step(number: int) -> None:
        seeds = range(number * n, (number + 1) * n)
        z = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(g.z_dim) for seed in seeds]))
        images = g(z, label, noise_mode="const")
        pixels = (images.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
        if not (folder / f"{number}.npy").exists():
            np.save(folder / f"{number}.npy", pixels.numpy())

    return "NVIDIA's, PyTorch eager", step


@torch.no_grad()
def write_random(file: Path, module: str, options: dict[str, Any]) -> None:
    """Writes a pickle of a generator with random weights, biases, noise strengths and magnitudes."""
    torch.manual_seed(0)
    g: nn.Module = importlib.import_module(module).Generator(**options).eval().requires_grad_(False)
    for name, parameter in g.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter += 0.2 * torch.randn_like(parameter)
    for name, buffer in g.named_buffers():
        if name.endswith("magnitude_ema"):
            buffer += torch.rand([])
    file.write_bytes(pickle.dumps({"G": g, "G_ema": copy.deepcopy(g)}))


def without_setuptools() -> None:
    """Lets their operations be imported without `pkg_resources`, of which they need one function."""
    try:
        importlib.import_module("pkg_resources")
    except ModuleNotFoundError:
        stand_in: Any = types.ModuleType("pkg_resources")
        stand_in.parse_version = importlib.import_module("packaging.version").parse
        sys.modules["pkg_resources"] = stand_in
