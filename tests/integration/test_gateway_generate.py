import base64
import hashlib
import io
import json
import re
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image

from service.images.provenance import DIGITAL_SOURCE_TYPE, read_provenance
from service.images.sheet import contact_sheet
from tests.toy_oracle import toy_pixels
from tests.triton_process import TritonProcess


def pixels_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def generate(http: httpx.Client, accept: str | None = None, **body) -> httpx.Response:
    headers = {"accept": accept} if accept else {}
    response = http.post("/v1/generate", json={"model": "toy", **body}, headers=headers)
    assert response.status_code == 200, response.text
    return response


def check_headers(response: httpx.Response, http: httpx.Client) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    timing = response.headers["server-timing"]
    assert re.fullmatch(r"queue;dur=[\d.]+, infer;dur=[\d.]+, encode;dur=[\d.]+, total;dur=[\d.]+", timing)
    queue, infer, encode, total = (float(part.split("=")[1]) for part in timing.split(","))
    assert infer > 0
    assert queue + infer + encode <= total + 0.02
    assert response.headers["x-model"] == "toy"
    assert response.headers["x-model-digest"] == http.get("/v1/models/toy").json()["digest"]


def test_json_is_the_default(http: httpx.Client, triton: TritonProcess) -> None:
    response = generate(http, seeds=[3, 1, 3])
    check_headers(response, http)
    body = response.json()
    assert body["model"] == "toy"
    assert body["model_digest"] == response.headers["x-model-digest"]
    assert [item["seed"] for item in body["data"]] == [3, 1, 3]
    for item in body["data"]:
        pixels = pixels_of(base64.b64decode(item["b64_json"]))
        np.testing.assert_array_equal(pixels, toy_pixels(triton.repository, item["seed"]))
        assert item["pixels_sha256"] == sha256(pixels)
        assert (item["width"], item["height"], item["media_type"]) == (16, 16, "image/png")


def test_seed_and_n(http: httpx.Client) -> None:
    assert [item["seed"] for item in generate(http, seed=7, n=3).json()["data"]] == [7, 8, 9]
    assert [item["seed"] for item in generate(http, seed=2**32 - 1).json()["data"]] == [2**32 - 1]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"truncation": 0.5},
        {"truncation": -0.7},
        {"truncation": 0.0, "truncation_cutoff": 2},
        {"truncation": 0.3, "truncation_cutoff": 0},
        {"truncation": 0.3, "truncation_cutoff": 4},
        {"noise": "none"},
        {"noise": "const"},
        {"noise": 0},
        {"noise": 4294967295, "truncation": 0.9},
    ],
)
def test_parameters_reach_the_model(http: httpx.Client, triton: TritonProcess, parameters) -> None:
    response = generate(http, "image/png", seeds=[11], **parameters)
    expected = toy_pixels(triton.repository, 11, **parameters)
    np.testing.assert_array_equal(pixels_of(response.content), expected)


def test_parameters_differ(triton: TritonProcess) -> None:
    """Guards the test above: a model that ignored a parameter would satisfy it."""
    ways = [
        {},
        {"truncation": 0.5},
        {"truncation": 0.5, "truncation_cutoff": 2},
        {"noise": "none"},
        {"noise": 3},
    ]
    assert len({sha256(toy_pixels(triton.repository, 11, **way)) for way in ways}) == len(ways)


