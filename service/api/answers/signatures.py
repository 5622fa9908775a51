"""When answers are signed, and what a client is told when they cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import Request

from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.images.signing import Signer, SigningError

log = structlog.get_logger(__name__)


def signer_for(request: Request, asked: bool) -> Signer | None:
    """What signs the files of an answer.

    Args:
        request: Any.
        asked: Whether the client wants signatures.

    Returns:
        The signer if it was asked for or everything is signed, else None. With a signer, render in a thread.

    Raises:
        ProblemError: If signatures are asked for and no certificate is configured.
    """
    return chosen_signer(services_of(request).signer, asked)


def chosen_signer(signer: Signer | None, asked: bool) -> Signer | None:
    """What signs the files.

    Args:
        signer: Of the operator's certificate, if one is configured.
        asked: Whether signatures are wanted.

    Returns:
        The signer if it was asked for or everything is signed, else None.

    Raises:
        ProblemError: If signatures are asked for and no certificate is configured.
    """
    if signer is None:
        if asked:
            raise ProblemError(
                "signing-not-configured", "This service has no certificate to sign with.", field="sign"
            )
        return None
    return signer if asked or signer.always else None


def signed(data: bytes, media_type: str, recipe: Mapping[str, Any], signer: Signer) -> bytes:
    """Signs a file; what goes wrong becomes a problem.

    Args:
        data: The file.
        media_type: Of the file.
        recipe: For its manifest.
        signer: From `signer_for`.

    Returns:
        The file with a manifest.

    Raises:
        ProblemError: If the certificate has expired, or the timestamp authority does not answer.
    """
    try:
        return signer.sign(data, media_type, recipe)
    except SigningError as error:
        log.error("signing failed", reason=str(error))
        raise ProblemError("signing-failed", "The file could not be signed; the log says why.") from error
