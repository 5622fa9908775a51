"""The settings of a stored synthesis network of StyleGAN3, which its filters must agree with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.importers.base import StoredModule, UnsupportedWeightsError
from training.networks.stylegan3 import Signal, SynthesisSettings, factors_between, filters_between, signals

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
_LARGE = 1e6
_USUAL_MARGIN = 10
MAX_TAPS = 1_024
_AT_LEAST_ONE = ("filter_size", "lrelu_upsampling")
_LIMITS = {"margin_size": 256, "filter_size": 64, "lrelu_upsampling": 8}


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
    if clamp is not None and not is_number(clamp, 0, _LARGE):
        raise UnsupportedWeightsError(
            f"{path} is a StyleGAN3 generator with conv_clamp={str(clamp)[:20]}, which has no sense"
        )
    values: dict[str, Any] = {"conv_clamp": None if clamp is None else float(clamp)}
    for name, kind in _SETTINGS.items():
        value = known.get(name, options.get(name))
        if value is None or name == "num_layers":
            continue
        if not is_number(value, 1 if name in _AT_LEAST_ONE else 0, _LIMITS.get(name, _LARGE)):
            raise UnsupportedWeightsError(
                f"{path} is a StyleGAN3 generator with {name}={str(value)[:20]}, which has no sense"
            )
        values[name] = kind(value)
    return replace(told, **values)


def is_number(value: object, least: float, most: float) -> bool:
    """Whether a value of a pickle is a number within limits; NaN is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _usual(tensors: Mapping[str, Tensor], told: SynthesisSettings) -> Iterator[SynthesisSettings]:
    """Settings that a state dict may come from, the published ones first."""
    found = {len(t) for name, t in tensors.items() if name.endswith(".down_filter") and t.ndim} or {12}
    taps = min(found)  # They are of one length: rates grow, so each coarser sampling has the same factor.
    resamplings = sorted(
        ((taps // f, f) for f in range(2, _LIMITS["lrelu_upsampling"] + 1) if taps % f == 0),
        key=lambda pair: pair != (6, 2),
    )
    criticals = sorted(range(told.num_layers), key=lambda n: n != 2)
    sizes = [int(name.split("_")[1]) for name in layer_names(tensors)[:-2]]
    for filter_size, finer in resamplings:
        for critical in criticals:
            settings = replace(
                told, filter_size=filter_size, lrelu_upsampling=finer, num_critical=critical, margin_size=0
            )
            margin = _USUAL_MARGIN
            with suppress(ValueError, OverflowError, ZeroDivisionError):  # said by `_problem`
                margin = (sizes[0] - signals(settings)[0].size) // 2 if sizes else margin
            yield replace(settings, margin_size=min(max(margin, 0), _LIMITS["margin_size"]))


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
        if settings.filter_size * max(factors_between(before[i], after[i], settings)) > MAX_TAPS:
            return f"{name} has filters of more than {MAX_TAPS:,} taps"
        designed = filters_between(before[i], after[i], settings, is_critical=critical)
        for kind, ours in zip(("up_filter", "down_filter"), designed, strict=True):
            theirs = tensors.get(
                f"{name}.{kind}", torch.ones_like(ours) if ours.numel() == 1 else torch.empty(0)
            )
            if theirs.shape != ours.shape or not (theirs.float() - ours).abs().max() <= FILTER_TOLERANCE:
                return f"{name}.{kind} is not the filter that its settings ask for"
    return None