@pytest.mark.parametrize(
    ("accept", "parameters", "media_type"),
    [
        ("image/*", {}, "image/png"),
        ("image/png", {}, "image/png"),
        ("image/jpeg", {}, "image/jpeg"),
        ("image/webp", {}, "image/webp"),
        ("image/*", {"format": "webp"}, "image/webp"),
        ("image/*", {"format": "jpeg", "quality": 50}, "image/jpeg"),
        ("text/html, image/avif, image/webp, */*;q=0.8", {}, "image/webp"),
    ],
)
def test_one_image(http: httpx.Client, triton: TritonProcess, accept, parameters, media_type) -> None:
    response = generate(http, accept, seeds=[5], truncation=0.5, **parameters)
    check_headers(response, http)
    assert response.headers["content-type"] == media_type
    expected = toy_pixels(triton.repository, 5, truncation=0.5)
    assert response.headers["x-pixels-sha256"] == sha256(expected)
    got = pixels_of(response.content)
    if media_type == "image/jpeg":
        assert got.shape == expected.shape
    else:
        np.testing.assert_array_equal(got, expected)
    found = read_provenance(response.content)
    assert found.digital_source_type == DIGITAL_SOURCE_TYPE
    assert found.recipe == {
        "model": "toy",
        "digest": response.headers["x-model-digest"],
        "seed": 5,
        "truncation": 0.5,
        "truncation_cutoff": None,
        "noise": "const",
        "label": None,
        "pixels_sha256": sha256(expected),
    }


def test_contact_sheet(http: httpx.Client, triton: TritonProcess) -> None:
    response = generate(http, "image/png", seeds=[1, 2, 3, 4, 5])
    expected = contact_sheet([toy_pixels(triton.repository, seed) for seed in range(1, 6)])
    np.testing.assert_array_equal(pixels_of(response.content), expected)
    assert response.headers["x-pixels-sha256"] == sha256(expected)
    assert read_provenance(response.content).recipe["seeds"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("image_format", ["png", "webp", "jpeg"])
def test_zip(http: httpx.Client, triton: TritonProcess, image_format: str) -> None:
    first, again = (
        generate(http, "application/zip", seeds=[9, 8], format=image_format).content for _ in range(2)
    )
    assert first == again
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert len(archive.namelist()) == 3
        for entry, seed in zip(manifest["data"], (9, 8), strict=True):
            expected = toy_pixels(triton.repository, seed)
            assert entry["seed"] == seed
            assert entry["pixels_sha256"] == sha256(expected)
            data = archive.read(entry["file"])
            recorded = {**entry["recipe"], "pixels_sha256": entry["pixels_sha256"]}
            assert read_provenance(data).recipe == recorded
            if image_format != "jpeg":
                np.testing.assert_array_equal(pixels_of(data), expected)


def test_npy(http: httpx.Client, triton: TritonProcess) -> None:
    response = generate(http, "application/x-npy", seeds=[9, 8])
    pixels = np.load(io.BytesIO(response.content), allow_pickle=False)
    expected = np.stack([toy_pixels(triton.repository, seed) for seed in (9, 8)])
    np.testing.assert_array_equal(pixels, expected)
    assert response.headers["x-pixels-sha256"] == sha256(expected)


def test_more_than_one_batch(http: httpx.Client, triton: TritonProcess) -> None:
    """40 images are three batches of at most 16."""
    items = generate(http, seed=100, n=40).json()["data"]
    assert [item["seed"] for item in items] == list(range(100, 140))
    for item in items:
        assert item["pixels_sha256"] == sha256(toy_pixels(triton.repository, item["seed"]))


def test_request_id_is_kept_if_usable(http: httpx.Client) -> None:
    body = {"model": "toy", "seeds": [1]}
    kept = http.post("/v1/generate", json=body, headers={"x-request-id": "job-7.a:b"})
    assert kept.headers["x-request-id"] == "job-7.a:b"
    for bad in ("a b", "x" * 129, "<script>"):
        replaced = http.post("/v1/generate", json=body, headers={"x-request-id": bad})
        assert re.fullmatch(r"[0-9a-f]{32}", replaced.headers["x-request-id"])


def test_prefer_wait_is_applied(http: httpx.Client) -> None:
    body = {"model": "toy", "seeds": [1]}
    response = http.post("/v1/generate", json=body, headers={"prefer": "respond-async, wait=20"})
    assert response.headers["preference-applied"] == "wait=20"
    capped = http.post("/v1/generate", json=body, headers={"prefer": "wait=99999"})
    assert capped.headers["preference-applied"] == "wait=600"
    assert "preference-applied" not in http.post("/v1/generate", json=body).headers
