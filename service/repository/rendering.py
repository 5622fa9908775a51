"""Production configs: a profile laid over the configs as `gantrain export` wrote them."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tritonclient.grpc import model_config_pb2

from service.repository.config_text import (
    CONFIG,
    RepositoryError,
    card_of,
    part_of,
    read_config,
    write_config,
)
from service.repository.profiles import GPU_SLOTS, PROFILES, VERSIONS_KEPT, ModelSettings, Profile

SLOT: Final = "gpu_slots"
"""The resource of the rate limiter that executions on a GPU take."""

_OWNED_PARAMETERS: Final = (
    "profile",
    "intra_op_thread_count",
    "cudnn_conv_algo_search",
    "arena_extend_strategy",
)
_EXPORTED_BATCH: Final = "exported_max_batch_size"
_GROUP: Final = model_config_pb2.ModelInstanceGroup


def render_repository(source: Path, target: Path, profile: Profile) -> list[str]:
    """Writes every model of a repository with the settings of a profile; its versions as they are.

    Args:
        source: A model repository.
        target: Where to; the same folder to change the configs in place, else a folder without models.
        profile: The settings.

    Returns:
        Names of the models.

    Raises:
        RepositoryError: If a config is broken, or `target` has models already. Then nothing was written.
    """
    configs = dict(_rendered(source, profile))
    if not configs:
        raise RepositoryError(f"{source} has no model in it (<model>/{CONFIG})")
    if not _is_same(source, target):
        if any(target.glob(f"*/{CONFIG}")):
            raise RepositoryError(f"{target} has models already; name a new folder")
        for name in configs:
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns(CONFIG))
    for name, config in configs.items():
        write_config(target / name / CONFIG, config, _comment(profile))
    return sorted(configs)


def render_config(
    config: model_config_pb2.ModelConfig, profile: Profile, where: Path
) -> model_config_pb2.ModelConfig:
    """One config with the settings of a profile.

    What a profile says takes the place of what was there; name, backend, tensors, cards and all other
    parameters stay as they are, so that rendering what was rendered changes nothing.

    Args:
        config: Of a model; left alone.
        profile: The settings.
        where: Its file, for messages.

    Raises:
        RepositoryError: If its card does not say what it is.
    """
    card = card_of(config, where)
    # MNN computes on the CPU, whatever the machine has.
    parts = (PROFILES["cpu"] if config.backend == "mnn" else profile).parts
    settings = parts[part_of(card, where)]
    new = model_config_pb2.ModelConfig()
    new.CopyFrom(config)
    new.max_batch_size = _batch_size(config, settings)
    # Newest versions, so that one that the gateway refuses leaves the one before it serving.
    new.version_policy.latest.num_versions = VERSIONS_KEPT
    # Without preferred sizes, delays or policies: the gateway sends what waits in one request, and in Triton
    # 2.51 each of these makes bursts stand still for half seconds.
    new.ClearField("dynamic_batching")
    new.dynamic_batching.SetInParent()
    _set_instances(new, settings)
    _set_accelerator(new, settings)
    new.response_cache.enable = settings.cached
    if not settings.cached:
        new.ClearField("response_cache")
    for name in _OWNED_PARAMETERS:
        new.parameters.pop(name, None)
    said = {"profile": profile.name, _EXPORTED_BATCH: str(_exported_batch(config)), **settings.parameters}
    for name, value in said.items():
        new.parameters[name].string_value = value
    _set_warmup(new, _sides(settings, card) if _is_open(config) else [0])
    return new


def _rendered(source: Path, profile: Profile) -> Iterator[tuple[str, model_config_pb2.ModelConfig]]:
    for path in sorted(source.glob(f"*/{CONFIG}")):
        yield path.parent.name, render_config(read_config(path), profile, path)


def _batch_size(config: model_config_pb2.ModelConfig, settings: ModelSettings) -> int:
    size = min(_exported_batch(config), settings.max_batch_size)
    pixels = math.prod(config.output[0].dims[:2])
    if settings.batch_pixels and pixels > 0:
        size = min(size, settings.batch_pixels // pixels)
    return max(1, size)


def _exported_batch(config: model_config_pb2.ModelConfig) -> int:
    """As exported: a profile with small batches does not keep the next from larger ones."""
    if _EXPORTED_BATCH in config.parameters:
        return int(config.parameters[_EXPORTED_BATCH].string_value)
    return int(config.max_batch_size)


def _set_instances(config: model_config_pb2.ModelConfig, settings: ModelSettings) -> None:
    config.ClearField("instance_group")
    kind = _GROUP.KIND_GPU if settings.on_gpu else _GROUP.KIND_CPU
    group = config.instance_group.add(count=settings.instances, kind=kind)
    if settings.slots:
        group.rate_limiter.resources.add(name=SLOT, count=min(settings.slots, GPU_SLOTS))
    if settings.priority:
        group.rate_limiter.priority = settings.priority


def _set_accelerator(config: model_config_pb2.ModelConfig, settings: ModelSettings) -> None:
    config.ClearField("optimization")
    if settings.accelerator is None:
        return
    parameters: dict[str, str] = dict(settings.accelerator_parameters)
    if settings.accelerator == "tensorrt":
        # One engine for all batches, tuned for the largest: what comes under load.
        for name, batch in (("min", 1), ("opt", config.max_batch_size), ("max", config.max_batch_size)):
            parameters[f"trt_profile_{name}_shapes"] = _shapes(config, batch)
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerators.add(name=settings.accelerator, parameters=parameters)
    if settings.accelerator == "tensorrt":
        # What TensorRT leaves over is computed by CUDA; the seeded noise, in 64-bit integers, may be.
        accelerators.add(name="cuda", parameters={"use_tf32": "1"})


def _shapes(config: model_config_pb2.ModelConfig, batch: int) -> str:
    return ",".join(f"{tensor.name}:{'x'.join(map(str, (batch, *tensor.dims)))}" for tensor in config.input)


def _set_warmup(config: model_config_pb2.ModelConfig, sides: Sequence[int]) -> None:
    """Has each size that is tuned for run before there is traffic; a side of 0: nothing is open."""
    shipped = [config.model_warmup[0]] if config.model_warmup else []
    config.ClearField("model_warmup")
    for first in shipped:
        for batch, side in itertools.product(sorted({1, config.max_batch_size}), sides):
            warmup = config.model_warmup.add()
            warmup.CopyFrom(first)
            warmup.batch_size = batch
            warmup.name = f"batch of {batch}" + (f", {side}x{side}" if side else "")
            if side:
                for value in warmup.inputs.values():
                    value.dims[:2] = [side, side]


def _sides(settings: ModelSettings, card: Mapping[str, Any]) -> Sequence[int]:
    """Of pictures to warm up with, within what the model takes."""
    least, most = int(card.get("min_size", 1)), int(card.get("max_size", max(settings.warm_sides)))
    return sorted({min(max(side, least), most) for side in settings.warm_sides})


def _is_open(config: model_config_pb2.ModelConfig) -> bool:
    """Whether clients choose height and width."""
    return any(-1 in tensor.dims for tensor in config.input)


def _is_same(source: Path, target: Path) -> bool:
    return target.exists() and target.samefile(source)


def _comment(profile: Profile) -> str:
    return f"Written by `ganserve repository render --profile {profile.name}`; render again to change it."
