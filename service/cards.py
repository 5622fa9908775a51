"""What Triton says about one of its models, checked, and how two of them make one generator."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from tritonclient.grpc import model_config_pb2

Kind: TypeAlias = Literal["generator", "translator", "upscaler"]
Role: TypeAlias = Literal["mapping", "synthesis"]
TransformName: TypeAlias = Literal["rotation", "translation"]

TRANSFORMS: Final[Mapping[TransformName, int]] = {"rotation": 1, "translation": 2}
"""Inputs of a synthesis model that turn and move its picture, with how many numbers each takes."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class CardError(ValueError):
    """A model's config or card does not follow the model contract."""


@dataclass(frozen=True)
class TritonModel:
    """One version of one Triton model that is ready.

    Attributes:
        name: Triton's name of it.
        version: The version that inference is pinned to.
        max_batch_size: Largest batch one request may carry.
        instances: How many batches Triton runs at a time.
        inputs: Shape of each input without the batch axis, by name.
        outputs: Shape of each output without the batch axis, by name.
        card: The parsed card.
        cached: Whether Triton's response cache may answer for it.
    """

    name: str
    version: str
    max_batch_size: int
    instances: int
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    card: Mapping[str, Any]
    cached: bool = False


@dataclass(frozen=True)
class ServedModel:
    """A model as users know it.

    Attributes:
        name: Public name.
        kind: What it does.
        digest: Identifies the weights: sha256 of the model file, or of both halves' digests.
        card: The public card, as `/v1/models` shows it.
        parts: Names and versions of the Triton models behind it.
    """

    name: str
    kind: Kind
    digest: str
    card: Mapping[str, Any]
    parts: tuple[tuple[str, str], ...]

    @property
    def window(self) -> int:
        """How many images are worth having in Triton at a time."""
        return 1


@dataclass(frozen=True)
class Generator(ServedModel):
    """Mapping and synthesis together.

    Attributes:
        mapping: z → ws.
        synthesis: ws → images.
        z_dim: Length of a latent.
        num_ws: Layers that take a style.
        c_dim: Classes of a conditional model, else 0.
        w_dim: Length of a style.
        height: Of an image, in pixels.
        width: Of an image, in pixels.
        classes: Names of the classes, possibly empty.
        directions: Names of the edit directions, in the order of the graph's input.
        layer_groups: Layers by group: `coarse`, `middle`, `fine`.
        transforms: Which of `TRANSFORMS` the synthesis takes; empty for most.
    """

    mapping: TritonModel
    synthesis: TritonModel
    z_dim: int
    num_ws: int
    w_dim: int
    c_dim: int
    height: int
    width: int
    classes: tuple[str, ...]
    directions: tuple[str, ...]
    layer_groups: Mapping[str, tuple[int, ...]]
    transforms: tuple[TransformName, ...] = ()

    @property
    def batch_size(self) -> int:
        """Images that both halves take at a time."""
        return min(self.mapping.max_batch_size, self.synthesis.max_batch_size)

    @property
    def window(self) -> int:
        """Two batches an instance: one running, one waiting in Triton, so that it never idles."""
        return 2 * self.batch_size * self.synthesis.instances


@dataclass(frozen=True)
class ImageModel(ServedModel):
    """A model from images to images: `source` [H, W, 3] → `images` [H · scale, W · scale, 3].

    Attributes:
        model: The one Triton model.
        scale: Enlargement; 1 of a translator.
        size_multiple: Where tiles must start, see `service.tiling`.
        min_size: Shortest side it takes.
        max_size: Longest side it computes in one piece.
        receptive_radius: In input pixels; None if the model cannot be computed in tiles.
        resolution: Of the images it was trained on, if the card says so.
    """

    model: TritonModel
    scale: int
    size_multiple: int
    min_size: int
    max_size: int
    receptive_radius: int | None
    resolution: int | None

    @property
    def window(self) -> int:
        """Two batches an instance: one running, one waiting in Triton, so that it never idles."""
        return 2 * self.model.max_batch_size * self.model.instances


@dataclass(frozen=True)
class Upscaler(ImageModel):
    """Enlarges images."""


@dataclass(frozen=True)
class Translator(ImageModel):
    """Turns images of one kind into another, as large."""


