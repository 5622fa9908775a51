"""The settings of a stored synthesis network of StyleGAN3, which its filters must agree with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.importers.base import StoredModule, UnsupportedWeightsError
from training.networks.stylegan3 import Signal, SynthesisSettings, filters_between, signals

FILTER_TOLERANCE = 1e-5
"""Most that a stored filter may differ from the one that its settings ask for."""
LAYER = re.compile(r"synthesis\.L(\d+)_(\d+)_(\d+)\.weight")
"""Number, height and channels of a layer."""

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


def layer_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the layers by their numbers."""
    numbered = {int(m[1]): name.removesuffix(".weight") for name in tensors if (m := LAYER.fullmatch(name))}
    return [numbered[i] for i in sorted(numbered)]


def settings_of(
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
    sizes = [int(name.split("_")[1]) for name in layer_names(tensors)[:-2]]
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
    for i, name in enumerate(layer_names(tensors)[:-1]):
        critical = i >= settings.num_layers - settings.num_critical
        designed = filters_between(before[i], after[i], settings, is_critical=critical)
        for kind, ours in zip(("up_filter", "down_filter"), designed, strict=True):
            theirs = tensors.get(
                f"{name}.{kind}", torch.ones_like(ours) if ours.numel() == 1 else torch.empty(0)
            )
            if theirs.shape != ours.shape or (theirs.float() - ours).abs().max() > FILTER_TOLERANCE:
                return f"{name}.{kind} is not the filter that its settings ask for"
    return None
