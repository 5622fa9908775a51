"""C2PA: manifests signed with the operator's certificate, which anybody can check without asking us.

The library is an extra (`c2pa`), imported only where a certificate is configured or a manifest is read.
Signed bytes differ each time, since a manifest has an id and a time of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from io import BytesIO
from typing import Any

import numpy as np

from service.images.c2pa_library import MISSING_LIBRARY, OFFLINE, RECIPE_LABEL, c2pa_installed
from service.images.encode import encode
from service.images.provenance import DIGITAL_SOURCE_TYPE, canonical_json
from service.settings import Settings


class SigningSetupError(Exception):
    """Certificate, key or library are not what signing needs; the message says what to do."""


class SigningError(Exception):
    """A file could not be signed."""


@dataclass(frozen=True)
class OwnCertificate:
    """What tells this operator's signatures from others.

    Attributes:
        serial_number: Of the signing certificate, in decimal digits, unique for its issuer.
        issuers: PEM of the certificates above it in the chain file; empty if the file has none.
        expires: When the signing certificate does.
    """

    serial_number: str
    issuers: str
    expires: datetime


@dataclass(frozen=True)
class Signer:
    """Signs files; safe to use from several threads.

    Attributes:
        always: Whether every file is signed, asked for or not.
        own: The certificate it signs with.
    """

    always: bool
    own: OwnCertificate
    version: str
    _signer: Any = field(repr=False)
    _context: Any = field(repr=False)

    def sign(
        self,
        data: bytes,
        media_type: str,
        recipe: Mapping[str, Any],
        digital_source_type: str = DIGITAL_SOURCE_TYPE,
    ) -> bytes:
        """Puts a signed manifest into a file; takes milliseconds or a timestamp authority's time.

        Args:
            data: The file, with everything else already in it.
            media_type: `image/png`, `image/jpeg`, `image/webp`, `image/gif` or `video/mp4`.
            recipe: Plain JSON values; as canonical JSON in the assertion `org.ganserve.recipe`.
            digital_source_type: IPTC's URI of how it came about.

        Returns:
            The file with a manifest.

        Raises:
            SigningError: If the certificate has expired, or the timestamp authority does not answer.
        """
        if datetime.now(timezone.utc) >= self.own.expires:
            raise SigningError(f"the certificate expired on {self.own.expires:%Y-%m-%d}")
        import c2pa

        manifest = _manifest(recipe, digital_source_type, self.version)
        out = BytesIO()
        try:
            with c2pa.Builder.from_json(json.dumps(manifest), context=self._context) as builder:
                builder.sign(self._signer, media_type, BytesIO(data), out)
        except c2pa.C2paError as error:
            raise SigningError(str(error)) from error
        return out.getvalue()


def load_signer(settings: Settings, version: str) -> Signer | None:
    """Reads certificate and key, and tries them on a small image.

    Args:
        settings: Where they are.
        version: Of ganserve, named in the manifests.

    Returns:
        The signer; None if no certificate is configured.

    Raises:
        SigningSetupError: If something is missing, unreadable, expired, or does not make valid signatures.
    """
    if settings.c2pa_certificate is None and settings.c2pa_key is None:
        if settings.c2pa_sign == "always":
            raise SigningSetupError("GANSERVE_C2PA_SIGN is `always`, but no GANSERVE_C2PA_CERTIFICATE is set")
        return None
    if settings.c2pa_certificate is None or settings.c2pa_key is None:
        raise SigningSetupError("GANSERVE_C2PA_CERTIFICATE and GANSERVE_C2PA_KEY go together; one is not set")
    if not c2pa_installed():
        raise SigningSetupError(f"GANSERVE_C2PA_CERTIFICATE is set, but {MISSING_LIBRARY}")
    chain = _read(settings.c2pa_certificate, "GANSERVE_C2PA_CERTIFICATE")
    key = _read(settings.c2pa_key, "GANSERVE_C2PA_KEY")
    own = _own_certificate(chain)
    if datetime.now(timezone.utc) >= own.expires:
        raise SigningSetupError(
            f"the certificate in GANSERVE_C2PA_CERTIFICATE expired on {own.expires:%Y-%m-%d}"
        )
    import c2pa

    context = c2pa.Context.from_dict(dict(OFFLINE))

    def make(timestamps: str | None) -> Signer:
        info = c2pa.C2paSignerInfo(
            settings.c2pa_algorithm.encode(), chain, key, timestamps.encode() if timestamps else None
        )
        always = settings.c2pa_sign == "always"
        return Signer(always, own, version, c2pa.Signer.from_info(info), context)

    try:
        # Without timestamps: whether their authority answers is not for a start to depend on.
        signed = make(None).sign(encode(np.zeros((8, 8, 3), np.uint8), "png", {}), "image/png", {})
        with c2pa.Reader("image/png", BytesIO(signed), context=context) as reader:
            state, found = reader.get_validation_state(), json.loads(reader.json())
        if state not in ("Valid", "Trusted"):
            codes = ", ".join(status["code"] for status in found.get("validation_status", ()))
            raise SigningSetupError(f"files signed with GANSERVE_C2PA_CERTIFICATE are not valid: {codes}")
        return make(settings.c2pa_tsa_url)
    except (SigningError, c2pa.C2paError) as error:
        raise SigningSetupError(
            f"GANSERVE_C2PA_CERTIFICATE, GANSERVE_C2PA_KEY and GANSERVE_C2PA_ALGORITHM "
            f"({settings.c2pa_algorithm}) do not make signatures together: {error}"
        ) from error


def load_trust_anchors(settings: Settings) -> str:
    """Reads the authorities whose signatures are proof.

    Args:
        settings: Where they are.

    Returns:
        PEM; empty if none are configured.

    Raises:
        SigningSetupError: If they cannot be read, or could not be used.
    """
    if settings.c2pa_trust_anchors is None:
        return ""
    if not c2pa_installed():
        raise SigningSetupError(f"GANSERVE_C2PA_TRUST_ANCHORS is set, but {MISSING_LIBRARY}")
    pem = _read(settings.c2pa_trust_anchors, "GANSERVE_C2PA_TRUST_ANCHORS")
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SigningSetupError(f"GANSERVE_C2PA_TRUST_ANCHORS holds no certificate: {error}") from None
    return pem.decode("ascii", "replace")


def _manifest(recipe: Mapping[str, Any], digital_source_type: str, version: str) -> dict[str, Any]:
    generator = {"name": "ganserve", "version": version}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": digital_source_type,
        "softwareAgent": generator,
    }
    return {
        "claim_generator_info": [generator],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            # As text: the library's readers show lists of numbers as base64 of their lowest bytes.
            {"label": RECIPE_LABEL, "kind": "Json", "data": {"recipe": canonical_json(recipe)}},
        ],
    }


def _read(path: Any, setting: str) -> bytes:
    try:
        data: bytes = path.read_bytes()
    except OSError as error:
        raise SigningSetupError(f"{setting} cannot be read: {error}") from None
    if b"-----BEGIN " not in data:
        raise SigningSetupError(f"{setting} ({path}) is not a PEM file")
    return data


def _own_certificate(chain: bytes) -> OwnCertificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        leaf, *above = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise SigningSetupError(f"GANSERVE_C2PA_CERTIFICATE holds no certificate: {error}") from None
    issuers = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in above).decode("ascii")
    # `not_valid_after_utc` is newer than the oldest release of the library that c2pa-python allows.
    expires = getattr(leaf, "not_valid_after_utc", None) or leaf.not_valid_after.replace(tzinfo=timezone.utc)
    return OwnCertificate(str(leaf.serial_number), issuers, expires)
