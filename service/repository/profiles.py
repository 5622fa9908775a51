"""How each kind of model is run in production: one table, with the reason beside each choice.

A profile is laid over the shipped config by `service.repository.rendering`; nobody writes a config by hand.
The GPU profiles follow the source of Triton's onnxruntime backend and were not run on a GPU: the gateway's
golden check (`close`) stands between them and traffic, as it does for any model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

Part: TypeAlias = Literal["mapping", "synthesis", "translator", "upscaler"]
ProfileName: TypeAlias = Literal["cpu", "gpu", "gpu-tensorrt", "gpu-shared"]
PROFILE_NAMES: Final[tuple[ProfileName, ...]] = get_args(ProfileName)

VERSIONS_KEPT: Final = 2
"""Versions of a model that are loaded at a time: the newest, and the one it can be taken back to."""

GPU_SLOTS: Final = 2
"""Executions on one GPU at a time, of models that take slots: one computes while another copies."""

_WORKSPACE: Final = 4 << 30


@dataclass(frozen=True)
class ModelSettings:
    """How one part of a model is run.

    Attributes:
        on_gpu: Whether its instances are on the GPUs, one group over all that Triton sees.
        instances: On each device.
        max_batch_size: Largest batch; a config that says less keeps what it says.
        batch_pixels: Most output pixels of a batch, where the size of the output is fixed; 0 for no limit.
        accelerator: What computes on the GPU; None for ONNX Runtime's own choice.
        accelerator_parameters: Of that accelerator.
        parameters: Of the backend, as Triton's onnxruntime backend reads them from the config's `parameters`.
        cached: Whether Triton's response cache answers what was asked before.
        slots: Of the rate limiter's, that an execution takes; 0 to be left out of account.
        priority: Of the rate limiter: one of priority 2 is chosen half as often as one of priority 1.
        warm_sides: Sides of square pictures that an image model is warmed up with.
    """

    on_gpu: bool = False
    instances: int = 1
    max_batch_size: int = 16
    batch_pixels: int = 0
    accelerator: Literal["cuda", "tensorrt"] | None = None
    accelerator_parameters: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    cached: bool = False
    slots: int = 0
    priority: int = 0
    warm_sides: tuple[int, ...] = (64,)


@dataclass(frozen=True)
class Profile:
    """Settings of all models on one kind of machine.

    Attributes:
        name: What operators call it.
        parts: By kind of model, and half of a generator; what differs between models of a kind follows from
            their tensors and cards.
    """

    name: ProfileName
    parts: Mapping[Part, ModelSettings]


# Equal inputs give equal pixels, noise included. From the cache an image of 64² takes 0.3 ms of CPU and not
# 10, and 12 kB of memory; one of 1024² saves 3 s, for 3 MB. A mapping's answer takes the room of a small
# image's and saves a tenth of that. Pictures sent to translators and upscalers rarely come twice, and one of
# their answers displaces hundreds of others.
_MAPPING: Final = ModelSettings()
_SYNTHESIS: Final = ModelSettings(cached=True)

# By measurement, tests/benchmarks/results/2026-11-22-cpu-sizing.txt. At 64² a batch of 16 takes two thirds of
# the CPU of as many single images. At 256² a batch saves nothing, and above two rows a core only makes others
# wait; at 1024² two rows take 5 GB where one takes 2. Upscaling, 2 tiles of 192² save 15%, 4 little more. A
# batch is computed in parts, one thread a core, so one instance uses all cores: a second takes as much CPU an
# image, and memory of its own.
_CPU: Final = Profile(
    name="cpu",
    parts={
        "mapping": _MAPPING,
        "synthesis": replace(_SYNTHESIS, batch_pixels=1 << 18),
        "translator": ModelSettings(max_batch_size=8),
        "upscaler": ModelSettings(max_batch_size=4),
    },
)

# TF32 keeps float32's range, which fp16 does not: affine, demodulation and to-RGB layers overflow or lose
# colours in fp16, and neither accelerator can be told to leave single layers out. Styles are computed without
# TF32, since their error is in every layer of the picture.
_CUDA: Final[Mapping[str, str]] = {"use_tf32": "1", "cudnn_conv_use_max_workspace": "1"}
# These four belong into `parameters`: Triton's backend overwrites what the accelerator says of them as soon
# as a config has any parameter, and every config of ours has its card there. 0: every algorithm is tried for
# each shape when it first comes, so warm-up does it; 1: a heuristic, for shapes that clients choose.
_FIXED_SHAPES: Final[Mapping[str, str]] = {"cudnn_conv_algo_search": "0", "arena_extend_strategy": "1"}
_ANY_SHAPES: Final[Mapping[str, str]] = {"cudnn_conv_algo_search": "1", "arena_extend_strategy": "1"}

_ON_GPU: Final = ModelSettings(
    on_gpu=True,
    accelerator="cuda",
    accelerator_parameters=_CUDA,
    parameters=_ANY_SHAPES,
)
_GPU: Final = Profile(
    name="gpu",
    parts={
        # Some matrix products on few rows: less work for one core than the way to the GPU and back, and
        # computed in float32 throughout. One thread, since others of the native backend would spin.
        "mapping": replace(_MAPPING, instances=2, parameters={"intra_op_thread_count": "1"}),
        # Two instances: one computes while the other's pixels are copied.
        "synthesis": replace(
            _ON_GPU, instances=2, batch_pixels=16 << 20, parameters=_FIXED_SHAPES, cached=True
        ),
        "translator": replace(_ON_GPU, max_batch_size=8, warm_sides=(64, 256)),
        "upscaler": replace(_ON_GPU, max_batch_size=8, warm_sides=(64, 192)),
    },
)

# Without an engine cache: ONNX Runtime names a cached engine by the file's name and the graph's node names,
# not by the weights, so two versions of a model would share one engine, and the newer would make the older's
# pixels. The timing cache holds measurements only, and makes a later build take seconds instead of minutes.
_TENSORRT: Final[Mapping[str, str]] = {
    "precision_mode": "FP32",
    "max_workspace_size_bytes": str(_WORKSPACE),
    "trt_engine_cache_enable": "0",
    "trt_timing_cache_enable": "1",
    "trt_timing_cache_path": "/var/cache/triton-tensorrt",
    "trt_builder_optimization_level": "3",
}
# Only where all shapes but the batch are fixed: an engine for any height and width would be built for the
# middle of a wide range, and anew beyond it.
_GPU_TENSORRT: Final = Profile(
    name="gpu-tensorrt",
    parts={
        **_GPU.parts,
        "synthesis": replace(
            _GPU.parts["synthesis"], accelerator="tensorrt", accelerator_parameters=_TENSORRT
        ),
    },
)

# For a GPU whose memory does not hold all models at work at once, and for no other. Of those that wait, the
# rate limiter takes the one with the fewest executions so far, times its priority, however long another has
# waited. Measured on CPUs: beside an upscaler that always had work, a generator that had been asked more
# before got no slot; with two slots it takes two such models. Priorities: what a batch takes, roughly.
_GPU_SHARED: Final = Profile(
    name="gpu-shared",
    parts={
        "mapping": _GPU.parts["mapping"],
        "synthesis": replace(_GPU.parts["synthesis"], instances=1, slots=1, priority=1),
        "translator": replace(_GPU.parts["translator"], slots=1, priority=2),
        "upscaler": replace(_GPU.parts["upscaler"], slots=1, priority=10),
    },
)

PROFILES: Final[Mapping[ProfileName, Profile]] = {
    profile.name: profile for profile in (_CPU, _GPU, _GPU_TENSORRT, _GPU_SHARED)
}
