"""Run configurations: typed, read from small TOML presets, overridable key by key."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from training.errors import GantrainError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).parent / "presets"


class ConfigError(GantrainError):
    """A configuration cannot be used; the message names the key and what would be accepted."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(_Config):
    """Which images are learnt from."""

    recipe: str = Field(description="Recipe of `gantrain prepare` that makes the dataset.")
    resolution: int = Field(description="Side of an image in pixels, a power of two.")

    @field_validator("resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if not 8 <= value <= 1024 or value & (value - 1):
            raise ValueError("must be a power of two from 8 to 1024")
        return value


class GeneratorConfig(_Config):
    """Size of the StyleGAN2 generator."""

    z_dim: int = Field(512, gt=0, description="Width of z.")
    w_dim: int = Field(512, gt=0, description="Width of w.")
    mapping_layers: int = Field(8, gt=0, description="Fully connected layers from z to w.")
    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")


class DiscriminatorConfig(_Config):
    """Size of the StyleGAN2 discriminator."""

    channel_base: int = Field(16384, gt=0, description="Feature maps times resolution.")
    channel_max: int = Field(512, gt=0, description="Most feature maps at any resolution.")
    mbstd_group_size: int = Field(4, gt=0, description="Images compared by the minibatch standard deviation.")


class OptimizationConfig(_Config):
    """How the two networks are optimised."""

    batch: int = Field(32, gt=0, description="Images a step.")
    kimg: float = Field(gt=0, description="Thousands of real images shown in all.")
    g_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, generator.")
    d_lr: float = Field(0.0025, gt=0, description="Adam's learning rate, discriminator.")
    lr_decay_kimg: float = Field(
        0.0, ge=0, description="Both learning rates fall linearly to zero over the last so many kimg."
    )
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of the second moment.")
    r1_gamma: float = Field(ge=0, description="Weight of the R1 penalty.")
    r1_interval: int = Field(16, gt=0, description="Steps between two R1 penalties (lazy regularisation).")
    style_mixing_prob: float = Field(0.9, ge=0, le=1, description="Share of images made from two w.")
    ema_kimg: float = Field(10.0, gt=0, description="Half-life of the averaged generator, in kimg.")
    ema_rampup: float | None = Field(
        0.05, gt=0, description="Half-life as a share of the images shown so far, while that is shorter."
    )


class RunConfig(_Config):
    """Everything that decides what a run learns."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Public name of the model.")
    title: str = Field(description="What it makes, for people.")
    family: Literal["stylegan2"] = "stylegan2"
    seed: int = Field(0, ge=0, description="Seed of weights, latents, noise and sampling.")
    snapshot_kimg: float = Field(10.0, gt=0, description="Thousands of images between checkpoints.")
    data: DataConfig
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimization: OptimizationConfig


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_config(preset: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Reads a preset and applies `key.path=value` overrides.

    Args:
        preset: Name of a shipped preset, or path of a TOML file.
        overrides: Such as `generator.channel_base=8192`; values are written as in TOML, bare words are text.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: If there is no such preset, a key is unknown, or a value is not accepted.
    """
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.exists():
        raise ConfigError(f"no preset {preset!r}; there are: {', '.join(preset_names())}")
    try:
        tree = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is not of the form key.path=value")
        _set(tree, key.strip().split("."), _toml_value(value.strip()))
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> RunConfig:
    """Validates a nested mapping.

    Raises:
        ConfigError: Naming the key, and the nearest known one if it is unknown.
    """
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, _known_keys(RunConfig), n=1)
            raise ConfigError(
                f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            ) from None
        raise ConfigError(f"{key}: {problem['msg'].lower()}") from None


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key!r} is a value, not a section")
    tree[keys[-1]] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
