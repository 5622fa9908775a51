"""The model file that a Python-based backend opens, and the parameters of its config.

Copied beside each backend's `model.py`, which imports it by its bare name.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils


def find_model_file(args: dict[str, str], config: dict[str, Any], usual_name: str) -> Path:
    """The file of the version at hand, checked against the model's card.

    Args:
        args: What Triton says about the instance.
        config: The model's config.
        usual_name: What the file is called unless the config says otherwise.

    Raises:
        pb_utils.TritonModelException: The file is missing, or is not the one its card describes, so that its
            pixels would not be the card's.
    """
    filename = config.get("default_model_filename") or usual_name
    path = Path(args["model_repository"], args["model_version"], filename)
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise pb_utils.TritonModelException(f"cannot read {path}: {error.strerror}") from None
    # One config for all versions: an older one's card is beside the newest one's.
    card = parameter(config, f"card.{args['model_version']}") or parameter(config, "card")
    expected = json.loads(card).get("digest") if card else None
    digest = hashlib.sha256(payload).hexdigest()
    if expected is not None and digest != expected:
        raise pb_utils.TritonModelException(
            f"{path} is not the file its card describes: sha256 is {digest}, the card says {expected}; "
            "export the model again or restore the file"
        )
    return path


def parameter(config: dict[str, Any], name: str) -> str | None:
    """A string parameter of the config, or None if it is absent or empty."""
    value = config.get("parameters", {}).get(name, {}).get("string_value")
    return value if value else None
