"""From a checkpoint to Triton's model repository, whatever the family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.checkpoint import Checkpoint
from training.data.recipe import Provenance
from training.export.card import model_card
from training.export.exportable import Product
from training.export.formats import Converted, convert
from training.export.generator import generator_product
from training.export.translator import translator_product
from training.export.triton_entry import Format, TritonEntry, check_names, write_entries
from training.export.upscaler import upscaler_product
from training.families.base import Deployable, Kind
from training.families.table import FAMILIES

PRODUCTS: dict[Kind, Callable[[Deployable], Product]] = {
    "generator": generator_product,
    "translator": translator_product,
    "upscaler": upscaler_product,
}
ROLES: dict[Kind, tuple[str, ...]] = {
    "generator": ("mapping", "synthesis"),
    "translator": ("",),
    "upscaler": ("",),
}
"""The Triton models of each kind, by what is added to the name."""


def export_checkpoint(
    checkpoint: Checkpoint,
    repository: Path,
    *,
    provenance: Provenance | None = None,
    metrics: Mapping[str, Any] | None = None,
    formats: Sequence[Format] = ("onnx",),
    overwrite: bool = False,
    command: str | None = None,
    version: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Exports every network of a run that is to be served, if all of them pass the parity gate.

    Args:
        checkpoint: The trained run.
        repository: Triton's model repository; made if missing.
        provenance: Where its images come from, if a recipe made them.
        metrics: What `gantrain evaluate` wrote to `metrics.json`.
        formats: The first takes the model's name; any further is written beside it as `<name>-<format>`.
        overwrite: Whether models of the same name are replaced.
        command: How to train it again; by default with the preset of the run's name.
        version: Version to write.
        progress: Told each step.

    Returns:
        Folders of the Triton models.

    Raises:
        ParityError: If a file differs from its network; nothing is written then.
        ExportError: If a format cannot express a network as it must be served; nothing is written then.
        ModelExistsError: If a model exists and `overwrite` is false.
        StaleMetricsError: If the metrics are of another step than the checkpoint.
    """
    family = FAMILIES[checkpoint.config.family]
    deployables = family.deployables(checkpoint.config, checkpoint.classes, checkpoint.family)
    cards = [
        model_card(checkpoint, d, kind=family.kind, provenance=provenance, metrics=metrics, command=command)
        for d in deployables
    ]
    return export_deployables(
        list(zip(deployables, cards, strict=True)),
        repository,
        formats=formats,
        overwrite=overwrite,
        version=version,
        progress=progress,
    )


def export_deployables(
    deployables: Sequence[tuple[Deployable, Mapping[str, Any]]],
    repository: Path,
    *,
    formats: Sequence[Format] = ("onnx",),
    overwrite: bool = False,
    version: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Exports networks with what is known of each, its `kind` at least; otherwise as `export_checkpoint`."""
    names = [
        _triton_name(_public_name(deployable.name, format, formats), role)
        for deployable, card in deployables
        for format in formats
        for role in ROLES[card["kind"]]
    ]
    check_names(repository, names, overwrite=overwrite)  # before minutes of work
    entries = []
    for deployable, card in deployables:
        progress(f"looking at {deployable.name}")
        product = PRODUCTS[card["kind"]](deployable)
        for format in formats:
            converted = []
            for model in product.models:
                progress(f"exporting {_triton_name(deployable.name, model.role)} to {format}")
                converted.append(convert(model, format))
            public_name = _public_name(deployable.name, format, formats)
            entries += triton_entries(product, converted, {**card, "name": public_name}, format, version)
    progress("writing")
    return write_entries(repository, entries, overwrite=overwrite)


def triton_entries(
    product: Product,
    converted: Sequence[Converted],
    card: Mapping[str, Any],
    format: Format = "onnx",
    version: int = 1,
) -> list[TritonEntry]:
    """The Triton models of a product, whose tensors are what the model contract says.

    Args:
        product: What was converted.
        converted: Its models' files.
        card: `name` and whatever is known of it beyond its networks.
        format: What the files are.
        version: Version to write.
    """
    roles = [model.role for model in product.models]
    reports = [c.parity.model_dump(mode="json") for c in converted]
    parity = dict(zip([role or "model" for role in roles], reports, strict=True))
    measured = product.measure([c.run for c in converted], converted[0].runtime)
    full = {**card, **product.card, **measured, "parity": parity}
    return [
        TritonEntry(
            name=_triton_name(card["name"], model.role),
            model=c.file,
            inputs=model.inputs,
            outputs=model.outputs,
            max_batch_size=model.max_batch_size,
            format=format,
            card={**full, "role": model.role} if model.role else full,
            version=version,
        )
        for model, c in zip(product.models, converted, strict=True)
    ]


def _public_name(name: str, format: Format, formats: Sequence[Format]) -> str:
    return name if format == formats[0] else f"{name}-{format}"


def _triton_name(public_name: str, role: str) -> str:
    return f"{public_name}-{role}" if role else public_name
