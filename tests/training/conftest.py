"""A dataset and a configuration small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import RunConfig
from training.config_files import parse_config
from training.data.archive import write_archive

RESOLUTION = 16


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_config() -> RunConfig:
    return parse_config(
        {
            "name": "tiny",
            "title": "Blobs",
            "snapshots": {"kimg": 0.04},
            "data": {"recipe": "blobs", "resolution": RESOLUTION},
            "generator": {
                "z_dim": 8,
                "w_dim": 8,
                "mapping_layers": 2,
                "channel_base": 64,
                "channel_max": 8,
            },
            "discriminator": {"channel_base": 64, "channel_max": 8},
            "optimization": {"batch": 8, "kimg": 0.08, "r1_gamma": 1.0, "r1_interval": 4, "ema_kimg": 0.05},
        }
    )


@pytest.fixture(scope="session")
def blobs(tmp_path_factory) -> Path:
    """A folder `blobs-16` as a recipe would leave it, with 150 images in each split."""
    folder = tmp_path_factory.mktemp("data") / f"blobs-{RESOLUTION}"
    rng = np.random.RandomState(0)
    yy, xx = np.mgrid[:RESOLUTION, :RESOLUTION]
    for split in ("train", "heldout"):
        images = []
        for _ in range(150):
            cy, cx, radius = *rng.uniform(4, 12, 2), rng.uniform(2, 6)
            inside = ((yy - cy) ** 2 + (xx - cx) ** 2 < radius**2)[:, :, None]
            images.append(np.where(inside, rng.randint(128, 256, 3), 30).astype(np.uint8))
        write_archive(folder / f"{split}.zip", images)
    return folder
