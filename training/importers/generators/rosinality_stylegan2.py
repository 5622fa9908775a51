"""StyleGAN2 as rosinality's stylegan2-pytorch stores it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from training.importers.base import Recognised, StoredFile, UnsupportedWeightsError, WeightFormat
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
from training.networks.stylegan2 import Generator

PARTS = ("g_ema", "g")
LR_MULTIPLIER = 0.01
NOISE_SEED = 0
_CHANNELS = 512  # from 4² to 32²
_UP_GAIN = 4  # what their filters sum to


class RosinalityStyleGAN2(WeightFormat):
    """The generator of rosinality's stylegan2-pytorch."""

    name = "rosinality-stylegan2"
    title = "rosinality stylegan2-pytorch"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """See `WeightFormat.recognise`."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        name, tensors = part_of_flat(*found, PARTS)
        path = stored.path
        if {"convs.0.0.weight", "final_linear.1.weight"} <= tensors.keys():
            which = f"part {name} of {path}" if name else str(path)
            raise UnsupportedWeightsError(
                f"{which} is a discriminator, which makes no images; import the generator, g_ema"
            )
        if not {"input.input", "conv1.conv.weight", "style.1.weight"} <= tensors.keys():
            return None
        if any(key.startswith("iwt.") or ".iwt." in key for key in tensors):
            raise UnsupportedWeightsError(
                f"{path} is a SWAGAN generator, which makes wavelets; supported is the StyleGAN2 of the same "
                "repository (train.py --arch stylegan2)"
            )
        average = _average(stored, tensors)
        filters = {key: t for key, t in tensors.items() if key.endswith(".kernel")}
        weights = {key: t for key, t in tensors.items() if key not in filters and key != "latent_avg"}
        sizes = _sizes(path, weights)
        check_sizes(path, sizes)
        check_filters(path, filters, gain=_UP_GAIN)
        notes = _with_noise(weights, sizes)
        names = their_names(sizes.names())
        shapes = check_tensors(path, sizes, {**weights, "latent_avg": _or_zeros(average, sizes)}, names)
        stored_average = {} if average is None else {"latent_avg": average}
        plain = {key: t.reshape(shapes[key]) for key, t in {**weights, **stored_average}.items()}
        theirs = {key: t.reshape(_their_shape(key, t)) for key, t in plain.items()}
        ours = {mine: theirs[their] for mine, their in names.items() if their in theirs}
        return recognised(
            self.name, stored, name, sizes, ours, lambda w_avg: _stored(theirs, sizes, w_avg), notes
        )

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """A checkpoint that `generate.py` of the original loads, with `g_ema` and `latent_avg`.

        The original has at least 512 feature maps up to 32² and 16384/r beyond; a generator of fewer gets
        such that are zero, and computes the same.

        Args:
            network: In evaluation mode.

        Returns:
            The checkpoint; None if it is no StyleGAN2.

        Raises:
            UnsupportedWeightsError: If the original cannot build such a generator.
        """
        if not isinstance(network, Generator):
            return None
        sizes = sizes_of(network)
        _check_publishable(sizes)
        state = {
            name: tensor.reshape(_their_shape(name, tensor))
            for name, tensor in stored_tensors(_widened(network, sizes), their_names(sizes.names())).items()
        }
        for i in range(len(sizes.channels) - 1):
            for owner in (f"convs.{2 * i}.conv.blur", f"to_rgbs.{i}.upsample"):
                state[f"{owner}.kernel"] = binomial_filter() * _UP_GAIN
        average = state.pop("latent_avg")
        return {"g_ema": state, "latent_avg": average}


def their_names(names: Iterable[str]) -> dict[str, str]:
    """Names of the layout by our own, for all tensors of a generator but the filters."""
    return {name: _their_name(name) for name in names}


def _their_name(name: str) -> str:
    if name == "mapping.w_avg":
        return "latent_avg"
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(.*)", name):
        return f"style.{int(match[1]) + 1}.{match[2]}"
    match = re.fullmatch(r"synthesis\.blocks\.(\d+)\.(.*)", name)
    if match is None:
        return name  # of a label, which the layout has no place for
    i, rest = int(match[1]), match[2]
    if rest == "const":
        return "input.input"
    layer, tensor = rest.split(".", 1)
    if layer == "torgb":
        owner = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        return f"{owner}.bias" if tensor == "bias" else f"{owner}.{_of_convolution(tensor)}"
    owner = f"convs.{2 * (i - 1) + int(layer[-1])}" if i else "conv1"
    if tensor == "noise_const":
        return f"noises.noise_{2 * i - 1 + int(layer[-1]) if i else 0}"
    if tensor == "noise_strength":
        return f"{owner}.noise.weight"
    return f"{owner}.activate.bias" if tensor == "bias" else f"{owner}.{_of_convolution(tensor)}"


def _of_convolution(tensor: str) -> str:
    return f"conv.{tensor.replace('affine', 'modulation')}"


def _their_shape(name: str, tensor: Tensor) -> tuple[int, ...]:
    """A shape with the ones that the layout has around it."""
    if name.startswith("noises."):
        return (1, 1, *tensor.shape)
    if name.endswith(".conv.weight") or name == "input.input":
        return (1, *tensor.shape)
    if name.startswith("to_rgb") and name.endswith(".bias") and "modulation" not in name:
        return (1, *tensor.shape, 1, 1)
    return (1,) if name.endswith(".noise.weight") else tuple(tensor.shape)


def _check_publishable(sizes: Sizes) -> None:
    """Raises `UnsupportedWeightsError` unless the original can build the generator."""
    why = None
    if sizes.c_dim:
        why = "it knows no classes"
    elif not (sizes.z_dim == sizes.w_dim == sizes.layer_features):
        why = f"z and w have one width there, and not {sizes.z_dim} and {sizes.w_dim}"
    elif not sizes.noise:
        why = "all of its layers add noise"
    elif sizes.bound is not None:
        why = f"it does not clamp feature maps, here to ±{sizes.bound:g}"
    elif sizes.lr_multiplier != LR_MULTIPLIER:
        why = f"the gain of its mapping network is {LR_MULTIPLIER:g}, and not {sizes.lr_multiplier:g}"
    elif max(sizes.channels[:4]) > _CHANNELS:
        why = f"it has {_CHANNELS} feature maps up to 32², and not {max(sizes.channels[:4])}"
    if why is not None:
        raise UnsupportedWeightsError(
            f"rosinality's stylegan2-pytorch cannot build this generator: {why}; nvidia-stylegan2 can"
        )


@torch.no_grad()
def _widened(network: Generator, sizes: Sizes) -> Generator:
    """The generator with as many feature maps as the original has, where those that are added change nothing.

    They are of zero weights, also in what reads them. A to-RGB divides by the root of their number.
    """
    narrow = sizes.channels
    multiplier = 1
    while any(mine > theirs for mine, theirs in zip(narrow, _channels(len(narrow), multiplier), strict=True)):
        multiplier += 1
    channels = _channels(len(narrow), multiplier)
    if channels == narrow:
        return network
    wide = replace(sizes, channels=channels).generator()
    state = wide.state_dict()
    for name, tensor in network.state_dict().items():
        if name.endswith("torgb.weight"):
            tensor = tensor * math.sqrt(state[name].shape[1] / tensor.shape[1])
        state[name].zero_()[tuple(slice(length) for length in tensor.shape)] = tensor
    return wide.eval()


def _channels(blocks: int, multiplier: int) -> tuple[int, ...]:
    """Feature maps of the original at 4², 8² and so on, by its `channel_multiplier`."""
    rest = (256 * multiplier // 2**i for i in range(blocks))
    return tuple([_CHANNELS] * 4 + list(rest))[:blocks]


def _average(stored: StoredFile, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """The mean w, which converted files have beside the networks."""
    content = stored.content
    beside = content.get("latent_avg") if isinstance(content, Mapping) else None
    average = tensors.get("latent_avg", beside)
    return average if isinstance(average, Tensor) else None


def _or_zeros(average: Tensor | None, sizes: Sizes) -> Tensor:
    return torch.zeros(sizes.w_dim) if average is None else average


def _sizes(path: object, tensors: Mapping[str, Tensor]) -> Sizes:
    const = tensors["input.input"]
    if const.shape[2:] != (4, 4):
        raise UnsupportedWeightsError(
            f"{path} begins with a constant of {list(const.shape[2:])}; supported are square images, which "
            "grow from 4 × 4"
        )
    colours = length(path, tensors, "to_rgb1.conv.weight", 1)
    if colours != 3:
        raise UnsupportedWeightsError(f"{path} makes images of {colours} channels; supported is colour (3)")
    blocks = len({key for key in tensors if re.fullmatch(r"to_rgbs\.\d+\.bias", key)})
    owners = ("to_rgb1", *(f"to_rgbs.{i}" for i in range(blocks)))
    return Sizes(
        z_dim=length(path, tensors, "style.1.weight", 1),
        w_dim=length(path, tensors, "to_rgb1.conv.modulation.weight", 1),
        c_dim=0,
        channels=tuple(length(path, tensors, f"{owner}.conv.weight", 2) for owner in owners),
        image_channels=colours,
        mapping_layers=len({key for key in tensors if re.fullmatch(r"style\.\d+\.weight", key)}),
        layer_features=length(path, tensors, "style.1.weight", 0),
        embed_features=0,
        lr_multiplier=LR_MULTIPLIER,
        noise=True,
        bound=None,
    )


def _with_noise(tensors: dict[str, Tensor], sizes: Sizes) -> list[str]:
    """Adds constant noise to a file of before the original stored any; a note if so."""
    if any(key.startswith("noises.") for key in tensors):
        return []
    generator = torch.Generator().manual_seed(NOISE_SEED)
    for i in range(2 * len(sizes.channels) - 1):
        r = 4 * 2 ** ((i + 1) // 2)
        tensors[f"noises.noise_{i}"] = torch.randn(1, 1, r, r, generator=generator)
    return [
        f"The file has no constant noise; it was drawn with seed {NOISE_SEED}. Where the original draws its "
        "own, the finest details differ."
    ]


def _stored(tensors: Mapping[str, Tensor], sizes: Sizes, w_avg: Tensor) -> Stored:
    t = {name: tensor.float() for name, tensor in tensors.items()}

    def dense(name: str) -> Dense:
        return Dense(t[f"{name}.weight"], t[f"{name}.bias"])

    def styled(name: str, i: int) -> Styled:
        noise = t[f"noises.noise_{i}"][0, 0] * t[f"{name}.noise.weight"]
        weight = t[f"{name}.conv.weight"][0]
        return Styled(dense(f"{name}.conv.modulation"), weight, t[f"{name}.activate.bias"], noise)

    def coloured(name: str) -> Styled:
        bias = t[f"{name}.bias"].flatten()
        return Styled(dense(f"{name}.conv.modulation"), t[f"{name}.conv.weight"][0], bias)

    blocks = [Block([styled("conv1", 0)], coloured("to_rgb1"))]
    for i in range(len(sizes.channels) - 1):
        layers = [styled(f"convs.{j}", j + 1) for j in (2 * i, 2 * i + 1)]
        blocks.append(Block(layers, coloured(f"to_rgbs.{i}")))
    return Stored(
        mapping=StoredMapping(
            layers=[dense(f"style.{i + 1}") for i in range(sizes.mapping_layers)],
            lr_multiplier=LR_MULTIPLIER,
            embed=None,
            w_avg=t["latent_avg"].flatten() if "latent_avg" in t else w_avg,
        ),
        const=t["input.input"][0],
        blocks=blocks,
        bound=None,
    )
