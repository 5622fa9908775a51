"""The calls about models."""

from __future__ import annotations

from service.client.call import Call, quoted
from service.client.results import ModelCard, card_of


def models() -> Call[list[ModelCard]]:
    """The cards of all models that are served.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    return Call("GET", "/v1/models", lambda answer: [card_of(card) for card in answer.json()["data"]])


def model(name: str) -> Call[ModelCard]:
    """The card of one model.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused; 404 when no such model is served.
    """
    return Call("GET", f"/v1/models/{quoted(name)}", lambda answer: card_of(answer.json()))


def load(name: str, *, wait: float | None = None) -> Call[ModelCard]:
    """Load a model, or what is new of it; its card, once it takes traffic. Needs the scope `admin`.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused; 409 when it cannot be loaded or is not what its card says.
    """
    return Call("POST", f"/v1/models/{quoted(name)}/load", lambda answer: card_of(answer.json()), wait=wait)


def unload(name: str, *, wait: float | None = None) -> Call[None]:
    """Unload a model, once its calls are answered. Needs the scope `admin`.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    return Call(
        "POST",
        f"/v1/models/{quoted(name)}/unload",
        lambda answer: None,
        wait=wait,
        repeatable=False,
    )
