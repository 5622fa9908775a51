"""How client commands reach the server, and what they say when that fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from service.client import Client, ClientError


def fail(message: str) -> NoReturn:
    """End the command with a sentence and exit code 1.

    Args:
        message: The sentence.
    """
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(1)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client, whose errors end the command with a sentence.

    Args:
        url: Of the gateway.

    Yields:
        The client.
    """
    from service.client import Client, ClientError

    try:
        client = Client(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    with client:
        try:
            yield client
        except ClientError as error:
            fail(sentence(url, error))


def sentence(url: str, error: ClientError) -> str:
    """What went wrong, and what to do about it where that is known.

    Args:
        url: Of the gateway.
        error: Of the client.
    """
    from service.client import ProblemError, UnreachableError

    text = str(error).rstrip(".")
    if isinstance(error, UnreachableError):
        if type(error.__cause__).__name__ == "ConnectError":
            return f"No ganserve at {url}; start one with `ganserve up` or `make serve`."
        return f"ganserve at {url} did not answer: {error.__cause__ or error}."
    if isinstance(error, ProblemError):
        hints = {
            "/problems/unauthenticated": "Set GANSERVE_API_KEY to one.",
            "/problems/model-not-found": "`ganserve models` lists what is served.",
            "/problems/deadline-exceeded": "Give it more time with --wait SECONDS.",
        }
        return f"{text}. {hints[error.type]}" if error.type in hints else f"{text}."
    return f"{text}."


def check_model(url: str, model: str, kind: str) -> None:
    """Ends the command with a sentence if a model is not there, or of another kind.

    One sentence now is better than the same for each image.

    Args:
        url: Of the gateway.
        model: Name of the model.
        kind: `generator`, `translator` or `upscaler`.
    """
    with connected(url) as client:
        card = client.model(model)
        if card.kind != kind:
            fitting = [one.name for one in client.models() if one.kind == kind]
            hint = f"give one of these: {', '.join(fitting)}" if fitting else "none is served"
            fail(f"{model} is a {card.kind}, no {kind}; {hint}.")


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Ends the command with a sentence if files cannot be written.

    Args:
        path: File or folder.
    """
    try:
        yield
    except OSError as error:
        fail(f"Cannot write to {path}: {error.strerror or error}.")


def already_there(path: Path, *, overwrite: bool) -> bool:
    """Whether a file need not be made; says so.

    Args:
        path: The file.
        overwrite: Make it all the same.
    """
    if overwrite or not path.exists():
        return False
    print(f"{path} is there already; --overwrite makes it again.")
    return True


def summary(made: int, kept: int, out: Path, failed: int = 0) -> str:
    """The last line of a command that writes files into a folder.

    Args:
        made: Files written.
        kept: Files that were there already.
        out: The folder.
        failed: Files that could not be made.
    """
    text = f"{made} {'image' if made == 1 else 'images'} in {out}"
    if kept:
        were = "was" if kept == 1 else "were"
        text += f", {kept} {were} there already (--overwrite makes {'it' if kept == 1 else 'them'} again)"
    return f"{text}, {failed} failed" if failed else text
