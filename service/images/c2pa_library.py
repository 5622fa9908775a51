"""What signing and reading manifests have in common: how the C2PA library is used, and what is our own."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Final

RECIPE_LABEL: Final = "org.ganserve.recipe"
"""Label of the assertion that holds the recipe."""

OFFLINE: Final[Mapping[str, Any]] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
"""Settings: nothing is fetched from elsewhere, whatever a manifest says; no thumbnail makes files larger."""

MISSING_LIBRARY: Final = "the C2PA library is missing; `pip install 'ganserve[c2pa]'` installs its extra"


def c2pa_installed() -> bool:
    """Whether the extra `c2pa` is installed."""
    return importlib.util.find_spec("c2pa") is not None
