"""Exports a StyleGAN checkpoint as the two Triton models of a generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from training.checkpoint import Checkpoint
from training.data.recipe import Provenance
from training.export.graphs import MappingGraph, SynthesisGraph
from training.export.onnx_graph import drop_output, to_onnx
from training.export.parity import Arrays, ParityReport, check_parity
from training.export.seeded_noise import seeded_noise
from training.export.triton_entry import TensorSpec, TritonEntry, check_names, write_entries
from training.families.stylegan import build_generator
from training.networks.stylegan2 import Generator
from training.pixels import to_uint8


def load_generator(checkpoint: Checkpoint) -> Generator:
    """The averaged generator of a checkpoint, ready to be evaluated or exported."""
    generator = build_generator(checkpoint.config)
    generator.load_state_dict(checkpoint.model["G_ema"])
    return generator.eval().requires_grad_(False)


def layer_groups(num_ws: int) -> dict[str, list[int]]:
    """The layers behind pose and outline (4²–8²), behind parts (16²–32²), and behind texture (the rest).

    The bounds are those of the style-mixing figure of the first StyleGAN paper.
    """
    layers = list(range(num_ws))
    return {"coarse": layers[:4], "middle": layers[4:8], "fine": layers[8:]}


def export_generator(
    generator: Generator,
    card: dict[str, Any],
    repository: Path,
    *,
    version: int = 1,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Exports mapping and synthesis, and writes them only if both pass the parity gate.

    Args:
        generator: In evaluation mode, on the CPU.
        card: The model card: `name` and whatever is known of the model beyond its networks.
        repository: Triton's model repository.
        version: Version to write.
        overwrite: Whether models of the same name are replaced.
        progress: Told each step.

    Returns:
        Folders of the two models.

    Raises:
        ParityError: If a graph differs from its network; nothing is written then.
        ExportError: If a graph's batch axis is not dynamic; nothing is written then.
        ModelExistsError: If a model exists and `overwrite` is false.
    """
    names = [f"{card['name']}-{role}" for role in ("mapping", "synthesis")]
    check_names(repository, names, overwrite=overwrite)  # before minutes of work
    progress("exporting the mapping network")
    mapping, mapping_parity = mapping_graph(generator)
    progress("exporting the synthesis network")
    synthesis, synthesis_parity = synthesis_graph(generator)
    progress("writing")
    entries = triton_entries(
        generator,
        {
            **card,
            "parity": {"mapping": mapping_parity.model_dump(), "synthesis": synthesis_parity.model_dump()},
        },
        mapping,
        synthesis,
        version,
    )
    return write_entries(repository, entries, overwrite=overwrite)


def triton_entries(
    generator: Generator,
    card: dict[str, Any],
    mapping: onnx.ModelProto,
    synthesis: onnx.ModelProto,
    version: int = 1,
) -> list[TritonEntry]:
    """The two Triton models of a generator, whose tensors are what the model contract says.

    Args:
        generator: The networks, for their sizes.
        card: The model card: `name` and whatever is known of the model beyond its networks.
        mapping: The mapping graph.
        synthesis: The synthesis graph.
        version: Version to write.

    Returns:
        Mapping and synthesis.
    """
    g, s = generator.mapping, generator.synthesis
    card = {
        **card,
        "kind": "generator",
        "resolution": s.resolution,
        "z_dim": g.z_dim,
        "w_dim": g.w_dim,
        "num_ws": g.num_ws,
        "layer_groups": layer_groups(g.num_ws),
        "classes": [],
        "directions": [],
    }
    ws = TensorSpec("ws", "TYPE_FP32", (g.num_ws, g.w_dim))
    return [
        TritonEntry(
            name=f"{card['name']}-mapping",
            model=mapping.SerializeToString(deterministic=True),
            inputs=[
                TensorSpec("z", "TYPE_FP32", (g.z_dim,)),
                TensorSpec("truncation_psi", "TYPE_FP32", (1,)),
                TensorSpec("truncation_cutoff", "TYPE_INT32", (1,), warmup=0),
            ],
            outputs=[ws],
            card={**card, "role": "mapping"},
            version=version,
        ),
        TritonEntry(
            name=f"{card['name']}-synthesis",
            model=synthesis.SerializeToString(deterministic=True),
            inputs=[
                ws,
                TensorSpec("noise_gain", "TYPE_FP32", (1,)),
                TensorSpec("noise_seed", "TYPE_INT64", (1,), warmup=0),
            ],
            outputs=[TensorSpec("images", "TYPE_UINT8", (s.resolution, s.resolution, 3))],
            card={**card, "role": "synthesis"},
            version=version,
        ),
    ]


