"""A generator becomes two Triton models, `<name>-mapping` and `<name>-synthesis`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.directions import Directions, sefa
from training.export.exportable import FLOATS, Arrays, Exportable, Graph, Product, Run, batch_size
from training.export.fold import fold_batch_norms
from training.export.golden import golden_hashes
from training.export.graphs import TRANSFORMS, MappingGraph, MovableSynthesisGraph, SynthesisGraph
from training.export.seeded_noise import seeded_noise
from training.export.stylegan2_synthesis import served_synthesis
from training.export.stylegan3_synthesis import PreparedSynthesis
from training.export.triton_entry import TensorSpec
from training.families.base import (
    Deployable,
    GeneratorNetwork,
    MappingHalf,
    MovableSynthesis,
    SynthesisHalf,
)
from training.networks.stylegan2 import Generator as StyleGAN2Generator
from training.networks.stylegan2 import SynthesisNetwork as StyleGAN2Synthesis
from training.networks.stylegan3 import Generator as StyleGAN3Generator
from training.networks.stylegan3 import SynthesisNetwork as StyleGAN3Synthesis
from training.pixels import to_uint8

BATCHES = (1, 2, 5, 16)
MAX_BATCH_SIZE = 16
MAX_NUMBERS = 2**28
"""In the feature maps of a layer of StyleGAN3, over a batch; of such gibibytes several are held at a time."""
N_DIRECTIONS = 8
"""Edit directions that are shipped."""


def layer_groups(num_ws: int) -> dict[str, list[int]]:
    """The layers behind pose and outline (4²–8²), behind parts (16²–32²), and behind texture (the rest).

    The bounds are those of the style-mixing figure of the first StyleGAN paper.
    """
    layers = list(range(num_ws))
    return {"coarse": layers[:4], "middle": layers[4:8], "fine": layers[8:]}


def generator_product(deployable: Deployable) -> Product:
    """Mapping and synthesis of a generator.

    Args:
        deployable: Its network is a `GeneratorNetwork`.

    Returns:
        The two models.
    """
    network = cast(GeneratorNetwork, deployable.network)
    g = network.mapping
    directions = find_directions(deployable.network)
    models = [mapping_model(network, directions), synthesis_model(network)]
    card = {
        **deployable.card,
        "resolution": network.synthesis.resolution,
        "z_dim": g.z_dim,
        "w_dim": g.w_dim,
        "num_ws": g.num_ws,
        "layer_groups": layer_groups(g.num_ws),
        "directions": direction_cards(directions) if directions else [],
    }
    if isinstance(network.synthesis, MovableSynthesis):
        card["transforms"] = list(TRANSFORMS)
    if not g.c_dim:
        card["classes"] = []  # whatever the dataset has: the model cannot be asked for one

    def measure(runs: Sequence[Run], runtime: str) -> dict[str, Any]:
        mapping, synthesis = runs
        return {"golden": golden_hashes(mapping, synthesis, models[0].inputs, models[1].inputs, runtime)}

    return Product(models, card, measure)


def find_directions(network: nn.Module) -> Directions | None:
    """Edit directions in closed form; they follow from the modulation of styles, which not all have."""
    if not isinstance(network, StyleGAN2Generator | StyleGAN3Generator):
        return None
    return sefa(network, min(N_DIRECTIONS, network.mapping.w_dim))


def direction_cards(directions: Directions) -> list[dict[str, Any]]:
    """The edit directions as the model card lists them, in the order of `edits`."""
    return [
        {
            "name": name,
            "layers": list(directions.layers),
            "unit": "standard deviations of w along the direction",
            "explained": round(explained, 4),
        }
        for name, explained in zip(directions.names, directions.explained, strict=True)
    ]


def mapping_model(network: GeneratorNetwork, directions: Directions | None = None) -> Exportable:
    """From latents to ws, truncated and then edited along the directions."""
    g = network.mapping
    vectors = None if directions is None else directions.vectors

    def draw_cases() -> list[Arrays]:
        rng = np.random.RandomState(0)
        return [latents(n, rng) for n in BATCHES]

    def latents(n: int, rng: np.random.RandomState) -> Arrays:
        inputs: Arrays = {
            "z": rng.randn(n, g.z_dim).astype(np.float32),
            "truncation_psi": rng.uniform(-1, 1.5, (n, 1)).astype(np.float32),
            "truncation_cutoff": rng.randint(-1, g.num_ws + 1, (n, 1)).astype(np.int32),
        }
        if g.c_dim:
            inputs["label"] = random_labels(n, g.c_dim, rng)
        if vectors is not None:
            inputs["edits"] = rng.uniform(-3, 3, (n, len(vectors))).astype(np.float32)
        return inputs

    @torch.no_grad()
    def reference(inputs: Arrays) -> Arrays:
        w_avg = g.w_avg.numpy()
        ws = []
        for i in range(batch_size(inputs)):
            label = torch.from_numpy(inputs["label"][i : i + 1]) if g.c_dim else None
            w = g.ws(torch.from_numpy(inputs["z"][i : i + 1]), label)[0].numpy()  # [num_ws, w_dim]
            cutoff, psi = int(inputs["truncation_cutoff"][i, 0]), inputs["truncation_psi"][i, 0]
            truncated = np.arange(g.num_ws) < (g.num_ws if cutoff < 0 else cutoff)
            w = np.where(truncated[:, None], w_avg + psi * (w - w_avg), w)
            if vectors is not None:
                w = w + np.tensordot(inputs["edits"][i], vectors.numpy(), axes=1)
            ws.append(w)
        return {"ws": np.stack(ws).astype(np.float32)}

    inputs = [
        TensorSpec("z", "TYPE_FP32", (g.z_dim,)),
        TensorSpec("truncation_psi", "TYPE_FP32", (1,)),
        TensorSpec("truncation_cutoff", "TYPE_INT32", (1,), zero=True),
    ]
    if g.c_dim:
        inputs.append(TensorSpec("label", "TYPE_FP32", (g.c_dim,)))
    if vectors is not None:
        inputs.append(TensorSpec("edits", "TYPE_FP32", (len(vectors),)))
    graph = MappingGraph(g, vectors)
    return Exportable("mapping", graph, inputs, [_ws(g)], MAX_BATCH_SIZE, draw_cases, reference)


def synthesis_model(network: GeneratorNetwork) -> Exportable:
    """From ws and a choice of noise, and of a view if there is one, to images.

    They are compared before and after rounding to UINT8.
    """
    g, synthesis = network.mapping, network.synthesis
    movable = isinstance(synthesis, MovableSynthesis)
    most = largest_batch(synthesis)

    def draw_cases() -> list[Arrays]:
        rng = np.random.RandomState(0)
        return [styles(n, rng) for n in sorted({min(n, most) for n in BATCHES})]

    @torch.no_grad()
    def styles(n: int, rng: np.random.RandomState) -> Arrays:
        z = torch.from_numpy(rng.randn(n, g.z_dim).astype(np.float32))
        label = torch.from_numpy(random_labels(n, g.c_dim, rng)) if g.c_dim else None
        inputs: Arrays = {
            "ws": np.ascontiguousarray(g.ws(z, label).numpy()),
            "noise_gain": rng.uniform(0, 1, (n, 1)).astype(np.float32),
            "noise_seed": np.where(rng.rand(n, 1) < 0.3, -1, rng.randint(0, 2**53, (n, 1))),
        }
        if movable:
            inputs["rotation"] = rng.uniform(-180, 180, (n, 1)).astype(np.float32)
            inputs["translation"] = rng.uniform(-0.5, 0.5, (n, 2)).astype(np.float32)
        return inputs

    @torch.no_grad()
    def reference(inputs: Arrays) -> Arrays:
        samples = (
            {k: torch.from_numpy(v[i : i + 1]) for k, v in inputs.items()} for i in range(batch_size(inputs))
        )
        floats = torch.cat([image(sample) for sample in samples]).permute(0, 2, 3, 1)
        return {"images": to_uint8(floats).numpy(), FLOATS: floats.numpy()}

    def image(sample: dict[str, Tensor]) -> Tensor:
        if isinstance(synthesis, MovableSynthesis):
            return synthesis.moved(sample["ws"], sample["rotation"], sample["translation"])
        noise = synthesis.constant_noise()
        if int(sample["noise_seed"]) >= 0 and noise:
            noise = seeded_noise(sample["noise_seed"], [layer.shape[-1] for layer in noise])
        return synthesis(sample["ws"], [layer * float(sample["noise_gain"]) for layer in noise])

    inputs = [
        _ws(g),
        TensorSpec("noise_gain", "TYPE_FP32", (1,)),
        TensorSpec("noise_seed", "TYPE_INT64", (1,), zero=True),
    ]
    if movable:
        inputs += [TensorSpec(name, "TYPE_FP32", (width,), zero=True) for name, width in TRANSFORMS.items()]
    side = synthesis.resolution
    images = TensorSpec("images", "TYPE_UINT8", (side, side, 3))
    graph = synthesis_graph(synthesis)
    return Exportable("synthesis", graph, inputs, [images], most, draw_cases, reference)


def largest_batch(synthesis: SynthesisHalf) -> int:
    """Samples that a graph is given at a time: fewer of a StyleGAN3 that would fill the memory, but two."""
    if not isinstance(synthesis, StyleGAN3Synthesis):
        return MAX_BATCH_SIZE
    return min(max(MAX_NUMBERS // synthesis.largest_map, 2), MAX_BATCH_SIZE)


def synthesis_graph(synthesis: SynthesisHalf) -> Graph:
    """The graph of a synthesis half, without what only training needs."""
    if isinstance(synthesis, StyleGAN3Synthesis):
        return MovableSynthesisGraph(PreparedSynthesis(synthesis))
    if isinstance(synthesis, MovableSynthesis):
        return MovableSynthesisGraph(synthesis)
    if isinstance(synthesis, StyleGAN2Synthesis):
        return SynthesisGraph(served_synthesis(synthesis))
    return SynthesisGraph(cast(SynthesisHalf, fold_batch_norms(cast(nn.Module, synthesis))))


def random_labels(n: int, c_dim: int, rng: np.random.RandomState) -> NDArray[np.float32]:
    """One-hot labels, [n, c_dim]."""
    labels: NDArray[np.float32] = np.eye(c_dim, dtype=np.float32)[rng.randint(0, c_dim, n)]
    return labels


def _ws(g: MappingHalf) -> TensorSpec:
    return TensorSpec("ws", "TYPE_FP32", (g.num_ws, g.w_dim))
