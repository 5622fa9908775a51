"""Entries of Triton's model repository: `<model>/config.pbtxt` and the model file in `<model>/<version>/`."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from training.errors import GantrainError

Format = Literal["onnx", "torchscript", "mnn"]
BACKENDS: dict[Format, tuple[str, str]] = {
    "onnx": ("onnxruntime", "model.onnx"),
    "torchscript": ("pytorch", "model.pt"),
    "mnn": ("mnn", "model.mnn"),
}
"""Triton's backend for each format, and the name it gives the model file."""
QUEUEING = """\
# Without a queue policy: with one, whatever it says, the batcher of Triton 2.51 stands still for 500 ms at a
# time under bursts. The gateway bounds the queue, and its deadlines and cancellations empty it.
dynamic_batching { }
"""


class ModelExistsError(GantrainError):
    """A model of this name is in the repository already."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a Triton model, without its batch axis.

    Attributes:
        name: Its name in the graph.
        data_type: Triton's name of the type, such as `TYPE_FP32`.
        dims: Its shape; −1 is any length.
        zero: Whether it is zero during warm-up, and not random.
        warmup_dims: Its shape during warm-up, if `dims` leaves it open.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    zero: bool = False
    warmup_dims: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TritonEntry:
    """One model of the repository.

    Attributes:
        name: Triton's name of the model.
        model: The model file.
        inputs: What it takes, in the order of the graph's arguments.
        outputs: What it gives, in the order of the graph's results.
        max_batch_size: Largest batch that Triton may make.
        format: What the file is.
        card: The model card, without `digest`, which is computed here.
        version: The version folder.
    """

    name: str
    model: bytes
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    max_batch_size: int
    format: Format = "onnx"
    card: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    @property
    def digest(self) -> str:
        """sha256 of the model file, in hexadecimal."""
        return hashlib.sha256(self.model).hexdigest()


def config_pbtxt(entry: TritonEntry) -> str:
    """The model's config in protobuf text format."""
    # Both layers escape what is not ASCII, so that each parser of the text format reads the same.
    card = json.dumps(json.dumps({**entry.card, "digest": entry.digest}, indent=1))
    return f"""\
name: "{entry.name}"
backend: "{BACKENDS[entry.format][0]}"
max_batch_size: {entry.max_batch_size}
{_tensors("input", entry.inputs)}{_tensors("output", entry.outputs)}\
instance_group {{ count: 1 kind: {"KIND_CPU" if entry.format == "mnn" else "KIND_AUTO"} }}
{QUEUEING}\
{_warmup(entry.inputs, 1)}{_warmup(entry.inputs, entry.max_batch_size)}\
parameters {{ key: "card" value {{ string_value: {card} }} }}
"""


def _tensors(kind: str, tensors: Sequence[TensorSpec]) -> str:
    return "".join(
        f'{kind} {{ name: "{t.name}" data_type: {t.data_type} dims: [ {", ".join(map(str, t.dims))} ] }}\n'
        for t in tensors
    )


def _warmup(inputs: Sequence[TensorSpec], batch: int) -> str:
    lines = "".join(
        f'  inputs {{ key: "{t.name}" value {{ data_type: {t.data_type} '
        f"dims: [ {', '.join(map(str, t.warmup_dims or t.dims))} ] "
        f"{'zero_data' if t.zero else 'random_data'}: true }} }}\n"
        for t in inputs
    )
    return f'model_warmup {{\n  name: "batch of {batch}"\n  batch_size: {batch}\n{lines}}}\n'


def check_names(repository: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Raises ModelExistsError if one of the models is there and may not be replaced."""
    for name in names:
        if (repository / name).exists() and not overwrite:
            raise ModelExistsError(f"{repository / name} exists; --overwrite replaces it")


def write_entries(repository: Path, entries: Sequence[TritonEntry], *, overwrite: bool = False) -> list[Path]:
    """Writes models that belong together, all of them or none.

    Args:
        repository: Triton's model repository; made if missing.
        entries: What to write.
        overwrite: Whether models of the same name are replaced.

    Returns:
        The models' folders.

    Raises:
        ModelExistsError: If a model is there already and `overwrite` is false.
    """
    check_names(repository, [entry.name for entry in entries], overwrite=overwrite)
    repository.mkdir(parents=True, exist_ok=True)
    targets = [repository / entry.name for entry in entries]
    # Staged on the file system of the repository, so that each move is one rename; outside of it if it is no
    # mount of its own, so that Triton does not see the stage.
    mounted = repository.stat().st_dev != repository.parent.stat().st_dev
    stage = Path(tempfile.mkdtemp(dir=repository if mounted else repository.parent, prefix=".export-"))
    placed: list[Path] = []
    try:
        for entry in entries:
            folder = stage / "new" / entry.name / str(entry.version)
            folder.mkdir(parents=True)
            (folder / BACKENDS[entry.format][1]).write_bytes(entry.model)
            (folder.parent / "config.pbtxt").write_text(config_pbtxt(entry), encoding="utf-8")
        (stage / "old").mkdir()
        for entry, target in zip(entries, targets, strict=True):
            if target.exists():
                target.rename(stage / "old" / entry.name)
            (stage / "new" / entry.name).rename(target)
            placed.append(target)
    except BaseException:
        for target in placed:
            shutil.rmtree(target, ignore_errors=True)
        for entry, target in zip(entries, targets, strict=True):
            previous = stage / "old" / entry.name
            if previous.exists():
                previous.rename(target)
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return targets
