"""What the commands of `gantrain` share: where they write, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from training.errors import GantrainError

console = Console(stderr=True)

MAX_MESSAGE = 2_000
"""Characters of a failure's message; names out of a file may make it longer."""


def printable(text: str) -> str:
    """Text without what a terminal obeys, or cannot be written: such characters as their escapes."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Failures a user can mend end the command with their message; others keep their traceback."""
    try:
        yield
    except GantrainError as error:
        console.print("[red]error:[/red]", end=" ")
        message = str(error) if len(str(error)) <= MAX_MESSAGE else f"{str(error)[:MAX_MESSAGE]}…"
        console.print(printable(message), highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)
