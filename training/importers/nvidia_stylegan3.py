"""StyleGAN3 as NVIDIA stores it: pickles of its configurations T and R, and their state dicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
from training.importers.mapping_reference import Dense, StoredMapping
from training.importers.nvidia_stylegan2 import network_of
from training.importers.stylegan3_reference import Layer, Stored
from training.networks.stylegan3 import Generator, Signal, SynthesisSettings, filters_between, signals

MAX_MAP = 2**28
"""Most numbers in the feature maps of an image; the largest published, R at 1024², has 222 million."""
MAX_CLASSES = 10_000
LR_MULTIPLIER = 0.01
FILTER_TOLERANCE = 1e-5

_LAYER = re.compile(r"synthesis\.L(\d+)_(\d+)_(\d+)\.weight")
_TRANSFORM = "synthesis.input.transform"
_SETTINGS = {
    "num_layers": int,
    "num_critical": int,
    "first_cutoff": float,
    "first_stopband": float,
    "last_stopband_rel": float,
    "margin_size": int,
    "output_scale": float,
    "filter_size": int,
    "lrelu_upsampling": int,
}
"""Options of the original that shape our network and are not told by tensors alone."""
_TOLD_BY_TENSORS = {
    "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max", "conv_kernel",
    "use_radial_filters", "num_ws",
}  # fmt: skip
_OF_TRAINING = {"magnitude_ema_beta", "w_avg_beta", "num_fp16_res", "class_name", "mapping_kwargs"}
_LIMITS = {"num_layers": 64, "margin_size": 256, "filter_size": 64, "lrelu_upsampling": 8}


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
        if "synthesis.input.freqs" not in tensors or not any(map(_LAYER.fullmatch, tensors)):
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


@dataclass(frozen=True)
class Sizes:
    """A generator, as tensors and options tell it.

    Attributes:
        z_dim: Width of z.
        w_dim: Width of w.
        c_dim: Classes, 0 if it is unconditional.
        image_channels: 3, or 1 if its images are grey.
        mapping_layers: Fully connected layers of the mapping network.
        lr_multiplier: Gain of the mapping network's weights.
        synthesis: Of the synthesis network.
    """

    z_dim: int
    w_dim: int
    c_dim: int
    image_channels: int
    mapping_layers: int
    lr_multiplier: float
    synthesis: SynthesisSettings

    @property
    def configuration(self) -> str:
        """`StyleGAN3-T`, `StyleGAN3-R`, or `StyleGAN3` for a mixture."""
        known = {(3, False): "-T", (1, True): "-R"}
        return "StyleGAN3" + known.get((self.synthesis.conv_kernel, self.synthesis.use_radial_filters), "")

    def title(self) -> str:
        """What it is, for people."""
        labels = f"{self.c_dim} classes" if self.c_dim else "unconditional"
        side = self.synthesis.resolution
        grey = ", grey" if self.image_channels == 1 else ""
        return f"{self.configuration} generator, {side} × {side}, {labels}{grey}"

    def shown(self) -> dict[str, Any]:
        """The hyper-parameters for people."""
        synthesis = asdict(self.synthesis)
        for told_by_channels in ("channel_base", "channel_max"):
            del synthesis[told_by_channels]
        return {
            "configuration": self.configuration,
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "c_dim": self.c_dim,
            "image_channels": self.image_channels,
            "mapping_layers": self.mapping_layers,
            "lr_multiplier": self.lr_multiplier,
            **synthesis,
            "channels": list(self.synthesis.channels or ()),
        }

    def generator(self) -> Generator:
        """An untrained generator of ours."""
        return Generator(
            self.z_dim, self.w_dim, self.synthesis, self.mapping_layers, self.c_dim, self.lr_multiplier
        )

    def names(self) -> dict[str, str]:
        """Names of the layout by our own."""
        with torch.device("meta"):
            ours = self.generator().state_dict()
        colours = f"synthesis.L{self.synthesis.num_layers}_{self.synthesis.resolution}_"
        return {
            name: re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name).replace(
                f"{colours}3.", f"{colours}{self.image_channels}."
            )
            for name in ours
        }

    @torch.no_grad()
    def network(self, tensors: Mapping[str, Tensor]) -> Generator:
        """Our network with the tensors of a file, its filters included."""
        generator = self.generator()
        state = generator.state_dict()
        for mine, theirs in self.names().items():
            state[mine].copy_(tensors[theirs].expand_as(state[mine]))
        return generator.eval().requires_grad_(False)

    def reference(self, tensors: Mapping[str, Tensor]) -> Stored:
        """The original's computation with the tensors of a file."""
        t = {name: tensor.float() for name, tensor in tensors.items()}

        def dense(name: str) -> Dense:
            return Dense(t[f"{name}.weight"], t[f"{name}.bias"])

        g = self.synthesis
        found = signals(g)
        rates = [signal.sampling_rate for signal in found]
        layers = []
        for i, (name, before, after) in enumerate(zip(_layers(t), [rates[0], *rates], rates, strict=False)):
            fine = max(before, after) * g.lrelu_upsampling
            layers.append(Layer(name, found[i].size, fine // before, fine // after))
        return Stored(
            StoredMapping(
                [dense(f"mapping.fc{i}") for i in range(self.mapping_layers)],
                self.lr_multiplier,
                dense("mapping.embed") if self.c_dim else None,
                t["mapping.w_avg"],
            ),
            t,
            layers,
            found[0].size,
            found[0].sampling_rate,
            g.first_cutoff,
            g.conv_clamp,
            g.output_scale,
        )


def _layers(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the layers by their numbers."""
    numbered = {int(m[1]): name.removesuffix(".weight") for name in tensors if (m := _LAYER.fullmatch(name))}
    return [numbered[i] for i in sorted(numbered)]


def _sizes(path: Path, tensors: Mapping[str, Tensor], module: StoredModule | None) -> Sizes:
    """Looks at names and shapes, and at the options of a pickle.

    Raises:
        UnsupportedWeightsError: If they are of no network of ours.
    """
    numbers = [_LAYER.fullmatch(f"{name}.weight") for name in _layers(tensors)]
    indices, heights, channels = ([int(m[i]) for m in numbers if m] for i in (1, 2, 3))
    if indices != list(range(len(indices))) or len(indices) < 2:
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator without some of its layers: {indices}"
        )
    if channels[-1] not in (1, 3):
        raise UnsupportedWeightsError(
            f"{path} makes images of {channels[-1]} channels; supported are colour (3) and grey (1)"
        )
    for height, count in zip(heights, channels, strict=True):
        if not 0 < count * height**2 <= MAX_MAP:
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
        lr_multiplier=_lr_multiplier(module),
        synthesis=SynthesisSettings(
            resolution=heights[-1],
            num_layers=len(heights) - 1,
            conv_kernel=_length(path, tensors, f"{_layers(tensors)[0]}.weight", 3),
            use_radial_filters=any(
                t.ndim == 2 for name, t in tensors.items() if name.endswith(".down_filter")
            ),
            channels=tuple(channels[:-1]),
        ),
    )
    if min(sizes.z_dim, sizes.w_dim, sizes.synthesis.conv_kernel) < 1 or sizes.c_dim > MAX_CLASSES:
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator of sizes without sense: {sizes.shown()}"
        )
    sizes = replace(sizes, synthesis=_settings(path, tensors, heights, sizes.synthesis, module))
    _check_tensors(path, sizes, tensors)
    return sizes


def _length(path: Path, tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    shape = tensors[name].shape if name in tensors else ()
    if axis >= len(shape):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator that lacks {name}, or has another kind of it"
        )
    return int(shape[axis])


def _lr_multiplier(module: StoredModule | None) -> float:
    mapping = None if module is None else module.children.get("mapping")
    first = None if mapping is None else mapping.children.get("fc0")
    return LR_MULTIPLIER if first is None else float(first.attributes.get("bias_gain", LR_MULTIPLIER))


def _settings(
    path: Path,
    tensors: Mapping[str, Tensor],
    heights: list[int],
    told: SynthesisSettings,
    module: StoredModule | None,
) -> SynthesisSettings:
    """What tensors do not tell: from the options of a pickle, else the usual, else what fits the filters."""
    candidates = _usual(tensors, told) if module is None else iter([_pickled(path, told, module)])
    problem = ""
    for candidate in candidates:
        found = _problem(candidate, tensors, heights)
        if found is None:
            return candidate
        problem = problem or found
    advice = "" if module is not None else "; the pickle it comes from says more, if you have it"
    raise UnsupportedWeightsError(f"{path} is a StyleGAN3 generator, but {problem}{advice}")


def _pickled(path: Path, told: SynthesisSettings, module: StoredModule) -> SynthesisSettings:
    synthesis = module.children.get("synthesis")
    inner: Mapping[str, Any] = {} if synthesis is None else synthesis.options
    known = {} if synthesis is None else synthesis.attributes
    options = {**module.options, **inner}
    unknown = sorted(set(options) - set(_SETTINGS) - _TOLD_BY_TENSORS - _OF_TRAINING - {"conv_clamp"})
    if unknown:
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator made with the options {', '.join(unknown)}, which the "
            "published code does not have; it is a variant that is not supported"
        )
    clamps = [child.attributes for child in synthesis.children.values()] if synthesis is not None else []
    clamp = next(
        (a["conv_clamp"] for a in clamps if "conv_clamp" in a), options.get("conv_clamp", told.conv_clamp)
    )
    values: dict[str, Any] = {"conv_clamp": None if clamp is None else float(clamp)}
    for name, kind in _SETTINGS.items():
        value = known.get(name, options.get(name))
        if value is None or name == "num_layers":
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= _LIMITS.get(name, 1e6)
        ):
            raise UnsupportedWeightsError(
                f"{path} is a StyleGAN3 generator with {name}={value!r}, which has no sense"
            )
        values[name] = kind(value)
    return replace(told, **values)


def _usual(tensors: Mapping[str, Tensor], told: SynthesisSettings) -> Iterator[SynthesisSettings]:
    """Settings that a state dict may come from, the published ones first."""
    taps = {len(t) for name, t in tensors.items() if name.endswith(".down_filter")} or {12}
    resamplings = sorted(
        ((t // f, f) for t in taps for f in range(2, _LIMITS["lrelu_upsampling"] + 1) if t % f == 0),
        key=lambda pair: pair != (6, 2),
    )
    criticals = sorted(range(told.num_layers), key=lambda n: n != 2)
    margins = sorted(range(_LIMITS["margin_size"]), key=lambda n: n != 10)
    sizes = [int(name.split("_")[1]) for name in _layers(tensors)[:-2]]
    for filter_size, finer in resamplings:
        for critical in criticals:
            for margin in margins:
                settings = replace(
                    told,
                    filter_size=filter_size,
                    lrelu_upsampling=finer,
                    num_critical=critical,
                    margin_size=margin,
                )
                if margin == 10 or [s.size for s in signals(settings)[:-2]] == sizes:
                    yield settings


def _problem(settings: SynthesisSettings, tensors: Mapping[str, Tensor], heights: list[int]) -> str | None:
    """Why a network of these settings cannot be the one of the tensors; None if it can."""
    try:
        after = signals(settings)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        return f"its settings are of no network: {error}"
    if [signal.size for signal in after] != heights:
        return f"its layers have the sizes {heights}, where its settings ask for {[s.size for s in after]}"
    before: list[Signal] = [after[0], *after]
    for i, name in enumerate(_layers(tensors)[:-1]):
        critical = i >= settings.num_layers - settings.num_critical
        designed = filters_between(before[i], after[i], settings, is_critical=critical)
        for kind, ours in zip(("up_filter", "down_filter"), designed, strict=True):
            theirs = tensors.get(
                f"{name}.{kind}", torch.ones_like(ours) if ours.numel() == 1 else torch.empty(0)
            )
            if theirs.shape != ours.shape or (theirs.float() - ours).abs().max() > FILTER_TOLERANCE:
                return f"{name}.{kind} is not the filter that its settings ask for"
    return None


def _check_tensors(path: Path, sizes: Sizes, tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors that are missing, too many, or of other shapes than the sizes ask for."""
    with torch.device("meta"):
        state = sizes.generator().state_dict()
    names = sizes.names()
    expected = {names[mine]: list(t.shape) for mine, t in state.items()}
    if sizes.image_channels == 1:
        colours = _layers(tensors)[-1]
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
