"""Versions of a model side by side: a new one is put beside the one that serves, and can be taken back.

Triton has one config for all versions of a model. The parameter `card` is the newest version's; an older
one's is `card.<version>`, which gateway and embedded Triton look for first.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonclient.grpc import model_config_pb2

from service.repository.config_text import CONFIG, RepositoryError, card_of, read_config, write_config
from service.repository.profiles import PROFILES, VERSIONS_KEPT
from service.repository.rendering import render_config

LAST: Final = "last_version"
"""Parameter with the highest version number ever given: none is given twice, since Triton's response cache
outlives a reload and tells versions apart by their numbers alone."""

_MODEL_FILES: Final = {
    "onnxruntime": "model.onnx",
    "pytorch": "model.pt",
    "mnn": "model.mnn",
}
_COMMENT: Final = "Written by `ganserve repository`; publish, withdraw and render change it."


@dataclass(frozen=True)
class _Part:
    """One Triton model of a repository."""

    folder: Path
    config: model_config_pb2.ModelConfig

    @property
    def versions(self) -> list[int]:
        """Version folders, oldest first."""
        return sorted(
            int(each.name) for each in self.folder.iterdir() if each.is_dir() and each.name.isdecimal()
        )

    @property
    def last(self) -> int:
        """The highest version number that was ever given."""
        said = self.config.parameters[LAST].string_value if LAST in self.config.parameters else "0"
        return max(int(said), *self.versions, 0)

    def card(self, version: int) -> str:
        """The card of a version."""
        key = f"card.{version}"
        return str(self.config.parameters[key if key in self.config.parameters else "card"].string_value)


def publish(source: Path, repository: Path, name: str) -> int:
    """Puts the newest version of a model of `source` beside those that `repository` has of it.

    Nothing changes for Triton until it is told to load the model.

    Args:
        source: A repository that `gantrain export` wrote.
        repository: That Triton serves. The profile it was rendered with is that of the new version as well.
        name: Public name of the model.

    Returns:
        Its version number there.

    Raises:
        RepositoryError: If `source` has no such model or a damaged one, or it does not fit what is served
            under its name: another network's tensors. Then Triton finds everything as it was.
    """
    new, served = _parts(source, name), _parts(repository, name)
    if not new:
        raise RepositoryError(f"{source} has no model {name!r}")
    if served.keys() != new.keys():
        raise RepositoryError(
            f"{repository} has {_names(served)} of {name!r}, and {source} has {_names(new)}; "
            "a model that is new is rendered into a folder of its own and moved there"
        )
    version = 1 + max(part.last for part in served.values())
    configs = {part: _with_version(new[part], served[part], version) for part in new}
    for part, config in configs.items():
        newest = new[part].folder / str(new[part].versions[-1])
        _check_digest(newest, config)
        stage = served[part].folder / ".publishing"
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(newest, stage)
    # The config first: each version there finds its own card in it, whether the new one has come or not.
    for part, config in configs.items():
        write_config(served[part].folder / CONFIG, config, _COMMENT)
    for part in configs:
        (served[part].folder / ".publishing").rename(served[part].folder / str(version))
    return version


def withdraw(repository: Path, name: str) -> tuple[int, int]:
    """Takes the newest version of a model away; Triton goes back when it is told to load the model.

    Args:
        repository: That Triton serves.
        name: Public name of the model.

    Returns:
        The version that was taken away, and the one that is the newest now.

    Raises:
        RepositoryError: If there is no such model, or no older version of it.
    """
    parts = _parts(repository, name)
    if not parts:
        raise RepositoryError(f"{repository} has no model {name!r}")
    newest = max(part.versions[-1] for part in parts.values() if part.versions)
    older = {part: [v for v in parts[part].versions if v < newest] for part in parts}
    if not all(older.values()):
        raise RepositoryError(f"version {newest} of {name!r} is the only one there is")
    for part, versions in older.items():
        folder, config = parts[part].folder, parts[part].config
        withdrawn = folder / ".withdrawn"
        shutil.rmtree(withdrawn, ignore_errors=True)
        if (folder / str(newest)).exists():
            (folder / str(newest)).rename(withdrawn)
        config.parameters[LAST].string_value = str(parts[part].last)
        config.parameters["card"].string_value = parts[part].card(versions[-1])
        config.parameters.pop(f"card.{versions[-1]}", None)
        write_config(folder / CONFIG, config, _COMMENT)
        shutil.rmtree(withdrawn, ignore_errors=True)
    return newest, max(versions[-1] for versions in older.values())


def _parts(repository: Path, name: str) -> dict[str, _Part]:
    """The Triton models of a public name, by Triton's name."""
    parts = {}
    for path in sorted(repository.glob(f"*/{CONFIG}")):
        config = read_config(path)
        if card_of(config, path).get("name") == name:
            parts[path.parent.name] = _Part(path.parent, config)
    for part in parts.values():
        if not part.versions:
            raise RepositoryError(f"{part.folder} has no version in it")
    return parts


def _with_version(new: _Part, served: _Part, version: int) -> model_config_pb2.ModelConfig:
    """The config once the new version is there."""
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(new.config)
    for field in ("input", "output", "backend"):
        if getattr(config, field) != getattr(served.config, field):
            raise RepositoryError(
                f"{config.name}: the new version's `{field}` is not that of the one that is served, and all "
                "versions have one config; serve it under a name of its own"
            )
    rendered = _text(served.config, "profile")
    for profile in PROFILES.values():
        if profile.name == rendered:
            config = render_config(config, profile, new.folder / CONFIG)
    config.version_policy.latest.num_versions = VERSIONS_KEPT
    config.parameters["card"].string_value = new.card(new.versions[-1])
    for older in served.versions:
        config.parameters[f"card.{older}"].string_value = served.card(older)
    config.parameters[LAST].string_value = str(version)
    return config


def _check_digest(folder: Path, config: model_config_pb2.ModelConfig) -> None:
    file = folder / (config.default_model_filename or _MODEL_FILES.get(config.backend, ""))
    if not file.is_file():
        raise RepositoryError(f"{file} is missing")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if card_of(config, file).get("digest") != digest:
        raise RepositoryError(f"{file} is not the file its card describes; export the model again")


def _text(config: model_config_pb2.ModelConfig, name: str) -> str:
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def _names(parts: Mapping[str, _Part]) -> str:
    return " and ".join(parts) or "nothing"
