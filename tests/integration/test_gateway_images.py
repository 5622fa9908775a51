import httpx
import numpy as np
import pytest

from tests.integration.test_gateway_generate import generate, pixels_of
from tests.toy_oracle import toy_pixels
from tests.triton_process import TritonProcess

URL = "/v1/models/toy/images/42.png"


def inferences(triton: TritonProcess) -> int:
    stats = httpx.get(f"{triton.http_url}/v2/models/toy-mapping/stats", trust_env=False).json()
    return int(stats["model_stats"][0]["inference_count"])


@pytest.mark.parametrize(
    ("suffix", "media_type"), [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp")]
)
def test_formats(http: httpx.Client, triton: TritonProcess, suffix: str, media_type: str) -> None:
    response = http.get(f"/v1/models/toy/images/42.{suffix}")
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    if suffix != "jpg":
        np.testing.assert_array_equal(pixels_of(response.content), toy_pixels(triton.repository, 42))
    assert response.content == http.get(f"/v1/models/toy/images/42.{suffix}").content


def test_parameters(http: httpx.Client, triton: TritonProcess) -> None:
    query = {"truncation": "0.5", "truncation_cutoff": "2", "noise": "7"}
    response = http.get(URL, params=query)
    expected = toy_pixels(triton.repository, 42, truncation=0.5, truncation_cutoff=2, noise=7)
    np.testing.assert_array_equal(pixels_of(response.content), expected)
    same = generate(http, "image/png", seeds=[42], truncation=0.5, truncation_cutoff=2, noise=7)
    assert same.content == response.content
    none = http.get(URL, params={"noise": "none"})
    np.testing.assert_array_equal(pixels_of(none.content), toy_pixels(triton.repository, 42, noise="none"))


def test_not_modified_needs_no_inference(http: httpx.Client, triton: TritonProcess) -> None:
    first = http.get(URL)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    before = inferences(triton)
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = http.get(URL, headers={"if-none-match": header})
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["etag"] == etag
        assert response.headers["cache-control"] == first.headers["cache-control"]
        assert "x-request-id" in response.headers
    assert inferences(triton) == before
    assert http.get(URL, headers={"if-none-match": '"other"'}).status_code == 200
    assert inferences(triton) == before + 1


def test_etags_tell_apart_what_differs(http: httpx.Client) -> None:
    urls = [
        URL,
        URL + "?truncation=0.5",
        URL + "?noise=1",
        URL.replace("42", "43"),
        URL.replace("png", "webp"),
    ]
    assert len({http.get(url).headers["etag"] for url in urls}) == len(urls)
    assert http.get(URL + "?truncation=1.0").headers["etag"] == http.get(URL).headers["etag"]


def test_pinned_is_immutable_and_unpinned_is_not(http: httpx.Client) -> None:
    digest = http.get("/v1/models/toy").json()["digest"]
    pinned = http.get(URL, params={"digest": digest})
    assert pinned.status_code == 200
    assert "immutable" in pinned.headers["cache-control"]
    unpinned = http.get(URL)
    assert unpinned.headers["cache-control"] == "public, no-cache"
    assert pinned.content == unpinned.content


def test_another_digest_conflicts(http: httpx.Client, triton: TritonProcess) -> None:
    before = inferences(triton)
    response = http.get(URL, params={"digest": "0" * 64}, headers={"if-none-match": "*"})
    assert response.status_code == 409
    assert response.json()["type"] == "/problems/digest-mismatch"
    assert response.json()["accepted"] == [http.get("/v1/models/toy").json()["digest"]]
    assert inferences(triton) == before


def test_head(http: httpx.Client) -> None:
    response = http.head(URL)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) == len(http.get(URL).content)
