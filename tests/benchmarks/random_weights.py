"""StyleGAN2 with random weights, in Triton's repository: the real cost at any size."""

from __future__ import annotations

from pathlib import Path

import torch

from training.export.generator import mapping_graph, triton_entries, unchecked_synthesis_graph
from training.export.onnx_graph import drop_output
from training.export.triton_entry import write_entries
from training.networks.stylegan2 import Generator


def random_generator(resolution: int, channel_base: int, channel_max: int = 512, dim: int = 512) -> Generator:
    """An untrained generator, as it is initialised."""
    torch.manual_seed(0)
    return Generator(dim, dim, resolution, channel_base, channel_max).eval().requires_grad_(False)


def write_random_model(repository: Path, name: str, resolution: int, channel_base: int) -> None:
    """Writes such a generator; the parity gate, minutes of work at 1024², is left to the tests.

    Args:
        repository: Triton's model repository.
        name: Public name.
        resolution: Height and width of its images in pixels.
        channel_base: Feature maps times resolution.
    """
    generator = random_generator(resolution, channel_base)
    mapping, _ = mapping_graph(generator)
    synthesis = drop_output(unchecked_synthesis_graph(generator), "pixels")
    card = {"name": name, "family": "stylegan2", "title": "Random weights"}
    write_entries(repository, triton_entries(generator, card, mapping, synthesis))
