"""What the layouts of StyleGAN2 have in common: sizes, and a generator of ours with stored weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from training.directions import SAMPLES, sample_w
from training.importers.base import Imported, Recognised, StoredFile, UnsupportedWeightsError
from training.networks.layers import EqualizedLinear, binomial_filter
from training.networks.stylegan2 import Generator

MAX_MAP = 2**26
"""Most numbers in the feature maps of one resolution, twice what the largest published network has."""

MAX_CLASSES = 10_000
MAX_WIDTH = 4_096
"""Of z, w and what lies between them; published are 512."""
MAX_MAPPING_LAYERS = 64


@dataclass(frozen=True)
class Sizes:
    """A generator, as keys and shapes tell it.

    Attributes:
        z_dim: Width of z.
        w_dim: Width of w.
        c_dim: Classes, 0 if it is unconditional.
        channels: Feature maps at 4², 8² and so on.
        image_channels: 3, or 1 if its images are grey.
        mapping_layers: Fully connected layers of the mapping network.
        layer_features: Width between them.
        embed_features: Width of the embedded label, 0 if it is unconditional.
        lr_multiplier: Gain of the mapping network's weights.
        noise: Whether the layers add noise.
        bound: What feature maps are clamped to, ±; None if they are not.
    """

    z_dim: int
    w_dim: int
    c_dim: int
    channels: tuple[int, ...]
    image_channels: int
    mapping_layers: int
    layer_features: int
    embed_features: int
    lr_multiplier: float
    noise: bool
    bound: float | None

    @property
    def resolution(self) -> int:
        """Height and width of an image."""
        return int(2 ** (len(self.channels) + 1))

    def generator(self) -> Generator:
        """An untrained generator of ours."""
        return Generator(
            self.z_dim, self.w_dim, self.resolution, mapping_layers=self.mapping_layers, c_dim=self.c_dim,
            channels=self.channels, noise=self.noise, bound=self.bound, layer_features=self.layer_features,
            embed_features=self.embed_features, lr_multiplier=self.lr_multiplier,
        )  # fmt: skip

    def names(self) -> list[str]:
        """Our names of all its tensors."""
        with torch.device("meta"):
            return list(self.generator().state_dict())

    def shown(self) -> dict[str, Any]:
        """The hyper-parameters for people."""
        shown: dict[str, Any] = {
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "c_dim": self.c_dim,
            "resolution": self.resolution,
            "image_channels": self.image_channels,
            "channels": list(self.channels),
            "mapping_layers": self.mapping_layers,
            "layer_features": self.layer_features,
            "lr_multiplier": self.lr_multiplier,
            "noise": self.noise,
            "conv_clamp": self.bound,
        }
        if self.c_dim:
            shown["embed_features"] = self.embed_features
        return shown

    def title(self) -> str:
        """What it is, for people."""
        labels = f"{self.c_dim} classes" if self.c_dim else "unconditional"
        grey = ", grey" if self.image_channels == 1 else ""
        return f"StyleGAN2 generator, {self.resolution} × {self.resolution}, {labels}{grey}"


def sizes_of(generator: Generator) -> Sizes:
    """The sizes of a generator of ours."""
    mapping, synthesis = generator.mapping, generator.synthesis
    layers = cast("list[EqualizedLinear]", list(mapping.layers))
    first = synthesis.styled_convs()[0]
    return Sizes(
        z_dim=mapping.z_dim,
        w_dim=mapping.w_dim,
        c_dim=mapping.c_dim,
        channels=tuple(conv.out_channels for conv in synthesis.styled_convs()[::2]),
        image_channels=3,
        mapping_layers=len(layers),
        layer_features=layers[0].weight.shape[0],
        embed_features=mapping.embed.weight.shape[0] if mapping.c_dim else 0,
        lr_multiplier=layers[0].bias_gain,
        noise=first.noise,
        bound=first.bound,
    )


def check_sizes(path: object, sizes: Sizes) -> None:
    """Refuses lengths of nothing, and a generator that needs more memory than any that is known.

    Raises:
        UnsupportedWeightsError: If there are such.
    """
    lengths = (sizes.z_dim, sizes.w_dim, sizes.mapping_layers, sizes.layer_features, *sizes.channels)
    if min(lengths) < 1 or sizes.c_dim < 0 or (sizes.c_dim and sizes.embed_features < 1):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN2 generator with tensors of no sense: {sizes.shown()}"
        )
    if sizes.c_dim > MAX_CLASSES:
        raise UnsupportedWeightsError(
            f"{path} knows {sizes.c_dim:,} classes; up to {MAX_CLASSES:,} are supported"
        )
    widths = (sizes.z_dim, sizes.w_dim, sizes.layer_features, sizes.embed_features)
    if max(widths) > MAX_WIDTH or sizes.mapping_layers > MAX_MAPPING_LAYERS:
        raise UnsupportedWeightsError(
            f"{path} has a mapping network of {sizes.mapping_layers:,} layers, up to {max(widths):,} wide; "
            f"supported are {MAX_MAPPING_LAYERS} layers of {MAX_WIDTH:,}"
        )
    for i, count in enumerate(sizes.channels, start=2):
        if max(count, 3) * 4**i > MAX_MAP:
            raise UnsupportedWeightsError(
                f"{path} makes {count} maps of {2**i} × {2**i}; up to {MAX_MAP:,} numbers are supported at "
                "one resolution, twice what the largest published StyleGAN2 has"
            )


def check_filters(path: object, filters: Mapping[str, Tensor], gain: float = 1.0) -> None:
    """Refuses resampling with another low-pass filter than ours.

    Args:
        path: The file.
        filters: The stored filters by name.
        gain: What they sum to.

    Raises:
        UnsupportedWeightsError: If one is another.
    """
    ours = binomial_filter() * gain
    for name, f in filters.items():
        if f.shape != ours.shape or not torch.allclose(f.float(), ours, rtol=1e-4, atol=1e-6):
            raise UnsupportedWeightsError(
                f"{path} resamples with the filter {name}, {list(f.shape)}; supported is that of the "
                "published StyleGAN2, [1, 3, 3, 1]"
            )


def check_tensors(
    path: object, sizes: Sizes, found: Mapping[str, Tensor], renamed: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """Refuses tensors that are missing, too many, or of other shapes than the sizes ask for.

    Args:
        path: The file.
        sizes: The generator.
        found: The tensors under names of the layout, without what has been looked at.
        renamed: Names of the layout by our own.

    Returns:
        The shapes by names of the layout. Those of the file may differ from them by ones around, which have
        to go before anything is computed: a bias of [N, 1] would make N images of one.

    Raises:
        UnsupportedWeightsError: If there are such.
    """
    with torch.device("meta"):
        state = sizes.generator().state_dict()
    shapes = {renamed[name]: _stored_shape(name, tensor, sizes) for name, tensor in state.items()}
    missing = sorted(shapes.keys() - found.keys())
    if missing:
        raise UnsupportedWeightsError(f"{path} is a StyleGAN2 generator that lacks {_some(missing)}")
    unknown = sorted(found.keys() - shapes.keys())
    if unknown:
        raise UnsupportedWeightsError(
            f"{path} is like a StyleGAN2 generator, but has {_some(unknown)}; it is a variant that is not "
            "supported"
        )
    for name, shape in shapes.items():
        if _plain(found[name].shape) != _plain(shape) or not found[name].is_floating_point():
            raise UnsupportedWeightsError(
                f"{path}: {name} is {list(found[name].shape)}, where StyleGAN2 has {list(shape)}"
            )
    return shapes


def _stored_shape(name: str, tensor: Tensor, sizes: Sizes) -> tuple[int, ...]:
    """The shape that a file has where ours has three colours."""
    rows = sizes.image_channels if _is_colour(name) else tensor.shape[0] if tensor.ndim else 1
    return (rows, *tensor.shape[1:]) if tensor.ndim else ()


def _is_colour(name: str) -> bool:
    return name.endswith(("torgb.weight", "torgb.bias"))


def _plain(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the ones around it, which are a matter of taste."""
    plain = list(shape)
    while plain and plain[0] == 1:
        plain.pop(0)
    while plain and plain[-1] == 1:
        plain.pop()
    return tuple(plain)


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def recognised(
    format: str,
    stored: StoredFile,
    part: str,
    sizes: Sizes,
    tensors: Mapping[str, Tensor],
    reference: Callable[[Tensor], Callable[..., Tensor]],
    notes: Sequence[str],
) -> Recognised:
    """A checked generator, and how it is built.

    Args:
        format: Name of the layout.
        stored: The file.
        part: Which of its networks.
        sizes: The generator.
        tensors: Its tensors by our own names; `mapping.w_avg` may be missing.
        reference: Makes the reference forward pass from the mean w, [w_dim].
        notes: What the user should know.
    """

    def build() -> Imported:
        return _imported(sizes, tensors, reference, list(notes))

    return Recognised(
        format=format,
        title=sizes.title(),
        kind="generator",
        family="stylegan2",
        part=part,
        hyperparameters=sizes.shown(),
        parameters=sum(t.numel() for name, t in tensors.items() if "noise_const" not in name),
        build=build,
    )


