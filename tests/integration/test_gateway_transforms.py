"""Generators whose pictures can be turned and moved, through a real Triton."""

from __future__ import annotations

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.images.provenance import read_provenance
from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_pixels, toy_sha256
from tests.triton_process import TritonProcess

MODEL = "my-stylegan3"
MOVED = {"rotation": 30.5, "translation": [0.25, -0.125]}
URL = f"/v1/models/{MODEL}/images/42.png"
NPY = {"accept": "application/x-npy"}


def pixels(http: httpx.Client, **body: object) -> np.ndarray:
    response = http.post("/v1/generate", json={"model": MODEL, **body}, headers=NPY)
    assert response.status_code == 200, response.text
    return np.load(BytesIO(response.content))


def sha256s(http: httpx.Client, **body: object) -> list[str]:
    answer = http.post("/v1/generate", json={"model": MODEL, **body}).json()
    return [item["pixels_sha256"] for item in answer["data"]]


def frames_of(http: httpx.Client, **body: object) -> list[np.ndarray]:
    response = http.post("/v1/interpolate", json={"model": MODEL, "format": "apng", **body})
    assert response.status_code == 200, response.text
    with Image.open(BytesIO(response.content)) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def verdict(http: httpx.Client, file: bytes) -> str:
    form = {"files": {"image": ("file", file)}, "data": {"reproduce": "true"}}
    found = http.post("/v1/verify", **form).json()
    return found["verdict"] if found["reproduced"]["match"] != "exact" else "exact"


def test_a_picture_is_turned_and_moved(http: httpx.Client, triton: TritonProcess) -> None:
    made = pixels(http, seeds=[3, 4], **MOVED)
    for seed, image in zip((3, 4), made, strict=True):
        np.testing.assert_array_equal(image, toy_pixels(triton.repository, seed, name=MODEL, **MOVED))
    for one in MOVED:
        expected = toy_pixels(triton.repository, 3, name=MODEL, **{one: MOVED[one]})
        np.testing.assert_array_equal(pixels(http, seeds=[3], **{one: MOVED[one]})[0], expected)
        assert (expected != made[0]).any()


def test_zeros_are_what_a_call_without_them_gives(http: httpx.Client, triton: TritonProcess) -> None:
    expected = [toy_sha256(triton.repository, 3, name=MODEL)]
    for zeros in ({}, {"rotation": 0, "translation": [0, 0]}, {"rotation": -0.0, "translation": [0, -0.0]}):
        assert sha256s(http, seeds=[3], **zeros) == expected
    # Of a model that cannot be moved as well: it is asked for nothing.
    assert http.post("/v1/generate", json={"model": "toy", "seeds": [3], "rotation": 0}).status_code == 200


def test_styles_that_a_client_kept_can_be_turned_too(http: httpx.Client) -> None:
    answer = http.post("/v1/generate", json={"model": MODEL, "seeds": [3], "return_ws": True}).json()
    ws = answer["data"][0]["ws"]
    assert sha256s(http, ws=ws, **MOVED) == sha256s(http, seeds=[3], **MOVED)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("generate", {"seeds": [1], "rotation": 5}, "rotation"),
        ("generate", {"seeds": [1], "translation": [0, 0.1]}, "translation"),
        ("interpolate", {"keyframes": [1, 2], "frames": 2, "rotation": 5}, "rotation"),
        (
            "interpolate",
            {"keyframes": [1, {"seed": 2, "translation": [1, 0]}], "frames": 2},
            "keyframes.1.translation",
        ),
        ("style-mix", {"rows": [1], "columns": [2], "rotation": 5}, "rotation"),
        (
            "jobs",
            {"operation": "generate", "seeds": [1], "parameters": {"rotation": 5}},
            "parameters.rotation",
        ),
    ],
)
def test_models_that_cannot_be_moved(http: httpx.Client, path: str, body: dict, field: str) -> None:
    response = http.post(f"/v1/{path}", json={"model": "terrain", **body})
    assert response.status_code == 422, response.text
    assert response.json()["type"] == "/problems/invalid-request"
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert "`transforms`" in error["detail"]
    assert error["accepted"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rotation": 3601}, "rotation"),
        ({"rotation": "30"}, "rotation"),
        ({"translation": [0.1]}, "translation"),
        ({"translation": [0.1, 0.1, 0.1]}, "translation"),
        ({"translation": [0, -10.5]}, "translation.1"),
        ({"translation": 0.1}, "translation"),
    ],
)
def test_transforms_out_of_bounds(http: httpx.Client, wrong: dict, field: str) -> None:
    response = http.post("/v1/generate", json={"model": MODEL, "seeds": [1], **wrong})
    assert response.status_code == 422, response.text
    assert [error["field"] for error in response.json()["errors"]] == [field]
    # A number that is none is not even JSON.
    nan = b'{"model": "my-stylegan3", "seeds": [1], "rotation": NaN}'
    assert http.post("/v1/generate", content=nan, headers={"content-type": "application/json"}).is_error


def test_styles_alone_have_no_transform(http: httpx.Client) -> None:
    for body in ({"latents": [1], "rotation": 5}, {"latents": [{"seed": 1, "rotation": 5}]}):
        response = http.post("/v1/latents", json={"model": MODEL, **body})
        assert response.status_code == 422, response.text


