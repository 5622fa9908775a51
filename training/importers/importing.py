"""From a file of somebody else's weights to Triton's model repository, with proof."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.errors import GantrainError
from training.export.export import ROLES, export_deployables
from training.export.triton_entry import Format, check_names
from training.families.base import Deployable
from training.files import atomic_write
from training.importers.base import Imported, Proof, Recognised, StoredFile, UnsupportedWeightsError
from training.importers.licences import Licence
from training.importers.proof import prove
from training.importers.sensible import sensible
from training.pixels import image_grid
from training.terminal import printable

REPORT = "import.json"
SAMPLES = "samples.png"
_SEEDS = 10
_COLUMNS = 5
_ONNX_BYTES = 2**31 - 2**24
"""Weights that an ONNX file can hold: a message of Protocol Buffers ends at 2 GiB; the graph takes some."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,55}")


class ModelNameError(GantrainError):
    """A model cannot be called that."""


@dataclass(frozen=True)
class ImportReport:
    """What was made of a file.

    Attributes:
        name: Public name of the model.
        stored: The file.
        recognised: What it was found to be.
        notes: What was dropped or assumed.
        proof: How far our network is from the stored weights.
        licence: Under what terms it is served.
        folders: The Triton models.
        samples: A picture of what a generator makes of seeds 0 to 9; None of other kinds.
    """

    name: str
    stored: StoredFile
    recognised: Recognised
    notes: Sequence[str]
    proof: Proof
    licence: Licence
    folders: Sequence[Path]
    samples: Path | None

    def data(self) -> dict[str, Any]:
        """The report as `import.json` has it."""
        return {
            "name": self.name,
            **origin(self.stored, self.recognised),
            "title": self.recognised.title,
            "hyperparameters": dict(self.recognised.hyperparameters),
            "parameters": self.recognised.parameters,
            "notes": list(self.notes),
            "proof": asdict(self.proof),
            **self.licence.card(),
            "models": [folder.name for folder in self.folders],
        }


def origin(stored: StoredFile, recognised: Recognised) -> dict[str, Any]:
    """Where weights came from, as the card says it; without the folder, which is nobody's business."""
    return {
        "format": recognised.format,
        "part": recognised.part,
        "file": printable(stored.path.name),
        "sha256": stored.sha256,
    }


def name_from(path: Path) -> str:
    """A public name made of a file's name."""
    name = re.sub(r"[^a-z0-9._]+", "-", path.stem.lower()).strip("-._")
    return name[:56].rstrip("-._") or "imported"


def check_name(name: str) -> None:
    """Raises `ModelNameError` unless it can be the public name of a model."""
    if not _NAME.fullmatch(name):
        raise ModelNameError(
            f"{name!r} is no name for a model: small letters, digits, dots, hyphens and underscores, at most "
            "56, the first a letter or a digit"
        )


def import_weights(
    stored: StoredFile,
    recognised: Recognised,
    licence: Licence,
    repository: Path,
    *,
    name: str,
    title: str | None = None,
    variant: str | None = None,
    formats: Sequence[Format] = ("onnx",),
    overwrite: bool = False,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Makes a network of ours of a file, proves it, and exports it.

    Args:
        stored: The file.
        recognised: What it was found to be.
        licence: Its terms, which travel into the card.
        repository: Triton's model repository; made if missing.
        name: Public name of the model.
        title: What it makes, for people; by default what it was found to be.
        variant: One of `recognised.variants`; None is the usual one.
        formats: As `export_deployables` takes them.
        overwrite: Whether models of the name are replaced.
        out: Folder for the report and the picture; None writes neither.
        progress: Told each step.

    Returns:
        The report.

    Raises:
        ModelNameError: If the name cannot be one.
        UnsupportedWeightsError: If there is no such variant, or the network cannot be exported.
        ProofError: If our network is not that of the file.
        ParityError: If an exported file is not our network.
        ModelExistsError: If a model exists and `overwrite` is false.
    """
    check_name(name)
    roles = [f"{name}-{role}" if role else name for role in ROLES[recognised.kind]]
    check_names(repository, roles, overwrite=overwrite)  # before minutes of work
    if "onnx" in formats and 4 * recognised.parameters > _ONNX_BYTES:
        raise UnsupportedWeightsError(
            f"{stored.path} has {recognised.parameters:,} parameters, more than the 2 GiB that an ONNX file "
            "can hold; --format torchscript has no such limit"
        )
    progress("building the network")
    build = recognised.building(variant)
    with sensible(stored.path):
        imported = build()
        proof = prove(imported, recognised.kind, progress)
    deployable = Deployable(name, title or recognised.title, imported.network, card=dict(imported.card))
    card: dict[str, Any] = {
        "name": name,
        "title": deployable.title,
        "family": recognised.family,
        "kind": recognised.kind,
        **licence.card(),
        "dataset": None,
        "classes": [],
        "metrics": {},
        "imported_from": {**origin(stored, recognised), "proof": asdict(proof)},
    }
    with sensible(stored.path, "makes a network that cannot be exported"):
        folders = export_deployables(
            [(deployable, card)], repository, formats=formats, overwrite=overwrite, progress=progress
        )
    samples = None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        if recognised.kind == "generator":
            progress("making a picture")
            samples = out / SAMPLES
            with sensible(stored.path, "is served now, but makes no picture"):
                _write_samples(imported, samples)
    report = ImportReport(
        name,
        stored,
        recognised,
        imported.notes,
        proof,
        licence,
        folders,
        samples,
    )
    if out is not None:
        with atomic_write(out / REPORT) as file:
            file.write(json.dumps(report.data(), indent=2, ensure_ascii=False).encode())
    return report


@torch.no_grad()
def _write_samples(imported: Imported, path: Path) -> None:
    """Seeds 0 to 9, a class each in turn, untruncated."""
    images: list[Tensor] = []
    network: Any = imported.network
    for seed in range(_SEEDS):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.mapping.z_dim).astype(np.float32))
        c_dim = network.mapping.c_dim
        label = torch.eye(c_dim)[seed % c_dim][None] if c_dim else None
        ws = network.mapping.ws(z, label)
        images.append(network.synthesis(ws, network.synthesis.constant_noise()))
    with atomic_write(path) as file:
        Image.fromarray(image_grid(torch.cat(images), _COLUMNS)).save(file, format="png")
