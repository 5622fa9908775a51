"""Triton's model configs as text: read strictly against Triton's own protobuf, and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from service.repository.profiles import Part

CONFIG: Final = "config.pbtxt"


class RepositoryError(Exception):
    """A model repository is not as it should be; the text says what, and where."""


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """Reads a config; fields and values that Triton does not know are errors.

    Args:
        path: The `config.pbtxt`.

    Raises:
        RepositoryError: If it cannot be read or is not a config.
    """
    try:
        return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(f"{path}: {error}") from None


def write_config(path: Path, config: model_config_pb2.ModelConfig, comment: str) -> None:
    """Writes a config in one piece: whoever reads meanwhile reads the old one or the new one.

    Args:
        path: The `config.pbtxt`.
        config: What goes into it.
        comment: First line.
    """
    stage = path.with_name(f".{path.name}.new")
    stage.write_text(f"# {comment}\n{text_format.MessageToString(config)}", "utf-8")
    stage.replace(path)


def card_of(config: model_config_pb2.ModelConfig, where: Path) -> Mapping[str, Any]:
    """The card in a config.

    Args:
        config: Of a model.
        where: Its file, for messages.

    Raises:
        RepositoryError: If there is none.
    """
    try:
        card = json.loads(config.parameters["card"].string_value if "card" in config.parameters else "")
    except ValueError:
        card = None
    if not isinstance(card, dict):
        raise RepositoryError(f"{where}: the config has no card, which `gantrain export` writes")
    return card


def part_of(card: Mapping[str, Any], where: Path) -> Part:
    """Which part a model plays, by its card.

    Raises:
        RepositoryError: If the card does not say.
    """
    kind, role = card.get("kind"), card.get("role")
    if kind == "generator" and role == "mapping":
        return "mapping"
    if kind == "generator" and role == "synthesis":
        return "synthesis"
    if kind == "translator":
        return "translator"
    if kind == "upscaler":
        return "upscaler"
    raise RepositoryError(f"{where}: a card of kind {kind!r} with role {role!r}")
