"""StyleGAN2 as NVIDIA stores it: pickles of stylegan2-ada-pytorch and stylegan3, and their state dicts.

In the original, a state dict that `publish` made is loaded by `G.load_state_dict(torch.load(file))`, where G
is a `Generator` of the same sizes; `base_and_max` gives its `channel_base` and `channel_max`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.importers.base import (
    Recognised,
    StoredFile,
    StoredModule,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.generators.mapping_reference import Dense, StoredMapping
from training.importers.generators.stylegan2_reference import Block, Stored, Styled
from training.importers.generators.stylegan2_weights import (
    Sizes,
    check_filters,
    check_sizes,
    check_tensors,
    length,
    part_of_flat,
    recognised,
    sizes_of,
    stored_tensors,
)
from training.importers.state_dicts import state_dict_of
from training.networks.layers import binomial_filter
from training.networks.stylegan2 import Generator, channels_of

PARTS = ("G_ema", "G")
CLAMP = 256.0
"""What feature maps are clamped to in every configuration that the original trains."""
LR_MULTIPLIER = 0.01
_DISCRIMINATOR = {"b4.fc.weight", "b4.out.weight", "b4.conv.weight"}
_LARGE = 1e6
_BLOCK = re.compile(r"synthesis\.b(\d+)\.")


class NvidiaStyleGAN2(WeightFormat):
    """The generator of stylegan2-ada-pytorch, and of stylegan3's configuration `stylegan2`."""

    name = "nvidia-stylegan2"
    title = "NVIDIA StyleGAN2 (stylegan2-ada-pytorch, stylegan3)"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """See `WeightFormat.recognise`."""
        found = network_of(stored, part)
        if found is None:
            return None
        name, tensors, module = found
        refuse_discriminator(stored, name, tensors)
        if "mapping.fc0.weight" not in tensors or not any(_BLOCK.match(key) for key in tensors):
            return None
        path = stored.path
        settings = _Settings(path, module)
        filters = {key: t for key, t in tensors.items() if key.endswith("resample_filter")}
        weights = {key: t for key, t in tensors.items() if key not in filters}
        sizes = _sizes(path, weights, settings)
        check_sizes(path, sizes)
        check_filters(path, filters)
        names = their_names(sizes.names())
        shapes = check_tensors(path, sizes, _with_average(weights, sizes), names)
        weights = {key: t.reshape(shapes[key]) for key, t in weights.items()}
        ours = {mine: weights[theirs] for mine, theirs in names.items() if theirs in weights}
        return recognised(
            self.name, stored, name, sizes, ours, lambda w_avg: _stored(weights, sizes, w_avg), settings.notes
        )

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """The state dict of a generator that `load_state_dict` of the original takes, all of its keys.

        Args:
            network: In evaluation mode.

        Returns:
            The state dict; None if it is no StyleGAN2.

        Raises:
            UnsupportedWeightsError: If its channels follow from no `channel_base` and `channel_max`, or the
                mapping network has another gain than theirs.
        """
        if not isinstance(network, Generator):
            return None
        sizes = sizes_of(network)
        base_and_max(list(sizes.channels))
        if sizes.lr_multiplier != LR_MULTIPLIER:
            raise UnsupportedWeightsError(
                f"the mapping network's weights have the gain {sizes.lr_multiplier:g}; a state dict cannot "
                f"say that it is not {LR_MULTIPLIER:g}"
            )
        state = stored_tensors(network, their_names(sizes.names()))
        for i in range(len(sizes.channels)):
            block = f"synthesis.b{4 * 2**i}"
            for owner in (block, *([f"{block}.conv0"] if i else []), f"{block}.conv1"):
                state[f"{owner}.resample_filter"] = binomial_filter()
        return dict(state)


