"""What a run of super-resolution is configured by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.config import DataConfig, OptimizationConfig, RunConfig, Section
from training.data.degrade import DegradationConfig
from training.losses import AdversarialName
from training.perceptual import PerceptualConfig


class CropConfig(DataConfig):
    """Which crops are learnt from. `resolution` is the size of the dataset's tiles."""

    crop: int = Field(96, gt=0, description="Side of a high-resolution crop in pixels.")
    mirror: bool = Field(True, description="Whether half the crops are mirrored left to right.")
    rotate: bool = Field(True, description="Whether crops are turned by multiples of 90°.")


class GeneratorConfig(Section):
    """Which generator, and its size."""

    architecture: Literal["srresnet", "rrdb", "compact"] = Field(
        "srresnet", description="SRGAN's, ESRGAN's, or the small one of Real-ESRGAN."
    )
    features: int = Field(64, gt=0, description="Channels.")
    blocks: int | None = Field(
        None, gt=0, description="Blocks, of `compact` convolutions; as published if not given: 16, 23, 16."
    )
    norm: Literal["batch", "none"] = Field("batch", description="Normalisation in `srresnet`.")
    growth: int = Field(32, gt=0, description="Channels that a convolution adds in a dense block of `rrdb`.")


class DiscriminatorConfig(Section):
    """Which discriminator, and its size; for stage `gan`."""

    architecture: Literal["vgg", "unet"] = Field(
        "vgg", description="SRGAN's, which judges an image, or Real-ESRGAN's, which judges each pixel."
    )
    features: int = Field(64, gt=0, description="Channels of the first convolution.")
    norm: Literal["batch", "spectral"] = Field(
        "batch", description="Normalisation in `vgg`; `unet` has spectral normalisation."
    )


class LossConfig(Section):
    """What the generator minimises. Stage `pixels` has the pixel loss alone."""

    pixel: Literal["l1", "mse"] = Field("l1", description="How pixels are compared.")
    adversarial: AdversarialName = Field("nonsaturating", description="Game of the two networks.")
    pixel_weight: float = Field(1.0, ge=0, description="Weight of the pixel loss.")
    perceptual_weight: float = Field(1.0, ge=0, description="Weight of the perceptual loss.")
    adversarial_weight: float = Field(1e-3, ge=0, description="Weight of the adversarial loss.")


class SRGANOptimization(OptimizationConfig):
    """How the networks are optimised."""

    batch: int = Field(16, gt=0, description="Crops a step, over all processes.")
    g_lr: float = Field(1e-4, gt=0, description="Adam's learning rate, generator.")
    d_lr: float = Field(1e-4, gt=0, description="Adam's learning rate, discriminator.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    ema_kimg: float = Field(
        10.0, ge=0, description="Half-life of the averaged generator, in kimg; 0 for no average."
    )


class SRGANConfig(RunConfig):
    """A run of super-resolution: on pixels first, then against a discriminator."""

    family: Literal["srgan"] = "srgan"
    stage: Literal["pixels", "gan"] = Field(
        "pixels",
        description="What is minimised; stage `gan` starts from a run of `pixels` by `init_from`.",
    )
    scale: Literal[2, 3, 4] = Field(4, description="How many times larger images become.")
    data: CropConfig
    degradation: DegradationConfig = DegradationConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    perceptual: PerceptualConfig = PerceptualConfig()
    loss: LossConfig = LossConfig()
    optimization: SRGANOptimization

    @model_validator(mode="after")
    def _fits(self) -> SRGANConfig:
        crop, d = self.data.crop, self.discriminator
        if crop % self.scale or crop > self.data.resolution:
            raise ValueError(
                f"data.crop={crop} must be a multiple of scale={self.scale} and at most "
                f"data.resolution={self.data.resolution}"
            )
        if self.stage == "gan" and d.architecture == "unet" and crop % 8:
            raise ValueError(f"data.crop={crop} must be a multiple of 8 for the discriminator `unet`")
        # With statistics of the batch, the slope at one image depends on others (Gulrajani et al. 2017).
        by_batch = d.architecture == "vgg" and d.norm == "batch"
        if self.stage == "gan" and self.loss.adversarial == "wgan-gp" and by_batch:
            raise ValueError("loss.adversarial=wgan-gp needs discriminator.norm=spectral, or the `unet`")
        return self
