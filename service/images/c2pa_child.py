"""Reads the C2PA manifest of one file, in a process of its own.

The parser is native code and the file comes from anybody: whatever it does to this process, running long,
taking memory or ending it, the gateway goes on. See `service.images.c2pa_reading` for the other side.
"""

from __future__ import annotations

import json
import resource
import sys
from io import BytesIO
from typing import Any, Final

from service.images.c2pa_library import OFFLINE, RECIPE_LABEL

_MAX_MEMORY_BYTES: Final = 2 << 30
_MAX_CPU_SECONDS: Final = 20
_MAX_PROBLEMS: Final = 20
_LONGEST_TEXT: Final = 300


def main() -> None:
    """Reads a line of JSON and then the file from standard input; writes JSON to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
    asked = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    json.dump(_read(data, asked["media_type"], asked["own_serial_number"], asked["anchors"]), sys.stdout)


def _read(
    data: bytes, media_type: str, own_serial_number: str | None, anchors: dict[str, str]
) -> dict[str, Any]:
    """Validates against each set of anchors in turn; the first that trusts the signer is named."""
    import c2pa

    result: dict[str, Any] = {}
    for name, pem in anchors.items() or [("", "")]:
        context = c2pa.Context.from_dict(
            {**OFFLINE, "trust": {"trust_anchors": pem}} if pem else dict(OFFLINE)
        )
        try:
            with c2pa.Reader(media_type, BytesIO(data), context=context) as reader:
                result = _summary(json.loads(reader.json()), str(reader.get_validation_state()))
        except c2pa.C2paError as error:
            return {"state": "Invalid", "problems": [str(error)[:_LONGEST_TEXT]]}
        own = result["serial_number"] == own_serial_number
        if result["state"] == "Trusted" and (own or name != "own"):
            return {**result, "trusted_by": name}
    if result["state"] == "Trusted":  # by the operator's own issuer, who signed it for somebody else
        result = {**result, "state": "Valid", "problems": ["signingCredential.untrusted"]}
    return result


def _summary(store: dict[str, Any], state: str) -> dict[str, Any]:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    signature = manifest.get("signature_info") or {}
    recipe, source_type = None, None
    for assertion in manifest.get("assertions", ()):
        label, content = str(assertion.get("label", "")), assertion.get("data")
        if label == RECIPE_LABEL and isinstance(content, dict):
            recipe = content.get("recipe")
        elif label.startswith("c2pa.actions") and isinstance(content, dict):
            for action in content.get("actions", ()):
                if isinstance(action, dict) and action.get("action") == "c2pa.created":
                    source_type = action.get("digitalSourceType")
    problems = [str(status.get("code"))[:_LONGEST_TEXT] for status in store.get("validation_status") or ()]
    return {
        "state": state,
        "issuer": _text(signature.get("issuer")),
        "common_name": _text(signature.get("common_name")),
        "serial_number": _text(signature.get("cert_serial_number")),
        "signed_at": _text(signature.get("time")),
        "recipe_json": recipe if isinstance(recipe, str) else None,
        "digital_source_type": _text(source_type),
        "problems": problems[:_MAX_PROBLEMS],
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:_LONGEST_TEXT]