def test_the_cacheable_image(http: httpx.Client, triton: TritonProcess) -> None:
    query = {"rotation": "30.5", "translation": "0.25,-0.125"}
    response = http.get(URL, params=query)
    assert response.headers["x-pixels-sha256"] == toy_sha256(triton.repository, 42, name=MODEL, **MOVED)
    etags = {
        http.get(URL, params=part).headers["etag"] for part in ({}, {"rotation": "30.5"}, {"rotation": "31"})
    }
    assert len({*etags, response.headers["etag"]}) == 4
    again = http.get(URL, params=query, headers={"if-none-match": response.headers["etag"]})
    assert again.status_code == 304
    zeros = http.get(URL, params={"rotation": "0", "translation": "0,0"})
    assert zeros.headers["etag"] == http.get(URL).headers["etag"]
    for wrong in ("0.25", "0.25,x", "1,2,3", "nan,0", "11,0", ""):
        refused = http.get(URL, params={"translation": wrong})
        assert refused.status_code == 422, wrong
        assert [error["field"] for error in refused.json()["errors"]] == ["translation"]


def test_recipes_have_transforms_and_make_the_image_again(http: httpx.Client) -> None:
    png = {"accept": "image/png"}
    moved = http.post("/v1/generate", json={"model": MODEL, "seeds": [3], **MOVED}, headers=png).content
    recipe = read_provenance(moved).recipe
    assert {name: recipe[name] for name in MOVED} == MOVED
    assert verdict(http, moved) == "exact"
    plain = http.post("/v1/generate", json={"model": MODEL, "seeds": [3]}, headers=png).content
    assert not {"rotation", "translation"} & set(read_provenance(plain).recipe)
    mixed = {"model": MODEL, "rows": [1, 2], "columns": [3], **MOVED}
    grid = http.post("/v1/style-mix", json=mixed, headers=png).content
    assert verdict(http, grid) == "exact"
    ws = http.post("/v1/latents", json={"model": MODEL, "latents": [5]}).json()["data"][0]["ws"]
    turning = {"keyframes": [{"ws": ws, "rotation": 0}, {"ws": ws, "rotation": 90}], "frames": 3}
    path = http.post("/v1/interpolate", json={"model": MODEL, **turning, "format": "apng"}).content
    assert verdict(http, path) == "exact"
    sheet = http.post("/v1/generate", json={"model": MODEL, "ws": [ws, ws], **MOVED}, headers=png).content
    assert read_provenance(sheet).recipe["rotation"] == MOVED["rotation"]


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_turning_picture(http: httpx.Client, triton: TritonProcess, space: str) -> None:
    """Frames lie between the keyframes' transforms as numbers; what keyframes leave out is the call's."""
    keyframes = [{"seed": 7, "rotation": 0, "translation": [0, 0]}, {"seed": 7, "rotation": 360}]
    made = frames_of(http, keyframes=keyframes, frames=5, space=space, translation=[0.5, 1])
    for index, frame in enumerate(made):
        t = index / 4
        expected = toy_pixels(
            triton.repository, 7, name=MODEL, rotation=360 * t, translation=[0.5 * t, 1.0 * t]
        )
        np.testing.assert_array_equal(frame, expected)


def test_a_grid_of_turned_pictures(http: httpx.Client, triton: TritonProcess) -> None:
    body = {"model": MODEL, "rows": [1], "columns": [1], "rotation": 45}
    answer = http.post("/v1/style-mix", json=body, headers={"accept": "application/json"}).json()
    expected = toy_sha256(triton.repository, 1, name=MODEL, rotation=45)
    assert answer["data"][0]["pixels_sha256"] == expected


def test_the_card_says_what_can_be_asked_for_and_what_the_licence_forbids(http: httpx.Client) -> None:
    card = http.get(f"/v1/models/{MODEL}").json()
    assert card["transforms"] == ["rotation", "translation"]
    assert card["golden"]["state"] == "exact"  # of the unmoved picture
    assert card["commercial_use"] is False
    assert card["imported_from"]["file"] == "toy.pkl"
    assert card["notice"] == (
        "Not for commercial use: its weights are under LicenseRef-NVIDIA-Source-Code-License-NC, "
        "see https://example.com/licence?version=1."
    )
    toy = http.get("/v1/models/toy").json()
    assert not {"notice", "commercial_use", "transforms"} & set(toy)


def test_the_log_warns_of_such_a_licence(http: httpx.Client, gateway: GatewayProcess) -> None:
    warnings = [line for line in gateway.log().splitlines() if "not free to use" in line]
    assert warnings
    assert all(MODEL in line and "Not for commercial use" in line for line in warnings)


def test_images_link_to_the_licence(http: httpx.Client) -> None:
    link = '<https://example.com/licence?version=1>; rel="license"'
    first = http.get(URL)
    assert first.headers["link"] == link
    assert http.get(URL, headers={"if-none-match": first.headers["etag"]}).headers["link"] == link
    stream = {"model": MODEL, "keyframes": [1, 2], "frames": 2}
    events = http.post("/v1/interpolate", json=stream, headers={"accept": "text/event-stream"})
    assert events.headers["link"] == link
    assert "link" not in http.get("/v1/models/toy/images/42.png").headers
