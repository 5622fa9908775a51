"""What a run of StyleGAN2 is configured by."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from training.augment import AugmentConfig
from training.config import DataConfig, OptimizationConfig, RunConfig, Section

N = TypeVar("N", bound="GeneratorConfig | DiscriminatorConfig")


class GeneratorConfig(Section):
    """Size of the StyleGAN2 generator."""

    z_dim: int = Field(512, gt=0, description="Width of z.")
    w_dim: int = Field(512, gt=0, description="Width of w.")
    mapping_layers: int = Field(8, gt=0, description="Fully connected layers from z to w.")
    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")
    num_fp16_res: int = Field(
        4,
        ge=0,
        description="Highest resolutions that compute in half precision, if `compute.precision` does.",
    )


class DiscriminatorConfig(Section):
    """Size of the StyleGAN2 discriminator."""

    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")
    mbstd_group_size: int = Field(4, gt=0, description="Images compared by the minibatch standard deviation.")
    num_fp16_res: int = Field(
        4,
        ge=0,
        description="Highest resolutions that compute in half precision, if `compute.precision` does.",
    )
    freeze_layers: int = Field(
        0,
        ge=0,
        description="Convolutions, from the image on, that keep the weights they start from (Freeze-D).",
    )


class StyleGAN2Optimization(OptimizationConfig):
    """How the two networks are optimised."""

    g_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, generator.")
    d_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, discriminator.")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of the second moment.")
    r1_gamma: float = Field(ge=0, description="Weight of the R1 penalty.")
    r1_interval: int = Field(16, gt=0, description="Steps between two R1 penalties (lazy regularisation).")
    pl_weight: float = Field(2.0, ge=0, description="Weight of the path length penalty; 0 leaves it out.")
    pl_interval: int = Field(4, gt=0, description="Steps between two path length penalties.")
    pl_decay: float = Field(0.01, gt=0, le=1, description="How fast the mean path length follows.")
    pl_batch_shrink: int = Field(
        2, gt=0, description="Path lengths are measured on this fraction of a batch."
    )
    style_mixing_prob: float = Field(0.9, ge=0, le=1, description="Share of images made from two w.")
    ema_kimg: float = Field(10.0, gt=0, description="Half-life of the averaged generator, in kimg.")
    ema_rampup: float | None = Field(
        0.05, gt=0, description="Half-life as a share of the images shown so far, while that is shorter."
    )


class StyleGAN2Config(RunConfig):
    """A run of StyleGAN2."""

    family: Literal["stylegan2"] = "stylegan2"
    conditional: bool = Field(
        False, description="Whether the class of an image is learnt and can be asked for."
    )
    data: DataConfig
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimization: StyleGAN2Optimization
    augment: AugmentConfig = AugmentConfig()

    @field_validator("data")
    @classmethod
    def _doubles_from_4(cls, data: DataConfig) -> DataConfig:
        if data.resolution & (data.resolution - 1):
            raise PydanticCustomError(
                "power_of_two", "resolution must be a power of two; got {found}", {"found": data.resolution}
            )
        return data

    @field_validator("generator", "discriminator")
    @classmethod
    def _has_feature_maps(cls, network: N, info: ValidationInfo) -> N:
        if "data" in info.data and network.channel_base < info.data["data"].resolution:
            raise PydanticCustomError(
                "feature_maps",
                "channel_base={base} leaves no feature maps at resolution {resolution}",
                {"base": network.channel_base, "resolution": info.data["data"].resolution},
            )
        return network
