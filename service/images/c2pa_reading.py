"""Whether a file's C2PA manifest is valid, who signed it, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from service.images.c2pa_library import MISSING_LIBRARY, c2pa_installed
from service.images.provenance import parse_recipe
from service.images.signing import OwnCertificate

_CHILD: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from service.images.c2pa_child import main; main()"
)


@dataclass(frozen=True)
class Trust:
    """Whose signatures prove something.

    Attributes:
        own: The certificate this service signs with, if any.
        anchors: PEM of certificates whose holders' signatures the operator trusts; may be empty.
        timeout_seconds: How long reading a manifest may take.
    """

    own: OwnCertificate | None
    anchors: str
    timeout_seconds: float


@dataclass(frozen=True)
class ManifestReading:
    """What was found in a file that carries a C2PA manifest.

    Attributes:
        state: `Trusted`, `Valid` (intact, by a signer nobody here vouches for), `Invalid`, or None if it
            could not be read; `problems` says why.
        trusted_by: `own` for this service's certificate, `anchors` for the operator's, else None.
        issuer: Organisation the certificate names.
        common_name: Holder the certificate names.
        signed_at: By a timestamp authority, if there was one.
        recipe: Of ganserve's own assertion.
        digital_source_type: Of the action that created it.
        problems: C2PA's status codes, or sentences.
    """

    state: str | None
    trusted_by: str | None = None
    issuer: str | None = None
    common_name: str | None = None
    signed_at: str | None = None
    recipe: dict[str, Any] | None = None
    digital_source_type: str | None = None
    problems: tuple[str, ...] = ()


def read_manifest(data: bytes, media_type: str, trust: Trust) -> ManifestReading:
    """Validates a file's manifest in a process of its own. Takes a fraction of a second: use a thread.

    Args:
        data: The file, known to carry a manifest.
        media_type: Of the file.
        trust: Whose signatures prove something, and how long this may take.

    Returns:
        What was found; whatever is wrong with the file is said in there.
    """
    if not c2pa_installed():
        return ManifestReading(None, problems=(f"Not checked: {MISSING_LIBRARY}.",))
    own, anchors = trust.own, {}
    if own is not None and own.issuers:
        anchors["own"] = own.issuers
    if trust.anchors:
        anchors["anchors"] = trust.anchors
    asked = {
        "media_type": media_type,
        "own_serial_number": None if own is None else own.serial_number,
        "anchors": anchors,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, json.dumps(sys.path)],
            input=json.dumps(asked).encode() + b"\n" + data,
            capture_output=True,
            timeout=trust.timeout_seconds,
            check=True,
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return ManifestReading(None, problems=(f"Not read within {trust.timeout_seconds:g} s.",))
    except (subprocess.CalledProcessError, ValueError):
        return ManifestReading(None, problems=("The manifest could not be read.",))
    problems = list(found["problems"])
    recipe = None
    if found.get("recipe_json") is not None:
        try:
            recipe = parse_recipe(found["recipe_json"])
        except (ValueError, RecursionError) as error:
            problems.append(f"The manifest's recipe cannot be read: {error}.")
    return ManifestReading(
        state=found["state"],
        trusted_by=found.get("trusted_by"),
        issuer=found.get("issuer"),
        common_name=found.get("common_name"),
        signed_at=found.get("signed_at"),
        recipe=recipe,
        digital_source_type=found.get("digital_source_type"),
        problems=tuple(problems),
    )