@torch.no_grad()
def _imported(
    sizes: Sizes,
    tensors: Mapping[str, Tensor],
    reference: Callable[[Tensor], Callable[..., Tensor]],
    notes: list[str],
) -> Imported:
    generator = sizes.generator()
    ours = generator.state_dict()
    for name, tensor in tensors.items():
        if _is_colour(name) and sizes.image_channels == 1:
            tensor = tensor.reshape(1, *ours[name].shape[1:]).expand_as(ours[name])
        ours[name].copy_(tensor.reshape(ours[name].shape))
    generator.eval().requires_grad_(False)
    card: dict[str, Any] = {}
    if "mapping.w_avg" not in tensors:
        generator.mapping.w_avg.copy_(sample_w(generator.mapping, SAMPLES).mean(dim=0))
        card["w_avg"] = f"mean of {SAMPLES:,} w of seed 0; the file has none"
        notes.append(
            f"The file has no mean w, which truncation pulls towards. It was computed from {SAMPLES:,} "
            "latents of seed 0; where the original code draws its own, truncated images differ slightly."
        )
    if sizes.image_channels == 1:
        notes.append("Its images are grey: the one channel is served three times.")
    return Imported(generator, reference(generator.mapping.w_avg.clone()), card, notes)


def stored_tensors(generator: Generator, renamed: Mapping[str, str]) -> dict[str, Tensor]:
    """A generator's tensors under names of a layout, in memory of their own."""
    state = generator.state_dict()
    return {renamed[name]: tensor.detach().cpu().float().clone() for name, tensor in state.items()}


def length(path: object, tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """A length that sizes are made of; 0 of a tensor that has no such axis.

    Raises:
        UnsupportedWeightsError: If there is no tensor of the name.
    """
    if name not in tensors:
        raise UnsupportedWeightsError(f"{path} is a StyleGAN2 generator that lacks {name}")
    shape = tensors[name].shape
    return int(shape[axis]) if -len(shape) <= axis < len(shape) else 0


def part_of_flat(
    part: str, tensors: Mapping[str, Tensor], parts: Sequence[str]
) -> tuple[str, dict[str, Tensor]]:
    """The first part of a file that has no dictionaries, such as safetensors, where `part.` precedes names.

    Args:
        part: Name of the part that was found; what has one is left as it is.
        tensors: By name.
        parts: Names of parts, the best first.
    """
    for name in () if part else parts:
        inside = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
        if inside:
            return name, inside
    return part, dict(tensors)
