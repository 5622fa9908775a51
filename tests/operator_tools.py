"""The operator's programs that tests run: helm, promtool and the like, from the PATH or `.tools/bin`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_FETCHED = Path(__file__).parents[1] / ".tools" / "bin"


def tool(name: str) -> str:
    """The path of a program.

    Args:
        name: `helm`, `kubectl`, `prometheus`, `promtool`, `alertmanager`, `amtool` or `hadolint`.

    Raises:
        FileNotFoundError: It is not there; the message says how to get it.
    """
    # Packages of Python put programs beside the interpreter, which need not be on the PATH.
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{_FETCHED}:{beside}") or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: make tools")
    return found
