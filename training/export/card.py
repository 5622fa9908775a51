"""The model card: what is known of a trained model, for people and for the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.checkpoint import Checkpoint
from training.data.recipe import Provenance
from training.errors import GantrainError
from training.families.base import Deployable


class StaleMetricsError(GantrainError):
    """The metrics were measured on another checkpoint than the one that is exported."""


def model_card(
    checkpoint: Checkpoint,
    deployable: Deployable,
    *,
    kind: str,
    provenance: Provenance | None,
    metrics: Mapping[str, Any] | None,
    command: str | None,
) -> dict[str, Any]:
    """What can be said before the networks are looked at.

    Args:
        checkpoint: The trained run.
        deployable: Which of its networks.
        kind: What it does: `generator`, `translator` or `upscaler`.
        provenance: Where its images come from, if a recipe made them.
        metrics: What `gantrain evaluate` wrote to `metrics.json`.
        command: How to train it again; by default with the preset of the run's name.

    Raises:
        StaleMetricsError: If the metrics are of another step.
    """
    config = checkpoint.config
    return {
        "name": deployable.name,
        "title": deployable.title,
        "family": config.family,
        "kind": kind,
        # Weights are the project's own work; the images' terms stand with the dataset.
        "licence": "Apache-2.0",
        "dataset": None if provenance is None else provenance.model_dump(mode="json"),
        "resolution": config.data.resolution,
        "classes": list(checkpoint.classes) if kind == "generator" else [],
        "metrics": _metrics_of(deployable, checkpoint, metrics),
        "training_command": command or f"gantrain train {config.name}",
        "training": {
            "device": checkpoint.device,
            "kimg": round(checkpoint.kimg, 1),
            "minutes": round(checkpoint.seconds / 60),
            "config": config.model_dump(mode="json"),
        },
    }


def _metrics_of(
    deployable: Deployable, checkpoint: Checkpoint, metrics: Mapping[str, Any] | None
) -> dict[str, Any]:
    if metrics is None:
        return {}
    if metrics["step"] != checkpoint.step:
        raise StaleMetricsError(
            f"the metrics are of step {metrics['step']} and the checkpoint of step {checkpoint.step}: run "
            "`gantrain evaluate` again"
        )
    return dict(metrics["models"].get(deployable.name, {}))
