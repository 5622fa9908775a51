import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO

import c2pa
import numpy as np
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from service.images.c2pa_reading import Trust, read_manifest
from service.images.encode import MEDIA_TYPES, encode
from service.images.metadata import read_metadata
from service.images.provenance import DIGITAL_SOURCE_TYPE, read_provenance
from service.images.signing import Signer, SigningError, SigningSetupError, load_signer
from service.settings import Settings
from tests.certificates import Authority, make_authority, write_credentials

RECIPE = {"model": "toy", "digest": "a" * 64, "seed": 2**32 - 1, "truncation": 0.7, "seeds": [1, 256]}
PIXELS = np.random.RandomState(0).randint(0, 256, (24, 16, 3), dtype=np.uint8)
EVERY_WAY = [("png", None), ("jpeg", None), ("webp", None), ("webp", 75)]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def signer(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    made = load_signer(Settings(**write_credentials(tmp_path_factory.mktemp("c2pa"), authority)), "1.2.3")
    assert made is not None
    return made


def signed(signer: Signer, image_format: str = "png", quality: int | None = None) -> bytes:
    return signer.sign(encode(PIXELS, image_format, RECIPE, quality), MEDIA_TYPES[image_format], RECIPE)


def verified(data: bytes, media_type: str, anchors: str) -> tuple[str, dict]:
    """By the library of the C2PA project itself, with the made-up authority in its list of trust."""
    context = c2pa.Context.from_dict({"trust": {"trust_anchors": anchors}})
    reader = c2pa.Reader(media_type, BytesIO(data), context=context)
    return reader.get_validation_state(), json.loads(reader.json())


def codes(found: dict) -> set[str]:
    return {status["code"] for status in found.get("validation_status", ())}


@pytest.mark.parametrize(("image_format", "quality"), EVERY_WAY)
def test_a_verifier_trusts_what_was_signed(
    signer: Signer, authority: Authority, image_format: str, quality: int | None
) -> None:
    data = signed(signer, image_format, quality)
    state, found = verified(data, MEDIA_TYPES[image_format], authority.pem)
    assert state == "Trusted"
    manifest = found["manifests"][found["active_manifest"]]
    assert manifest["claim_generator_info"][0]["name"] == "ganserve"
    assert manifest["claim_generator_info"][0]["version"] == "1.2.3"
    assertions = {entry["label"]: entry["data"] for entry in manifest["assertions"]}
    assert json.loads(assertions["org.ganserve.recipe"]["recipe"]) == RECIPE
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert manifest["signature_info"]["common_name"] == "Example Operator"
    # Everything else in the file is as it was.
    with (
        Image.open(BytesIO(data)) as after,
        Image.open(BytesIO(encode(PIXELS, image_format, {}, quality))) as before,
    ):
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert read_provenance(data).recipe == RECIPE
    assert read_metadata(data).c2pa
    assert not read_metadata(encode(PIXELS, image_format, RECIPE, quality)).c2pa


@pytest.mark.parametrize(("image_format", "quality"), EVERY_WAY)
def test_a_changed_byte_of_the_pixels_is_found(
    signer: Signer, authority: Authority, image_format: str, quality: int | None
) -> None:
    plain, data = (
        encode(PIXELS, image_format, RECIPE, quality),
        bytearray(signed(signer, image_format, quality)),
    )
    place = data.index(
        plain[100:140] if image_format == "webp" else plain[-200:-160]
    )  # inside the compressed pixels, which signing leaves alone
    data[place] ^= 1
    state, found = verified(bytes(data), MEDIA_TYPES[image_format], authority.pem)
    assert state == "Invalid"
    assert "assertion.dataHash.mismatch" in codes(found)
    reading = read_manifest(bytes(data), MEDIA_TYPES[image_format], Trust(signer.own, "", 20))
    assert reading.state == "Invalid"
    assert reading.trusted_by is None
    assert "assertion.dataHash.mismatch" in reading.problems


def test_signatures_from_many_threads(signer: Signer, authority: Authority) -> None:
    with ThreadPoolExecutor(4) as threads:
        files = list(threads.map(lambda _: signed(signer), range(12)))
    assert len(set(files)) == 12
    assert {verified(data, "image/png", authority.pem)[0] for data in files} == {"Trusted"}


def test_reading_back(signer: Signer, authority: Authority) -> None:
    data = signed(signer)
    own = read_manifest(data, "image/png", Trust(signer.own, "", 20))
    assert (own.state, own.trusted_by) == ("Trusted", "own")
    assert own.recipe == RECIPE
    assert own.digital_source_type == DIGITAL_SOURCE_TYPE
    assert (own.issuer, own.common_name) == ("Example Operator Ltd", "Example Operator")
    assert own.problems == ()
    stranger = read_manifest(data, "image/png", Trust(None, "", 20))
    assert (stranger.state, stranger.trusted_by) == ("Valid", None)
    assert stranger.problems == ("signingCredential.untrusted",)
    anchored = read_manifest(data, "image/png", Trust(None, authority.pem, 20))
    assert (anchored.state, anchored.trusted_by) == ("Trusted", "anchors")


def test_the_same_authority_signing_for_somebody_else_is_not_us(
    signer: Signer, authority: Authority, tmp_path
) -> None:
    other = load_signer(Settings(**write_credentials(tmp_path, authority, name="Somebody Else")), "1")
    reading = read_manifest(signed(other), "image/png", Trust(signer.own, "", 20))
    assert (reading.state, reading.trusted_by) == ("Valid", None)
    assert "signingCredential.untrusted" in reading.problems


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", encode(PIXELS, "png", {})], ids=["none", "head", "plain"]
)
def test_files_without_a_manifest_are_no_accident(data: bytes) -> None:
    reading = read_manifest(data, "image/png", Trust(None, "", 20))
    assert reading.state == "Invalid"
    assert reading.problems


