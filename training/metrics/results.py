"""What an evaluation found, as it is written to `metrics.json` and travels into model cards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from training.errors import GantrainError
from training.metrics.kid import KID
from training.metrics.memorization import Memorization
from training.metrics.path_length import PathLength

METRICS = "metrics.json"


class EvaluationError(GantrainError):
    """A checkpoint cannot be evaluated with what is there; the message says what is missing."""


class GeneratorMetrics(BaseModel):
    """How a generator's images compare with held-out ones.

    Attributes:
        kind: `generator`.
        kid: Generated against held-out images.
        kid_real: Training against held-out images: what a perfect generator would reach.
        kid_untrained: A freshly initialised generator of the same size against held-out images.
        fid: Generated against held-out images.
        fid_real: Training against held-out images.
        fid_untrained: A freshly initialised generator against held-out images.
        precision: Share of generated images among real ones.
        recall: Share of held-out images that could be generated.
        path_length: Perceptual path lengths in w.
        memorization: How near generated images come to training images.
        features: What the images were compared by.
        protocol: Sizes and draws of the estimates.
    """

    kind: Literal["generator"] = "generator"
    kid: KID
    kid_real: KID
    kid_untrained: KID
    fid: float
    fid_real: float
    fid_untrained: float
    precision: float
    recall: float
    path_length: PathLength
    memorization: Memorization
    features: str
    protocol: str


class PairScores(BaseModel):
    """How far images are from those they should be; means over the pairs.

    Attributes:
        l1: Mean absolute difference, in levels of 0…255.
        psnr: In dB, RGB.
        ssim: RGB.
        feature_distance: As named beside.
    """

    l1: float
    psnr: float
    ssim: float
    feature_distance: float


class TranslatorMetrics(BaseModel):
    """How a translator's outputs compare with the targets of held-out pairs, and what costs nothing reaches.

    Attributes:
        kind: `translator`.
        source: Side of the pairs that was translated.
        scores: Outputs against targets; None if the dataset has no pairs.
        scores_copy: The inputs themselves against the targets.
        scores_constant: The one colour of highest mean PSNR against these very targets.
        scores_training_mean: The mean colour of the training targets.
        kid: Outputs against held-out images of the target side.
        kid_copy: Inputs against held-out images of the target side.
        feature_distance: What feature distances were computed with.
        features: What KID compared by.
        protocol: Sizes and draws.
    """

    kind: Literal["translator"] = "translator"
    source: Literal["A", "B"]
    scores: PairScores | None
    scores_copy: PairScores | None
    scores_constant: PairScores | None
    scores_training_mean: PairScores | None
    kid: KID
    kid_copy: KID
    feature_distance: str
    features: str
    protocol: str


class UpscalingScores(BaseModel):
    """How far upscaled images are from the originals; means over the images, borders left out.

    Attributes:
        psnr_y: In dB, luma.
        ssim_y: Luma.
        psnr_rgb: In dB, RGB.
        ssim_rgb: RGB.
        feature_distance: As named beside.
    """

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    feature_distance: float


class UpscalerMetrics(BaseModel):
    """How upscaled images compare with the originals.

    Attributes:
        kind: `upscaler`.
        scale: Height of the output over height of the input.
        dataset: `benchmark` or `held-out`.
        images: How many images were upscaled.
        scores: Of this model.
        scores_bicubic: Of bicubic interpolation.
        scores_against: Of other models, by name.
        feature_distance: What feature distances were computed with.
        protocol: How images were made small, and what was compared.
    """

    kind: Literal["upscaler"] = "upscaler"
    scale: int
    dataset: Literal["benchmark", "held-out"]
    images: int
    scores: UpscalingScores
    scores_bicubic: UpscalingScores
    scores_against: dict[str, UpscalingScores] = {}
    feature_distance: str
    protocol: str


ModelMetrics = Annotated[GeneratorMetrics | TranslatorMetrics | UpscalerMetrics, Field(discriminator="kind")]


class RunMetrics(BaseModel):
    """What was measured of a run.

    Attributes:
        family: Which kind of GAN.
        step: Optimisation step of the checkpoint.
        kimg: Thousands of training images that it had been shown.
        device: Where it was measured.
        models: Metrics of each model that the run makes, by its public name.
    """

    family: str
    step: int
    kimg: float
    device: str
    models: dict[str, ModelMetrics]
