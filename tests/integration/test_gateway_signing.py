import io
import json
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import c2pa
import httpx
import numpy as np
import pytest
from PIL import Image

from service.images.provenance import read_provenance
from tests.certificates import Authority, make_authority, write_credentials
from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.integration.test_gateway_generate import generate, pixels_of
from tests.jobs_service import events
from tests.toy_oracle import toy_pixels, toy_sha256
from tests.triton_process import TritonProcess


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def signing(
    triton: TritonProcess, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A gateway with a certificate that signs on request."""
    folder = tmp_path_factory.mktemp("signing")
    process = GatewayProcess(triton.grpc_url, folder / "log", **write_credentials(folder, authority))
    process.wait_ready()
    with process.client() as client:
        yield client
    process.close()


def trusted(data: bytes, media_type: str, authority: Authority) -> dict | None:
    """The recipe in a manifest that C2PA's own library trusts; None without a manifest."""
    context = c2pa.Context.from_dict({"trust": {"trust_anchors": authority.pem}})
    try:
        reader = c2pa.Reader(media_type, io.BytesIO(data), context=context)
    except c2pa.C2paError.ManifestNotFound:
        return None
    assert reader.get_validation_state() == "Trusted"
    manifest = json.loads(reader.json())
    assertions = manifest["manifests"][manifest["active_manifest"]]["assertions"]
    return json.loads(
        {entry["label"]: entry["data"] for entry in assertions}["org.ganserve.recipe"]["recipe"]
    )


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_signed_on_request(
    signing: httpx.Client, triton: TritonProcess, authority: Authority, media_type: str
) -> None:
    response = generate(signing, media_type, seeds=[3], truncation=0.5, sign=True)
    recipe = trusted(response.content, media_type, authority)
    assert recipe == read_provenance(response.content).recipe
    assert (recipe["seed"], recipe["truncation"]) == (3, 0.5)
    assert recipe["pixels_sha256"] == toy_sha256(triton.repository, 3, truncation=0.5)
    assert recipe["pixels_sha256"] == response.headers["x-pixels-sha256"]
    if media_type != "image/jpeg":
        np.testing.assert_array_equal(
            pixels_of(response.content), toy_pixels(triton.repository, 3, truncation=0.5)
        )
    again = generate(signing, media_type, seeds=[3], truncation=0.5, sign=True)
    assert again.content != response.content
    assert trusted(generate(signing, media_type, seeds=[3]).content, media_type, authority) is None


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_images_made_of_images(signing: httpx.Client, authority: Authority, media_type: str) -> None:
    file = saved(Image.new("RGB", (150, 230), "red"), "PNG")
    for call, model in (("super-resolution", "photo-x4"), ("translate", "satellite-to-relief")):
        fields = {"model": model, "sign": "true"}
        response = signing.post(
            f"/v1/{call}", data=fields, files={"image": file}, headers={"accept": media_type}
        )
        assert response.status_code == 200, response.text
        recipe = trusted(response.content, media_type, authority)
        assert recipe == read_provenance(response.content).recipe
        assert (recipe["operation"], recipe["source_size"]) == (call, [150, 230])
        assert recipe["pixels_sha256"] == response.headers["x-pixels-sha256"]
        assert int(response.headers["content-length"]) == len(response.content)


def test_an_enlarged_image_that_tells_how_far_it_is(signing: httpx.Client, authority: Authority) -> None:
    call = {
        "data": {"model": "photo-x4", "sign": "true"},
        "files": {"image": saved(Image.new("RGB", (20, 30), "red"), "PNG")},
        "headers": {"accept": "text/event-stream"},
    }
    with signing.stream("POST", "/v1/super-resolution", **call) as answer:
        *told, done = events(answer)
    file = b"".join(b64decode(one.data["b64_json"]) for one in told if one.name == "part")
    recipe = trusted(file, "image/png", authority)
    assert recipe is not None
    assert recipe["pixels_sha256"] == done.data["pixels_sha256"]
    assert done.data["bytes"] == len(file)


def test_every_kind_of_answer(signing: httpx.Client, authority: Authority) -> None:
    answer = generate(signing, "application/json", seeds=[1, 2], sign=True).json()
    assert [trusted(b64decode(i["b64_json"]), "image/png", authority)["seed"] for i in answer["data"]] == [
        1,
        2,
    ]
    archive = zipfile.ZipFile(
        io.BytesIO(generate(signing, "application/zip", seeds=[1, 2], sign=True).content)
    )
    names = [name for name in archive.namelist() if name.endswith(".png")]
    assert [trusted(archive.read(name), "image/png", authority)["seed"] for name in names] == [1, 2]
    sheet = generate(signing, "image/png", seeds=[1, 2], sign=True).content
    assert trusted(sheet, "image/png", authority)["seeds"] == [1, 2]
    response = signing.post(
        "/v1/generate",
        json={"model": "toy", "seeds": [1], "sign": True},
        headers={"accept": "application/x-npy"},
    )
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "sign"


def test_cacheable_images_are_never_signed(
    triton: TritonProcess, authority: Authority, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    always = start_gateway(triton.grpc_url, **write_credentials(tmp_path, authority), c2pa_sign="always")
    always.wait_ready()
    with always.client() as http:
        assert trusted(generate(http, "image/png", seeds=[1]).content, "image/png", authority) is not None
        first, second = (http.get("/v1/models/toy/images/1.png") for _ in range(2))
        assert first.content == second.content
        assert first.headers["etag"] == second.headers["etag"]
        assert trusted(first.content, "image/png", authority) is None


def test_off_without_a_certificate(http: httpx.Client) -> None:
    response = http.post("/v1/generate", json={"model": "toy", "seeds": [1], "sign": True})
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/signing-not-configured"
    assert response.json()["field"] == "sign"


def test_a_timestamp_authority_that_is_away(
    triton: TritonProcess, authority: Authority, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    credentials = write_credentials(tmp_path, authority)
    gateway = start_gateway(triton.grpc_url, **credentials, c2pa_tsa_url="http://127.0.0.1:9/")
    gateway.wait_ready()
    with gateway.client() as http:
        response = http.post("/v1/generate", json={"model": "toy", "seeds": [1], "sign": True})
        assert response.status_code == 502
        assert response.json()["type"] == "/problems/signing-failed"
        assert http.post("/v1/generate", json={"model": "toy", "seeds": [1]}).status_code == 200
    assert "127.0.0.1:9" in gateway.log()


def test_a_key_that_does_not_fit_keeps_the_gateway_from_starting(
    triton: TritonProcess, authority: Authority, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    credentials = write_credentials(tmp_path, authority)
    other = write_credentials(tmp_path / "other", authority)
    with pytest.raises(RuntimeError, match="ganserve cannot sign files: GANSERVE_C2PA_CERTIFICATE"):
        start_gateway(triton.grpc_url, **{**credentials, "c2pa_key": other["c2pa_key"]})