def network_of(
    stored: StoredFile, part: str | None
) -> tuple[str, dict[str, Tensor], StoredModule | None] | None:
    """A generator that NVIDIA's code stores, or what the user names.

    Args:
        stored: The file.
        part: The network that is wanted; None is the averaged generator.

    Returns:
        Name of the part, its tensors, and the module if the file is a pickle of them; None if the file has
        no such part.

    Raises:
        UnsupportedWeightsError: If there is no part of the name.
    """
    found = state_dict_of(stored, PARTS, part)
    if found is None:
        return None
    name, tensors = part_of_flat(*found, PARTS)
    content: Any = stored.content
    for key in filter(None, name.split(".")):
        content = content.get(key) if isinstance(content, Mapping) else None
    return name, tensors, content if isinstance(content, StoredModule) else None


def refuse_discriminator(stored: StoredFile, part: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises `UnsupportedWeightsError` if a network is their discriminator: nothing of it can be served."""
    if tensors.keys() >= _DISCRIMINATOR:
        which = f"part {part} of {stored.path}" if part else str(stored.path)
        raise UnsupportedWeightsError(
            f"{which} is a discriminator, which makes no images; import the generator, G_ema"
        )


def their_names(names: Iterable[str]) -> dict[str, str]:
    """Names of the layout by our own, for all tensors of a generator but the filters."""
    return {name: _their_name(name) for name in names}


def _their_name(name: str) -> str:
    name = re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name)
    return re.sub(r"^synthesis\.blocks\.(\d+)", lambda m: f"synthesis.b{4 * 2 ** int(m[1])}", name)


def base_and_max(channels: list[int]) -> tuple[int, int]:
    """The `channel_base` and `channel_max` that lead to these channels at 4², 8² and so on.

    Raises:
        UnsupportedWeightsError: If there are none.
    """
    resolution = 2 ** (len(channels) + 1)
    most = max(channels)
    for base in range(channels[-1] * resolution, (channels[-1] + 1) * resolution):
        if channels_of(resolution, base, most) == channels:
            return base, most
    raise UnsupportedWeightsError(
        f"the channels {channels} follow from no channel_base and channel_max, by which the original builds "
        "its networks"
    )


class _Settings:
    """What a pickle says beyond keys and shapes; without one, what the original trains with.

    Args:
        path: The file.
        module: The pickled generator, if the file is one.
    """

    def __init__(self, path: object, module: StoredModule | None) -> None:
        self.notes: list[str] = []
        self._path = path
        self._layers: dict[str, StoredModule] = {}
        if module is None:
            self.notes.append(
                "A state dict does not say what feature maps are clamped to, nor the gain of the mapping "
                f"network: ±{CLAMP:g} and {LR_MULTIPLIER:g} are assumed, with which the original trains."
            )
            return
        below = [("", module)]
        while below:
            name, layer = below.pop()
            self._layers[name] = layer
            below += [(f"{name}.{child}".lstrip("."), inner) for child, inner in layer.children.items()]
        for name, layer in self._layers.items():
            linear = name.endswith(("affine", "embed", "torgb"))
            activation = layer.attributes.get("activation")
            if activation is not None and activation != ("linear" if linear else "lrelu"):
                raise UnsupportedWeightsError(
                    f"{path}: the activation of {name} is {activation}; supported is lrelu, as published"
                )
            architecture = layer.attributes.get("architecture", "skip")
            if architecture != "skip":
                raise _other_architecture(path, str(architecture))

    def clamp(self) -> float | None:
        """What all layers of the synthesis network clamp to."""
        return self._agreed("synthesis.", "conv_clamp") if self._layers else CLAMP

    def lr_multiplier(self) -> float:
        """The gain of all layers of the mapping network."""
        return self._agreed("mapping.fc", "bias_gain") or LR_MULTIPLIER

    def _agreed(self, prefix: str, attribute: str) -> float | None:
        """A positive number that all layers have alike; None if they have none."""
        values = [
            layer.attributes[attribute]
            for name, layer in self._layers.items()
            if name.startswith(prefix) and attribute in layer.attributes
        ]
        first = values[0] if values else None
        if any(value != first for value in values):
            raise UnsupportedWeightsError(f"{self._path}: {attribute} differs between layers of one network")
        if first is None:
            return None
        if not isinstance(first, (int, float)) or not 0 < first < _LARGE:
            raise UnsupportedWeightsError(
                f"{self._path}: {attribute} is {str(first)[:20]}, and not a number between 0 and {_LARGE:g}"
            )
        return float(first)


def _other_architecture(path: object, architecture: str) -> UnsupportedWeightsError:
    return UnsupportedWeightsError(
        f"{path} is a StyleGAN2 generator of the architecture {architecture!r}, without a to-RGB at every "
        "resolution; supported is 'skip', the default of the original for generators"
    )


def _sizes(path: object, tensors: Mapping[str, Tensor], settings: _Settings) -> Sizes:
    resolutions = sorted({int(match[1]) for key in tensors if (match := _BLOCK.match(key))})
    if resolutions != [4 * 2**i for i in range(len(resolutions))]:
        raise UnsupportedWeightsError(
            f"{path} has blocks of {resolutions}; supported are images whose side is a power of two, from 4²"
        )
    const = tensors.get("synthesis.b4.const")
    if const is None or const.shape[1:] != (4, 4):
        begin = "no constant" if const is None else f"a constant of {list(const.shape[1:])}"
        raise UnsupportedWeightsError(
            f"{path} begins with {begin}; supported are square images, which grow from 4 × 4"
        )
    for r in resolutions:
        if f"synthesis.b{r}.torgb.weight" not in tensors:
            residual = any(key.endswith(".skip.weight") for key in tensors)
            raise _other_architecture(path, "resnet" if residual else "orig")
    colours = length(path, tensors, "synthesis.b4.torgb.weight", 0)
    if colours not in (1, 3):
        raise UnsupportedWeightsError(
            f"{path} makes images of {colours} channels; supported are colour (3) and grey (1)"
        )
    conditional = "mapping.embed.weight" in tensors
    embedded = length(path, tensors, "mapping.embed.weight", 0) if conditional else 0
    return Sizes(
        z_dim=length(path, tensors, "mapping.fc0.weight", 1) - embedded,
        w_dim=length(path, tensors, "synthesis.b4.torgb.affine.weight", 1),
        c_dim=length(path, tensors, "mapping.embed.weight", 1) if conditional else 0,
        channels=tuple(length(path, tensors, f"synthesis.b{r}.torgb.weight", 1) for r in resolutions),
        image_channels=colours,
        mapping_layers=len({key for key in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", key)}),
        layer_features=length(path, tensors, "mapping.fc0.weight", 0),
        embed_features=embedded,
        lr_multiplier=settings.lr_multiplier(),
        noise="synthesis.b4.conv1.noise_const" in tensors,
        bound=settings.clamp(),
    )


def _with_average(tensors: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """The tensors, with a mean w where a network was trained without tracking it."""
    return {"mapping.w_avg": torch.zeros(sizes.w_dim), **tensors}


def _stored(tensors: Mapping[str, Tensor], sizes: Sizes, w_avg: Tensor) -> Stored:
    t = {name: tensor.float() for name, tensor in tensors.items()}

    def dense(name: str) -> Dense:
        return Dense(t[f"{name}.weight"], t[f"{name}.bias"])

    def styled(name: str) -> Styled:
        strength = t.get(f"{name}.noise_strength")
        noise = None if strength is None else t[f"{name}.noise_const"] * strength
        return Styled(dense(f"{name}.affine"), t[f"{name}.weight"], t[f"{name}.bias"], noise)

    blocks = []
    for i in range(len(sizes.channels)):
        block = f"synthesis.b{4 * 2**i}"
        convs = ("conv0", "conv1") if i else ("conv1",)
        blocks.append(Block([styled(f"{block}.{conv}") for conv in convs], styled(f"{block}.torgb")))
    return Stored(
        mapping=StoredMapping(
            layers=[dense(f"mapping.fc{i}") for i in range(sizes.mapping_layers)],
            lr_multiplier=sizes.lr_multiplier,
            embed=dense("mapping.embed") if sizes.c_dim else None,
            w_avg=t.get("mapping.w_avg", w_avg),
        ),
        const=t["synthesis.b4.const"],
        blocks=blocks,
        bound=sizes.bound,
    )
