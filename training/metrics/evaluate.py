"""Evaluates a checkpoint by what its family makes: generators, translators, upscalers."""

from __future__ import annotations

from pathlib import Path

import torch

from training.checkpoint import Checkpoint
from training.engine import Engine
from training.families.base import Deployable
from training.families.table import FAMILIES
from training.files import atomic_write
from training.metrics.features import feature_network
from training.metrics.generators import evaluate_generator
from training.metrics.pictures import save_picture, table
from training.metrics.results import METRICS, EvaluationError, ModelMetrics, RunMetrics
from training.metrics.sampling import Progress, no_progress
from training.metrics.translators import evaluate_translator
from training.metrics.upscalers import evaluate_upscaler


def evaluate(
    checkpoint: Checkpoint,
    data: Path,
    run: Path,
    *,
    images: int = 2000,
    against: Checkpoint | None = None,
    inception: Path | None = None,
    device: str | None = None,
    progress: Progress = no_progress,
) -> RunMetrics:
    """Measures every model of a run, and writes `metrics.json` and pictures into its folder.

    Pictures are `samples.png` and `neighbours.png` for generators, `translations.png` for translators
    (inputs, outputs, targets), `upscaled.png` for upscalers (bicubic, the other run if any, this one, the
    original).

    Args:
        checkpoint: The run's checkpoint.
        data: Folder of the dataset.
        run: Folder that is written to.
        images: How many images of each kind at most are compared.
        against: Another upscaler's checkpoint, to compare an upscaler with.
        inception: Weights of the Inception network; see `features.feature_network`.
        device: `cpu`, `cuda` or `cuda:N`; None takes a GPU if there is one.
        progress: Told what is measured now, how many images are done, and of how many.

    Returns:
        What was written to `metrics.json`.

    Raises:
        DatasetError: If the dataset cannot be used.
        DeviceError: If the device is not there.
        EvaluationError: If the checkpoint cannot be evaluated with what is there.
        FeatureError: If the Inception weights cannot be used.
    """
    config = checkpoint.config
    family = FAMILIES[config.family]
    if against is not None and (family.kind, FAMILIES[against.config.family].kind) != (
        "upscaler",
        "upscaler",
    ):
        raise EvaluationError("only upscalers are compared with another run")
    on = Engine(0, device=device).device
    models: dict[str, ModelMetrics] = {}
    run.mkdir(parents=True, exist_ok=True)
    rows = []
    for deployable in deployables(checkpoint):
        if family.kind == "generator":
            models[deployable.name] = evaluate_generator(
                checkpoint, deployable, data, run, images=images, network=feature_network(on, inception),
                device=on, progress=progress,
            )  # fmt: skip
        elif family.kind == "translator":
            models[deployable.name], part = evaluate_translator(
                checkpoint, deployable, data, images=images, network=feature_network(on, inception),
                device=on, progress=progress,
            )  # fmt: skip
            rows += part
        else:
            others = {} if against is None else _others(deployable, against)
            models[deployable.name], part = evaluate_upscaler(
                checkpoint, deployable, data, images=images, against=others, device=on, progress=progress
            )
            rows += part
    if rows:
        name = {"translator": "translations.png", "upscaler": "upscaled.png"}[family.kind]
        save_picture(run / name, table(rows))
    metrics = RunMetrics(
        family=config.family,
        step=checkpoint.step,
        kimg=checkpoint.kimg,
        device=torch.cuda.get_device_name(on) if on.type == "cuda" else "CPU",
        models=models,
    )
    with atomic_write(run / METRICS) as file:
        file.write(metrics.model_dump_json(indent=2).encode() + b"\n")
    return metrics


def deployables(checkpoint: Checkpoint) -> list[Deployable]:
    """The models of a run."""
    return FAMILIES[checkpoint.config.family].deployables(
        checkpoint.config, checkpoint.classes, checkpoint.family
    )


def _others(deployable: Deployable, against: Checkpoint) -> dict[str, torch.nn.Module]:
    """The models of another run by name, none of which is that of the model they are compared with."""
    names = {d.name: d.network for d in deployables(against)}
    return {
        f"{name} (other run)" if name in (deployable.name, "bicubic") else name: network
        for name, network in names.items()
    }
