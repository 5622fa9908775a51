"""Run configurations out of TOML files and `key=value` overrides."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from training.config import RunConfig
from training.data.recipe import read_provenance
from training.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_of(name: str) -> str | None:
    """The preset that trains the model of this name, if one does."""
    for preset in preset_names():
        if tomllib.loads((PRESETS / f"{preset}.toml").read_text()).get("name") == name:
            return preset
    return None


def load_config(preset: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Reads a preset and applies `key.path=value` overrides.

    Args:
        preset: Name of a shipped preset, or path of a TOML file.
        overrides: Such as `generator.channel_base=8192`; values are written as in TOML, bare words are text.

    Returns:
        The validated configuration, of the type that its family declares.

    Raises:
        ConfigError: If there is no such preset, a key is unknown, or a value is not accepted.
    """
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.exists():
        near = difflib.get_close_matches(preset, preset_names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(preset_names())}"
        raise ConfigError(f"no preset {preset!r}{hint}")
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
    """Validates a nested mapping against what its family declares.

    Raises:
        ConfigError: Naming the key, and the nearest known one if it is unknown.
    """
    from training.families.table import FAMILIES  # families need torch, which is slow to import

    name = str(tree.get("family", RunConfig.model_fields["family"].default))
    if name not in FAMILIES:
        raise ConfigError(f"family: no family {name!r}; there are: {', '.join(FAMILIES)}")
    config_type = FAMILIES[name].Config
    try:
        return config_type.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known_keys(config_type), n=1)
            raise ConfigError(
                f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            ) from None
        if not key:  # found by looking at several keys, which the message names
            raise ConfigError(problem["msg"].removeprefix("Value error, ")) from None
        raise ConfigError(f"{key}: {problem['msg'].lower()}") from None


def dataset_overrides(dataset: str, root: Path) -> list[str]:
    """The overrides behind `gantrain train --dataset`.

    The title of a preset tells of the preset's dataset, so it is replaced by that of this one.

    Args:
        dataset: Name of a prepared dataset such as `cats-128`, or path of one made by other means.
        root: The folder that prepared datasets lie in.

    Raises:
        ConfigError: If there is neither.
    """
    recipe, _, side = dataset.rpartition("-")
    if recipe and side.isdigit():
        title = _title_of(root / dataset) or recipe
        return [f"data.recipe={recipe}", f"data.resolution={side}", f"title={_toml_text(title)}"]
    if (path := Path(dataset)).exists():
        title = _title_of(path) or path.stem
        return [
            f"data.recipe={_toml_text(path.stem)}",
            f"data.path={_toml_text(dataset)}",
            f"title={_toml_text(title)}",
        ]
    there = ", ".join(sorted(p.name for p in root.glob("*-*"))) or "none yet"
    raise ConfigError(f"no dataset {dataset!r} in {root} (there: {there}), nor a folder or zip of that path")


def _title_of(dataset: Path) -> str | None:
    provenance = read_provenance(dataset)
    return None if provenance is None else provenance.title


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a configuration, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
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