def read_triton_model(config: model_config_pb2.ModelConfig, version: str) -> TritonModel:
    """Reads a Triton model config and the card in it.

    Args:
        config: As Triton returned it.
        version: The version that is ready.

    Returns:
        The model.

    Raises:
        CardError: If the card is missing or broken, or the model does not batch.
    """
    # One config for all versions: an older one's card is beside the newest one's.
    key = next((key for key in (f"card.{version}", "card") if key in config.parameters), None)
    if key is None:
        raise CardError("the config has no parameter `card`")
    try:
        card = json.loads(config.parameters[key].string_value)
    except ValueError as error:
        raise CardError(f"the card is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise CardError("the card is not a JSON object")
    if not _NAME.fullmatch(str(card.get("name", ""))):
        raise CardError("the card's `name` is missing or not a plain name")
    if card.get("kind") not in get_args(Kind):
        raise CardError(f"the card's `kind` is {card.get('kind')!r}, not one of {', '.join(get_args(Kind))}")
    if not _DIGEST.fullmatch(str(card.get("digest", ""))):
        raise CardError("the card's `digest` is not a sha256 in hexadecimal")
    if config.max_batch_size < 1:
        raise CardError("the model does not batch (`max_batch_size` is 0)")
    instances = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
    return TritonModel(
        name=config.name,
        version=version,
        max_batch_size=config.max_batch_size,
        instances=max(1, instances),
        inputs={tensor.name: tuple(tensor.dims) for tensor in config.input},
        outputs={tensor.name: tuple(tensor.dims) for tensor in config.output},
        card=card,
        cached=config.response_cache.enable,
    )


def join_generator(mapping: TritonModel, synthesis: TritonModel) -> Generator:
    """Makes one generator of its two halves.

    Args:
        mapping: The half with role `mapping`.
        synthesis: The half with role `synthesis` and the same public name.

    Returns:
        The generator, whose public digest is the sha256 of both digests in this order.

    Raises:
        CardError: If a tensor of the contract is missing or the halves do not fit together.
    """
    (z_dim,) = _dims(mapping.inputs, "z", 1)
    num_ws, w_dim = _dims(mapping.outputs, "ws", 2)
    if _dims(synthesis.inputs, "ws", 2) != (num_ws, w_dim):
        raise CardError(f"mapping makes ws [{num_ws}, {w_dim}], synthesis takes {synthesis.inputs['ws']}")
    height, width, channels = _dims(synthesis.outputs, "images", 3)
    if channels != 3 or min(z_dim, num_ws, w_dim, height, width) < 1:
        raise CardError(f"images of shape [{height}, {width}, {channels}] are not what the contract says")
    for model, tensors in (
        (mapping, ("truncation_psi", "truncation_cutoff")),
        (synthesis, ("noise_gain", "noise_seed")),
    ):
        for tensor in tensors:
            _dims(model.inputs, tensor, 1)
    c_dim = _dims(mapping.inputs, "label", 1)[0] if "label" in mapping.inputs else 0
    n_directions = _dims(mapping.inputs, "edits", 1)[0] if "edits" in mapping.inputs else 0
    classes = synthesis.card.get("classes") or mapping.card.get("classes") or []
    if not isinstance(classes, list):
        raise CardError("the card's `classes` is not a list")
    directions = mapping.card.get("directions") or []
    if not isinstance(directions, list) or len(directions) != n_directions:
        raise CardError(f"the card does not name the {n_directions} directions that the model takes")
    groups = synthesis.card.get("layer_groups") or {}
    if not isinstance(groups, dict) or not all(_are_layers(layers, num_ws) for layers in groups.values()):
        raise CardError(f"the card's `layer_groups` are not lists of layers from 0 to {num_ws - 1}")
    transforms = _transforms(synthesis)
    name = mapping.card["name"]
    digest = hashlib.sha256((mapping.card["digest"] + synthesis.card["digest"]).encode("ascii")).hexdigest()
    versions = (mapping.version, synthesis.version)
    version = versions[0] if versions[0] == versions[1] else "/".join(versions)
    said = {**mapping.card, **synthesis.card}
    if c_dim:  # also where the classes have no names
        said["c_dim"] = c_dim
    return Generator(
        name=name,
        kind="generator",
        digest=digest,
        card=_public_card(said, digest, version),
        parts=((mapping.name, mapping.version), (synthesis.name, synthesis.version)),
        mapping=mapping,
        synthesis=synthesis,
        z_dim=z_dim,
        num_ws=num_ws,
        w_dim=w_dim,
        c_dim=c_dim,
        height=height,
        width=width,
        classes=tuple(map(_name_of, classes)),
        directions=tuple(map(_name_of, directions)),
        layer_groups={str(group): tuple(layers) for group, layers in groups.items()},
        transforms=transforms,
    )


def single_model(model: TritonModel) -> ImageModel:
    """A model that is one Triton model: a translator or an upscaler.

    Args:
        model: Any model that is not half of a generator.

    Returns:
        The model as users know it.

    Raises:
        CardError: If a tensor of the contract is missing or the card does not say what sizes the model takes.
    """
    for tensors, name in ((model.inputs, "source"), (model.outputs, "images")):
        if _dims(tensors, name, 3) != (-1, -1, 3):
            raise CardError(f"tensor `{name}` is {list(tensors[name])}, not [-1, -1, 3]")
    digest = model.card["digest"]
    scale = _whole(model.card, "scale")
    multiple, least, largest = (_whole(model.card, key) for key in ("size_multiple", "min_size", "max_size"))
    tileable = model.card.get("tileable") is True
    radius = _whole(model.card, "receptive_radius", least=0) if tileable else None
    resolution = None if model.card.get("resolution") is None else _whole(model.card, "resolution")
    kind: type[ImageModel] = Upscaler if model.card["kind"] == "upscaler" else Translator
    if kind is Translator and scale != 1:
        raise CardError(f"a translator of scale {scale}")
    if least > largest:
        raise CardError(f"the card's `min_size` {least} is beyond its `max_size` {largest}")
    return kind(
        name=model.card["name"],
        kind=model.card["kind"],
        digest=digest,
        card=_public_card(model.card, digest, model.version),
        parts=((model.name, model.version),),
        model=model,
        scale=scale,
        size_multiple=multiple,
        min_size=least,
        max_size=largest,
        receptive_radius=radius,
        resolution=resolution,
    )


def _public_card(card: Mapping[str, Any], digest: str, version: str) -> dict[str, Any]:
    public = {
        "name": card["name"],
        "kind": card["kind"],
        "version": version,
        "digest": digest,
        "state": "READY",
    }
    public |= {key: value for key, value in card.items() if key not in public and key != "role"}
    if card.get("commercial_use") is False:  # unknown is null, and no reason to say anything
        public["notice"] = f"Not for commercial use: {_licence_of(card)}."
    return public


def _licence_of(card: Mapping[str, Any]) -> str:
    licence, url = card.get("licence"), card.get("licence_url")
    named = f"its weights are under {licence}" if licence else "so its weights are licensed"
    return f"{named}, see {url}" if url else named


def _transforms(synthesis: TritonModel) -> tuple[TransformName, ...]:
    """Those that the graph takes, which has to be what the card says."""
    taken = tuple(name for name in TRANSFORMS if name in synthesis.inputs)
    for name in taken:
        if (dims := _dims(synthesis.inputs, name, 1)) != (TRANSFORMS[name],):
            raise CardError(f"tensor `{name}` is {list(dims)}, not [{TRANSFORMS[name]}]")
    said = synthesis.card.get("transforms") or []
    if not isinstance(said, list) or sorted(map(str, said)) != sorted(taken):
        raise CardError(f"the card's `transforms` are {said}, and the model takes {list(taken)}")
    return taken


def _name_of(entry: Any) -> str:
    """Of a class or direction, which cards list as text or as an object with a name."""
    return str(entry["name"] if isinstance(entry, dict) and "name" in entry else entry)


def _are_layers(layers: Any, num_ws: int) -> bool:
    return isinstance(layers, list) and all(isinstance(i, int) and 0 <= i < num_ws for i in layers)


def _dims(tensors: Mapping[str, tuple[int, ...]], name: str, rank: int) -> tuple[int, ...]:
    dims = tensors.get(name)
    if dims is None or len(dims) != rank:
        raise CardError(f"tensor `{name}` of rank {rank} is missing from the config")
    return dims


def _whole(card: Mapping[str, Any], key: str, least: int = 1) -> int:
    """A whole number that a card must have."""
    value = card.get(key)
    if type(value) is not int or value < least:
        raise CardError(f"the card's `{key}` is {value!r}, not a whole number from {least} on")
    return value
