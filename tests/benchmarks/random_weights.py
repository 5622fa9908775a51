"""StyleGAN2 with random weights, in Triton's repository: the real cost at any size."""

from __future__ import annotations

from pathlib import Path

import torch

from training.export.formats import serialize
from training.export.generator import generator_product
from training.export.triton_entry import TritonEntry, write_entries
from training.families.base import Deployable
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
    product = generator_product(Deployable(name, "Random weights", generator))
    entries = []
    for model in product.models:
        card = {"name": name, "family": "stylegan2", "kind": "generator", "title": "Random weights"}
        entry = TritonEntry(
            name=f"{name}-{model.role}",
            model=serialize(model, "onnx"),
            inputs=model.inputs,
            outputs=model.outputs,
            max_batch_size=model.max_batch_size,
            card={**card, **product.card, "role": model.role},
        )
        entries.append(entry)
    write_entries(repository, entries)