def test_reading_ends_in_time(signer: Signer) -> None:
    reading = read_manifest(signed(signer), "image/png", Trust(None, "", 0.001))
    assert reading.state is None
    assert reading.problems == ("Not read within 0.001 s.",)


def test_off_unless_configured() -> None:
    assert load_signer(Settings(), "1") is None


def test_what_does_not_fit_together_is_refused(authority: Authority, tmp_path) -> None:
    good = write_credentials(tmp_path, authority)
    (tmp_path / "other").mkdir()
    other = write_credentials(tmp_path / "other", authority)
    (tmp_path / "text").write_text("nothing of the kind")
    key = good["c2pa_key"]
    for settings, said in (
        ({"c2pa_certificate": good["c2pa_certificate"]}, "go together"),
        ({"c2pa_key": key}, "go together"),
        ({"c2pa_sign": "always"}, "no GANSERVE_C2PA_CERTIFICATE"),
        ({**good, "c2pa_key": other["c2pa_key"]}, "do not make signatures together"),
        ({**good, "c2pa_algorithm": "ps256"}, "do not make signatures together"),
        ({**good, "c2pa_key": tmp_path / "none"}, "GANSERVE_C2PA_KEY cannot be read"),
        ({**good, "c2pa_certificate": tmp_path / "text"}, "is not a PEM file"),
        ({**good, "c2pa_certificate": key}, "holds no certificate"),
    ):
        with pytest.raises(SigningSetupError, match=re.escape(said)):
            load_signer(Settings(**settings), "1")


def test_certificates_that_no_verifier_would_take_are_refused(authority: Authority, tmp_path) -> None:
    expired = write_credentials(tmp_path, authority, valid=timedelta(days=-1))
    with pytest.raises(SigningSetupError, match="expired on"):
        load_signer(Settings(**expired), "1")
    for_servers = write_credentials(tmp_path, authority, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(SigningSetupError, match=r"certificate|signingCredential"):
        load_signer(Settings(**for_servers), "1")


def test_a_timestamp_authority_that_is_away(authority: Authority, tmp_path) -> None:
    credentials = write_credentials(tmp_path, authority)
    made = load_signer(Settings(**credentials, c2pa_tsa_url="http://127.0.0.1:9/"), "1")
    with pytest.raises(SigningError, match="error sending request"):
        signed(made)


def test_without_the_library(authority: Authority, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = write_credentials(tmp_path, authority)
    monkeypatch.setattr("service.images.signing.c2pa_installed", lambda: False)
    monkeypatch.setattr("service.images.c2pa_reading.c2pa_installed", lambda: False)
    with pytest.raises(SigningSetupError, match=re.escape("ganserve[c2pa]")):
        load_signer(Settings(**credentials), "1")
    reading = read_manifest(b"", "image/png", Trust(None, "", 1))
    assert reading.state is None
    assert "ganserve[c2pa]" in reading.problems[0]
