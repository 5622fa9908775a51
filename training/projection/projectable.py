"""Generators that images can be projected into, wherever they come from: a run, or the model repository."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from training.checkpoint import LATEST, find_checkpoint
from training.errors import GantrainError
from training.export.exportable import FLOATS, Arrays
from training.families.base import GeneratorNetwork
from training.importers.converting import read_source
from training.pixels import to_uint8

MAX_LEVEL_ERROR = 1
"""Most that a pixel of a served graph may differ when PyTorch computes it, in levels of 255."""

_PROOF_SEEDS = 4
_SERVED_FILE = "model.onnx"


class ProjectableError(GantrainError):
    """There is no such model, or no image can be projected into it; the message says why."""


class Projectable(ABC):
    """A generator, as projection sees it.

    Attributes:
        name: What people call it.
        origin: Where it was found, for people.
        digest: Identifies its weights: for a model of the repository what `/v1/models` says.
        served: Whether it is a model of the repository.
        classes: Names of its classes; empty if it has none, or none with a name.
        resolution: Height and width of its images.
        z_dim: Width of z.
        w_dim: Width of w.
        num_ws: How many w an image is made of.
        c_dim: Classes; 0 if it is unconditional.
        noise: The constant noise it is served with, [1, 1, R, R] for each layer that takes noise.
        device: Where it computes.
    """

    name: str
    origin: str
    digest: str
    served: bool
    classes: tuple[str, ...]
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    c_dim: int
    noise: list[Tensor]
    device: torch.device

    @abstractmethod
    def styles(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Untruncated w. z [N, z_dim] and one-hot labels [N, c_dim] → [N, w_dim]; no gradients."""

    @abstractmethod
    def images(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """From ws [1, num_ws, w_dim] to [1, 3, R, R] in about [−1, 1]; gradients reach ws and noise."""

    @abstractmethod
    def pixels(self, ws: Tensor) -> Tensor:
        """What is served for ws [1, num_ws, w_dim] with the constant noise: UINT8 [3, R, R] on the CPU."""


class TrainedGenerator(Projectable):
    """A generator of a run, or of somebody's file of weights: a PyTorch network.

    Args:
        network: In evaluation mode.
        name: What people call it.
        origin: Where it was found.
        digest: sha256 of the file.
        classes: Names of its classes, if it is conditional and they are known.
        device: Where to compute.
    """

    served = False

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        origin: str,
        digest: str,
        classes: Sequence[str],
        device: torch.device,
    ) -> None:
        self.network = cast(GeneratorNetwork, network.to(device).requires_grad_(False))
        mapping, synthesis = self.network.mapping, self.network.synthesis
        self.name, self.origin, self.digest = name, origin, digest
        self.classes = tuple(classes) if mapping.c_dim else ()
        self.resolution = synthesis.resolution
        self.z_dim, self.w_dim = mapping.z_dim, mapping.w_dim
        self.num_ws, self.c_dim = mapping.num_ws, mapping.c_dim
        self.noise = synthesis.constant_noise()
        self.device = device

    @torch.no_grad()
    def styles(self, z: Tensor, label: Tensor | None) -> Tensor:
        """See `Projectable`."""
        return self.network.mapping.ws(z, label)[:, 0]

    def images(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """See `Projectable`."""
        return self.network.synthesis(ws, list(noise))

    @torch.no_grad()
    def pixels(self, ws: Tensor) -> Tensor:
        """See `Projectable`."""
        return to_uint8(self.images(ws, self.noise))[0].cpu()


class ServedGenerator(Projectable):
    """A generator of the model repository: ONNX Runtime serves it, PyTorch computes its graph with gradients.

    Args:
        repository: Triton's model repository.
        name: Public name of the model.
        device: Where to compute.

    Raises:
        ProjectableError: If the files are not there or not as this package exports them, or PyTorch does not
            compute from them what ONNX Runtime does.
    """

    served = True

    def __init__(self, repository: Path, name: str, device: torch.device) -> None:
        import onnx

        from training.export.onnx_graph import run_onnx
        from training.projection.torch_graph import TorchGraph

        folders = {role: repository / f"{name}-{role}" for role in ("mapping", "synthesis")}
        files = {role: _newest(folder) for role, folder in folders.items()}
        card = {**read_card(folders["mapping"]), **read_card(folders["synthesis"])}
        self.name, self.origin, self.device = name, str(repository / f"{name}-*"), torch.device("cpu")
        digests = {role: hashlib.sha256(file.read_bytes()).hexdigest() for role, file in files.items()}
        self.digest = hashlib.sha256("".join(digests.values()).encode("ascii")).hexdigest()
        self._map = run_onnx(files["mapping"].read_bytes(), ["ws"])
        self._serve = run_onnx(files["synthesis"].read_bytes(), ["images"])
        mapping, synthesis = (onnx.load(file) for file in files.values())
        self._mapping_inputs, inputs = _inputs(mapping), _inputs(synthesis)
        self.num_ws, self.w_dim = _shape(inputs, "ws", 2)
        (self.z_dim,) = _shape(self._mapping_inputs, "z", 1)
        self.c_dim = self._mapping_inputs["label"][0][0] if "label" in self._mapping_inputs else 0
        self.classes = tuple(card.get("classes") or ())
        self.resolution = int(card["resolution"])
        # Whatever else there is, such as a rotation, stays at zero, which is how the gateway leaves it out.
        self._fixed = {k: np.zeros((1, *dims), dtype) for k, (dims, dtype) in inputs.items() if k != "ws"}
        self._fixed["noise_gain"][:] = 1
        self._fixed["noise_seed"][:] = -1
        fixed = {key: torch.from_numpy(value) for key, value in self._fixed.items()}
        self._noise_names = _constant_noise(synthesis)
        # On the CPU first, as GPUs round more coarsely than the proof allows.
        self._graph = TorchGraph(synthesis, FLOATS, fixed, self.device, self._noise_names)
        self.noise = list(self._graph.replaceable.values())
        self._prove()
        if device != self.device:
            self.device = device
            self._graph = TorchGraph(synthesis, FLOATS, fixed, device, self._noise_names)
            self.noise = list(self._graph.replaceable.values())

    def _prove(self) -> None:
        """Refuses a graph of which PyTorch makes other pixels than ONNX Runtime."""
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(_PROOF_SEEDS, self.z_dim, generator=rng)
        label = torch.eye(self.c_dim)[torch.arange(_PROOF_SEEDS) % self.c_dim] if self.c_dim else None
        for w in self.styles(z, label):
            ws = w.expand(1, self.num_ws, -1).contiguous()
            with torch.no_grad():
                mine = to_uint8(self.images(ws, self.noise))[0]
            error = int((mine.int() - self.pixels(ws).int()).abs().max())
            if error > MAX_LEVEL_ERROR:
                raise ProjectableError(
                    f"{self.name}: PyTorch computes other pixels from the served graph than ONNX Runtime, by "
                    f"up to {error} levels, so that a projection would not be what is served"
                )

    def styles(self, z: Tensor, label: Tensor | None) -> Tensor:
        """See `Projectable`."""
        inputs: Arrays = {
            key: np.zeros((len(z), *dims), dtype) for key, (dims, dtype) in self._mapping_inputs.items()
        }
        inputs["z"] = z.cpu().numpy()
        inputs["truncation_psi"] = np.ones((len(z), 1), np.float32)
        inputs["truncation_cutoff"] = np.full((len(z), 1), -1, np.int32)
        if label is not None:
            inputs["label"] = label.cpu().numpy()
        return torch.from_numpy(self._map(inputs)["ws"][:, 0]).to(self.device)

    def images(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """See `Projectable`."""
        replaced = dict(zip(self._noise_names, noise, strict=True))
        return self._graph({"ws": ws, **replaced}).permute(0, 3, 1, 2)

    def pixels(self, ws: Tensor) -> Tensor:
        """See `Projectable`."""
        images = self._serve({"ws": ws.detach().cpu().numpy(), **self._fixed})["images"]
        return torch.from_numpy(images[0]).permute(2, 0, 1)


def open_projectable(model: str, repository: Path, device: torch.device) -> Projectable:
    """Finds a generator.

    Args:
        model: Folder of a run, a file of weights that is its checkpoint or can be imported, or the name of a
            model of the repository.
        repository: Triton's model repository.
        device: Where to compute.

    Raises:
        ProjectableError: If there is no such model, or it is none that images can be projected into.
        CheckpointError: If the run cannot be read.
        UnreadableWeightsError: If the file cannot be read; nothing in it was executed.
        UnsupportedWeightsError: If it is of no format that can be imported.
    """
    path = Path(model)
    if path.is_file() or (path / LATEST).is_file():
        return _of_file(path, device)
    if (repository / f"{model}-synthesis").is_dir():
        return ServedGenerator(repository, model, device)
    if (repository / model).is_dir():
        raise _no_generator(model, read_card(repository / model).get("kind", "model"))
    known = sorted(folder.name.removesuffix("-synthesis") for folder in repository.glob("*-synthesis"))
    raise ProjectableError(
        f"no model {model!r}: it is neither a run or file of weights, nor a generator of {repository}, which "
        f"has {', '.join(known) or 'none'}"
    )


def _no_generator(model: str, kind: str) -> ProjectableError:
    return ProjectableError(
        f"{model} is a{'n' if kind[0] in 'aeiou' else ''} {kind}, which has no W: pictures are projected "
        "into a generator, which makes them from latents"
    )


def _of_file(path: Path, device: torch.device) -> Projectable:
    """A generator of a run, or of somebody's file of weights."""
    source = read_source(path)
    if source.kind != "generator":
        raise _no_generator(str(path), source.kind)
    ((name, network),) = source.networks
    file = find_checkpoint(path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return TrainedGenerator(
        network, name=name, origin=str(file), digest=digest, classes=source.classes, device=device
    )


def read_card(folder: Path) -> dict[str, Any]:
    """The model card in a model's `config.pbtxt`.

    Args:
        folder: Of one Triton model.

    Raises:
        ProjectableError: If there is none.
    """
    config = folder / "config.pbtxt"
    mark = 'key: "card" value { string_value: '
    try:
        text = config.read_text(encoding="utf-8")
        quoted, _ = json.JSONDecoder().raw_decode(text, text.index(mark) + len(mark))
        card: dict[str, Any] = json.loads(quoted)
    except (OSError, ValueError) as error:
        raise ProjectableError(f"{config} has no model card of this package") from error
    return card


def _newest(folder: Path) -> Path:
    """The model file of the highest version, which Triton serves by default."""
    versions = [p for p in folder.glob(f"*/{_SERVED_FILE}") if p.parent.name.isdigit()]
    if not versions:
        hint = " (TorchScript cannot be projected into)" if list(folder.glob("*/model.pt")) else ""
        raise ProjectableError(f"{folder} holds no {_SERVED_FILE}{hint}; name the run it was exported from")
    return max(versions, key=lambda p: int(p.parent.name))


Inputs = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


def _inputs(model: Any) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape without the batch axis, and type, of each input of a graph."""
    import onnx

    return {
        value.name: (
            tuple(d.dim_value for d in value.type.tensor_type.shape.dim[1:]),
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in model.graph.input
    }


def _shape(inputs: Inputs, name: str, rank: int) -> tuple[int, ...]:
    if name not in inputs or len(inputs[name][0]) != rank:
        raise ProjectableError(
            f"a graph has no input {name!r} of {rank} axes: this package did not export it"
        )
    return inputs[name][0]


def _constant_noise(model: Any) -> list[str]:
    """The constants, [1, 1, R, R] each, that the graph takes unless a seed asks for other noise, in order."""
    constants = {t.name for t in model.graph.initializer if len(t.dims) == 4 and tuple(t.dims[:2]) == (1, 1)}
    chosen = (node.input[2] for node in model.graph.node if node.op_type == "Where")
    return [name for name in chosen if name in constants]