def mapping_graph(generator: Generator) -> tuple[onnx.ModelProto, ParityReport]:
    """The mapping graph and how close it is to the network.

    Raises:
        ParityError: If it is not close enough.
        ExportError: If its batch axis is not dynamic.
    """
    mapping = generator.mapping
    rng = np.random.RandomState(0)

    def make_inputs(n: int) -> Arrays:
        return {
            "z": rng.randn(n, mapping.z_dim).astype(np.float32),
            "truncation_psi": rng.uniform(-1, 1.5, (n, 1)).astype(np.float32),
            "truncation_cutoff": rng.randint(-1, mapping.num_ws + 1, (n, 1)).astype(np.int32),
        }

    @torch.no_grad()
    def reference(inputs: Arrays) -> Arrays:
        ws = [
            mapping(torch.from_numpy(z[None]), float(psi[0]), int(cutoff[0]))
            for z, psi, cutoff in zip(*inputs.values(), strict=True)
        ]
        return {"ws": torch.cat(ws).numpy()}

    example = {name: torch.from_numpy(value) for name, value in make_inputs(2).items()}
    model = to_onnx(MappingGraph(mapping), example, ["ws"])
    return model, check_parity(model, make_inputs, reference)


def synthesis_graph(generator: Generator) -> tuple[onnx.ModelProto, ParityReport]:
    """The synthesis graph and how close it is to the network, before and after rounding to UINT8.

    Raises:
        ParityError: If it is not close enough.
        ExportError: If its batch axis is not dynamic.
    """
    synthesis = generator.synthesis
    resolutions = [conv.resolution for conv in synthesis.styled_convs()]
    rng = np.random.RandomState(0)

    def make_inputs(n: int) -> Arrays:
        z = torch.from_numpy(rng.randn(n, generator.mapping.z_dim).astype(np.float32))
        with torch.no_grad():
            ws = generator.mapping(z)
        return {
            "ws": ws.numpy(),
            "noise_gain": rng.uniform(0, 1, (n, 1)).astype(np.float32),
            "noise_seed": np.where(rng.rand(n, 1) < 0.3, -1, rng.randint(0, 2**53, (n, 1))),
        }

    @torch.no_grad()
    def reference(inputs: Arrays) -> Arrays:
        images = []
        for ws, gain, seed in zip(*inputs.values(), strict=True):
            if seed[0] < 0:
                noise = synthesis.constant_noise()
            else:
                noise = seeded_noise(torch.from_numpy(seed[None]), resolutions)
            images.append(synthesis(torch.from_numpy(ws[None]), [layer * float(gain[0]) for layer in noise]))
        pixels = torch.cat(images)
        return {"images": to_uint8(pixels).permute(0, 2, 3, 1).numpy(), "pixels": pixels.numpy()}

    checked = unchecked_synthesis_graph(generator)
    report = check_parity(checked, make_inputs, reference)
    # What is shipped lacks the float output, so ONNX Runtime may fuse it otherwise: it is checked by itself.
    model = drop_output(checked, "pixels")
    shipped = check_parity(model, make_inputs, reference)
    report.max_level_error = max(report.max_level_error, shipped.max_level_error)
    return model, report


def unchecked_synthesis_graph(generator: Generator, graph: SynthesisGraph | None = None) -> onnx.ModelProto:
    """The synthesis graph with a second output `pixels`, the floats that `images` was rounded from.

    Args:
        generator: The networks.
        graph: What to export in place of the usual graph.

    Raises:
        ExportError: If its batch axis is not dynamic.
    """
    n, synthesis = 2, generator.synthesis
    example = {
        "ws": torch.zeros(n, synthesis.num_ws, synthesis.w_dim),
        "noise_gain": torch.ones(n, 1),
        "noise_seed": torch.zeros(n, 1, dtype=torch.int64),
    }
    return to_onnx(graph or SynthesisGraph(synthesis), example, ["images", "pixels"])


def model_card(
    checkpoint: Checkpoint, provenance: Provenance | None, metrics: dict[str, Any] | None, command: str
) -> dict[str, Any]:
    """What is known of a trained model, for people and for the gateway.

    Args:
        checkpoint: The trained run.
        provenance: Where its images come from, if a recipe made them.
        metrics: What `gantrain evaluate` measured, if it did.
        command: How to train it again.
    """
    config = checkpoint.config
    return {
        "name": config.name,
        "family": "stylegan2",
        "title": config.title,
        # Weights are the project's own work; the images' terms stand with the dataset.
        "licence": "Apache-2.0",
        "dataset": None if provenance is None else provenance.model_dump(),
        "metrics": metrics or {},
        "training_command": command,
        "training": {
            "kimg": round(checkpoint.kimg, 1),
            "minutes": round(checkpoint.seconds / 60),
            "config": config.model_dump(),
        },
    }
