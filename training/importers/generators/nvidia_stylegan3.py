"""StyleGAN3 as NVIDIA stores it: pickles of its configurations T and R, and their state dicts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.importers.base import (
    Imported,
    Recognised,
    StoredFile,
    StoredModule,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.generators.nvidia_stylegan2 import LR_MULTIPLIER, network_of
from training.importers.generators.stylegan2_weights import MAX_CLASSES, MAX_MAPPING_LAYERS, MAX_WIDTH
from training.importers.generators.stylegan3_settings import LAYER, is_number, layer_names, settings_of
from training.importers.generators.stylegan3_weights import Sizes
from training.networks.stylegan3 import SynthesisSettings

MAX_MAP = 2**28
"""Most numbers in the feature maps of an image; the largest published, R at 1024², has 222 million."""

MAX_SIDE = 4_096
"""Of a layer, margins included."""
MAX_LAYERS = 64
MAX_KERNEL = 7
MAX_GAIN = 1e6

_TRANSFORM = "synthesis.input.transform"


class NvidiaStyleGAN3(WeightFormat):
    """The generator of stylegan3, configurations `stylegan3-t` and `stylegan3-r`."""

    name = "nvidia-stylegan3"
    title = "NVIDIA StyleGAN3-T and -R (stylegan3)"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """See `WeightFormat.recognise`."""
        found = network_of(stored, part)
        if found is None:
            return None
        name, tensors, module = found
        if "synthesis.input.freqs" not in tensors or not any(map(LAYER.fullmatch, tensors)):
            return None
        sizes = _sizes(stored.path, tensors, module)
        notes = _notes(tensors, module)
        return Recognised(
            format=self.name,
            title=sizes.title(),
            kind="generator",
            family="stylegan3",
            part=name,
            hyperparameters=sizes.shown(),
            parameters=sum(t.numel() for key, t in tensors.items() if not key.endswith("_filter")),
            build=lambda: Imported(sizes.network(tensors), sizes.reference(tensors), notes=notes),
        )


def _sizes(path: Path, tensors: Mapping[str, Tensor], module: StoredModule | None) -> Sizes:
    """Looks at names and shapes, and at the options of a pickle.

    Raises:
        UnsupportedWeightsError: If they are of no network of ours.
    """
    numbers = [LAYER.fullmatch(f"{name}.weight") for name in layer_names(tensors)]
    indices, heights, channels = ([int(m[i]) for m in numbers if m] for i in (1, 2, 3))
    if len(indices) > MAX_LAYERS:
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator of {len(indices)} layers; up to {MAX_LAYERS} are supported"
        )
    if indices != list(range(len(indices))) or len(indices) < 2:
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator without some of its layers: {indices}"
        )
    if channels[-1] not in (1, 3):
        raise UnsupportedWeightsError(
            f"{path} makes images of {channels[-1]} channels; supported are colour (3) and grey (1)"
        )
    for height, count in zip(heights, channels, strict=True):
        if not 0 < count * height**2 <= MAX_MAP or height > MAX_SIDE:
            raise UnsupportedWeightsError(
                f"{path} makes {count} maps of {height} × {height}; up to {MAX_MAP:,} numbers are supported "
                "in one layer, a little more than the largest published StyleGAN3 has"
            )
    conditional = "mapping.embed.weight" in tensors
    w_dim = _length(path, tensors, "synthesis.input.affine.weight", 1)
    sizes = Sizes(
        z_dim=_length(path, tensors, "mapping.fc0.weight", 1) - (w_dim if conditional else 0),
        w_dim=w_dim,
        c_dim=_length(path, tensors, "mapping.embed.weight", 1) if conditional else 0,
        image_channels=channels[-1],
        mapping_layers=len([name for name in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", name)]),
        lr_multiplier=_lr_multiplier(path, module),
        synthesis=SynthesisSettings(
            resolution=heights[-1],
            num_layers=len(heights) - 1,
            conv_kernel=_length(path, tensors, f"{layer_names(tensors)[0]}.weight", 3),
            use_radial_filters=any(
                t.ndim == 2 for name, t in tensors.items() if name.endswith(".down_filter")
            ),
            channels=tuple(channels[:-1]),
        ),
    )
    widths, kernel = (sizes.z_dim, sizes.w_dim), sizes.synthesis.conv_kernel
    if (
        min(widths) < 1
        or max(widths) > MAX_WIDTH
        or not 1 <= kernel <= MAX_KERNEL
        or sizes.c_dim > MAX_CLASSES
        or sizes.mapping_layers > MAX_MAPPING_LAYERS
    ):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator of sizes without sense: {sizes.shown()}"
        )
    sizes = replace(sizes, synthesis=settings_of(path, tensors, heights, sizes.synthesis, module))
    finer = sizes.synthesis.lrelu_upsampling
    if any(
        count * (height * finer) ** 2 > 4 * MAX_MAP for height, count in zip(heights, channels, strict=True)
    ):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator whose leaky ReLUs sample {finer} times finer; with maps of its "
            "size, 2 is supported, as published"
        )
    _check_tensors(path, sizes, tensors)
    return sizes


def _length(path: Path, tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    shape = tensors[name].shape if name in tensors else ()
    if axis >= len(shape):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator that lacks {name}, or has another kind of it"
        )
    return int(shape[axis])


def _lr_multiplier(path: Path, module: StoredModule | None) -> float:
    mapping = None if module is None else module.children.get("mapping")
    first = None if mapping is None else mapping.children.get("fc0")
    gain = LR_MULTIPLIER if first is None else first.attributes.get("bias_gain", LR_MULTIPLIER)
    if not is_number(gain, 0, MAX_GAIN):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator with bias_gain={str(gain)[:20]}, which has no sense"
        )
    return float(gain)


def _check_tensors(path: Path, sizes: Sizes, tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors that are missing, too many, or of other shapes than the sizes ask for."""
    with torch.device("meta"):
        state = sizes.generator().state_dict()
    names = sizes.names()
    expected = {names[mine]: list(t.shape) for mine, t in state.items()}
    if sizes.image_channels == 1:
        colours = layer_names(tensors)[-1]
        for kind in ("weight", "bias"):
            expected[f"{colours}.{kind}"][0] = 1
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys() - {_TRANSFORM})
    for what, some in (("lacks", missing), ("also has", unknown)):
        if some:
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            raise UnsupportedWeightsError(
                f"{path} is like a StyleGAN3 generator, but {what} {', '.join(some[:3])}{more}; it is a "
                "variant that is not supported, or a part of one"
            )
    for name, shape in expected.items():
        if list(tensors[name].shape) != shape or not tensors[name].is_floating_point():
            raise UnsupportedWeightsError(
                f"{path}: {name} is {list(tensors[name].shape)}, where this StyleGAN3 has {shape}"
            )


def _notes(tensors: Mapping[str, Tensor], module: StoredModule | None) -> list[str]:
    notes = []
    if module is None:
        notes.append(
            "A state dict does not say at what values feature maps are clamped, nor the scale of the "
            "colours; those of the original are assumed, ±256 and 0.25."
        )
    transform = tensors.get(_TRANSFORM)
    if transform is not None and not torch.equal(transform.float(), torch.eye(3)):
        notes.append(
            "The file holds a transformation of the image, which the original replaces as soon as it is "
            "asked for pictures; it was left out. `rotation` and `translation` do the same."
        )
    return notes
