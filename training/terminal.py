"""What the commands of `gantrain` share: where they write, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from training.errors import GantrainError

console = Console(stderr=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Failures a user can mend end the command with their message; others keep their traceback."""
    try:
        yield
    except GantrainError as error:
        console.print("[red]error:[/red]", end=" ")
        console.print(str(error), highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)
