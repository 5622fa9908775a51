"""How far an imported network is from the weights it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor

from training.errors import GantrainError
from training.export.upscaler import from_zero_one
from training.families.base import GeneratorNetwork, Kind
from training.importers.base import Imported, Proof
from training.networks.mapping import truncate
from training.pixels import to_uint8

MAX_LEVEL_ERROR = 1
"""Most that a pixel may differ, in levels of 255."""

_LARGE = 512
_SIDE = 64


class ProofError(GantrainError):
    """A network of ours does not compute what the stored weights say; nothing is served of it."""


@torch.no_grad()
def prove(imported: Imported, kind: Kind, progress: Callable[[str], None] = lambda _: None) -> Proof:
    """Runs our network beside the reference forward pass of the stored weights.

    A generator is given the latents of seeds 0 to 3 (0 and 1 from 512 pixels on), truncated by 1 and 0.7,
    and its classes in turn; others two pictures of noise and gradients, of different sides.

    Args:
        imported: What was imported.
        kind: What it does.
        progress: Told each step.

    Returns:
        How far they are apart.

    Raises:
        ProofError: If any pixel differs by more than one level, or something is not finite.
    """
    pairs = _images(imported, progress) if kind == "generator" else _pictures(imported, kind, progress)
    to_pixels = from_zero_one if kind == "upscaler" else to_uint8
    cases: list[str] = []
    largest, total, level, differing, count = 0.0, 0.0, 0, 0, 0
    for case, ours, theirs in pairs:
        if ours.shape != theirs.shape:
            raise ProofError(f"{case}: ours is {list(ours.shape)}, that of the file {list(theirs.shape)}")
        if not (ours.isfinite().all() and theirs.isfinite().all()):
            raise ProofError(
                f"{case}: the network makes numbers that are not finite; the file may be damaged"
            )
        cases.append(case)
        # Summed up case by case: images may be large.
        error = (ours - theirs).abs()
        levels = (to_pixels(ours).int() - to_pixels(theirs).int()).abs()
        largest, level = max(largest, float(error.max())), max(level, int(levels.max()))
        total, differing = total + float(error.double().sum()), differing + int((levels > 0).sum())
        count += error.numel()
    proof = Proof(", ".join(cases), largest, total / count, differing / count, level)
    if proof.max_level_error > MAX_LEVEL_ERROR:
        raise ProofError(
            f"our network differs from the weights of the file by up to {proof.max_level_error} levels of "
            f"255, in {proof.differing_pixels:.1%} of all samples: the file is of another network than it "
            "seems. Nothing was written"
        )
    return proof


def _images(imported: Imported, progress: Callable[[str], None]) -> Iterator[tuple[str, Tensor, Tensor]]:
    network = cast(GeneratorNetwork, imported.network)
    mapping, synthesis = network.mapping, network.synthesis
    for seed in range(2 if synthesis.resolution >= _LARGE else 4):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, mapping.z_dim).astype(np.float32))
        label = torch.eye(mapping.c_dim)[seed % mapping.c_dim][None] if mapping.c_dim else None
        psi = 0.7 if seed % 2 else 1.0
        progress(f"comparing with the stored weights, seed {seed}")
        all_layers = torch.tensor([[-1]])
        ws = truncate(mapping.ws(z, label), mapping.w_avg, torch.tensor([[psi]]), all_layers)
        yield (
            f"seed {seed} ψ {psi:g}",
            synthesis(ws, synthesis.constant_noise()),
            imported.reference(z, label, psi),
        )


def _pictures(
    imported: Imported, kind: Kind, progress: Callable[[str], None]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    multiple = int(getattr(imported.network, "size_multiple", 1))
    least = max(int(imported.card.get("min_size", 1)), int(getattr(imported.network, "min_size", 1)))
    side = multiple * -(-max(_SIDE, least) // multiple)
    height, width = imported.example or (side, side)
    for seed, size in enumerate(((height, width), (height, width + multiple))):
        progress(f"comparing with the stored weights, {size[1]} × {size[0]} pixels")
        picture = _picture(size, seed)
        x = picture if kind == "upscaler" else picture * 2 - 1
        yield f"{size[1]} × {size[0]} pixels", imported.network(x), imported.reference(x)


def _picture(size: tuple[int, int], seed: int) -> Tensor:
    """Gradients with edges, and noise, in whole levels of [0, 1]; [1, 3, H, W]."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    waves = [np.sin(6 * x + 9 * y + phase) > 0.3 * np.cos(7 * y) for phase in range(3)]
    smooth = np.stack([x, y, 1 - x]) * 0.6 + 0.2 * np.stack(waves)
    levels = np.round(255 * np.clip(smooth + 0.1 * rng.randn(3, *size), 0, 1)).astype(np.float32)
    return torch.from_numpy(levels)[None] / 255
