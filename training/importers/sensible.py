"""What is said of a file that PyTorch cannot compute with, or that takes more memory than there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import GantrainError
from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError

_NO_MEMORY = "not enough memory", "can't allocate memory"
_SHOWN = 200
_FAULT = "has weights that do not go together, or of which no network can be made"


@contextmanager
def sensible(path: Path, fault: str = _FAULT) -> Iterator[None]:
    """Within it, what fails for the numbers of a file is said as a refusal of the file.

    The formats check what they know may be wrong; this is for what nobody thought of.

    Args:
        path: The file, for messages.
        fault: What is wrong with it if a computation fails.

    Raises:
        UnreadableWeightsError: If memory runs out.
        UnsupportedWeightsError: If a computation fails.
    """
    try:
        yield
    except GantrainError:
        raise
    except (MemoryError, RecursionError) as error:
        raise _too_large(path) from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        text = str(error)
        if any(mark in text for mark in _NO_MEMORY):
            raise _too_large(path) from error
        first = text.partition("\n")[0][:_SHOWN]
        raise UnsupportedWeightsError(f"{path} {fault}: {type(error).__name__}, {first}") from error


def _too_large(path: Path) -> UnreadableWeightsError:
    return UnreadableWeightsError(
        f"{path} needs more memory than there is; nothing in it was executed, and nothing was written of it"
    )
