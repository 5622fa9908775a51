"""`/v1/verify` makes grids, filmstrips and frames again; what is made of images is held by its hash."""

from __future__ import annotations

import io
import zipfile
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.images.animation import AnimationFormat, encode_animation
from service.images.decode import DecodeLimits, decode_frames
from service.images.encode import encode
from service.images.provenance import (
    DIGITAL_SOURCE_TYPE,
    animation_comment,
    canonical_json,
    read_provenance,
)
from tests.image_files import saved
from tests.integration.test_gateway_verify import resaved, verify

MIX: dict[str, Any] = {
    "model": "toy",
    "rows": [1, {"seed": 2, "truncation": 0.5, "truncation_cutoff": 3}],
    "columns": [3, 4, 5],
    "layers": ["middle", 3],
    "noise": 7,
}
PATH: dict[str, Any] = {
    "model": "toy",
    "keyframes": [1, {"seed": 2, "truncation": 0.5}, 3],
    "frames": 5,
    "easing": "ease-in",
    "loop": True,
}
EXACT = {
    "performed": True,
    "match": "exact",
    "max_difference": 0,
    "psnr": None,
    "different_frames": None,
    "reason": None,
}


def ws_of(http: httpx.Client, seed: int) -> str:
    answer = http.post("/v1/latents", json={"model": "toy", "latents": [seed]})
    return str(answer.json()["data"][0]["ws"])


def post(http: httpx.Client, call: str, body: dict[str, Any], accept: str) -> httpx.Response:
    response = http.post(f"/v1/{call}", json=body, headers={"accept": accept})
    assert response.status_code == 200, response.text
    return response


def assert_shown(http: httpx.Client, data: bytes, media_type: str = "image/png") -> None:
    """It is made again exactly, and a pixel that was changed is found."""
    found = verify(http, data, media_type, reproduce=True)
    assert found["reproduced"] == EXACT
    assert found["verdict"] == "authentic"
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).copy()
    pixels[5, 5] ^= 200
    found = verify(http, resaved(data, "PNG", pixels), reproduce=True)
    assert (found["verdict"], found["reproduced"]["match"]) == ("altered", "different")


@pytest.mark.parametrize("options", [{}, {"headers": False}, {"captions": True}])
def test_grids(http: httpx.Client, options: dict[str, Any]) -> None:
    assert_shown(http, post(http, "style-mix", {**MIX, **options}, "image/png").content)


def test_grids_of_styles_and_in_other_formats(http: httpx.Client) -> None:
    body = {**MIX, "rows": [{"ws": ws_of(http, 9)}, 1], "captions": True}
    assert_shown(http, post(http, "style-mix", body, "image/webp").content, "image/webp")
    lossy = post(http, "style-mix", {**MIX, "quality": 80}, "image/jpeg").content
    found = verify(http, lossy, "image/jpeg", reproduce=True)
    assert (found["verdict"], found["reproduced"]["match"]) == ("authentic", "close")


def test_crossed_images(http: httpx.Client) -> None:
    made = post(http, "style-mix", MIX, "application/json").json()["data"]
    for image in (made[0], made[5]):
        assert_shown(http, b64decode(image["b64_json"]))


@pytest.mark.parametrize("space", ["w", "z"])
def test_filmstrips_and_frames(http: httpx.Client, space: str) -> None:
    body = {**PATH, "space": space}
    if space == "z":
        body["keyframes"] = [1, 2, 3]
    assert_shown(http, post(http, "interpolate", {**body, "format": "sheet"}, "image/png").content)
    with zipfile.ZipFile(io.BytesIO(post(http, "interpolate", body, "application/zip").content)) as archive:
        for name in ("00000.png", "00003.png"):
            assert_shown(http, archive.read(name))


def test_recipes_that_no_call_takes(http: httpx.Client) -> None:
    digest = http.get("/v1/models/toy").json()["digest"]
    mix = {"model": "toy", "digest": digest, "operation": "style-mix", "rows": [1], "columns": [2]}
    path = {"model": "toy", "digest": digest, "operation": "interpolate", "keyframes": [1, 2], "frames": 3}
    many = [1] * 60
    for recipe, reason in (
        ({**mix, "layers": [99], "headers": True}, "layers"),
        ({**mix, "layers": [0], "rows": [1, 2]}, "does not say how they lie"),
        ({**mix, "layers": [0], "rows": many, "columns": many, "headers": True}, "were asked for"),
        ({**mix, "layers": [0], "rows": [{"seed": -1}]}, "rows.0"),
        ({**mix, "layers": [0], "rows": [{"ws_sha256": "0" * 64}]}, "sha256 of some styles"),
        ({**mix, "rows_sha256": "0" * 64}, "sha256 of its latents"),
        ({**mix, "surprise": 1}, "it has 'surprise'"),
        ({**path, "frame": 3}, "do not have"),
        ({**path, "frame": True}, "do not have"),
        ({**path, "frames": 10**6}, "were asked for"),
        ({**path, "keyframes": 7}, "keyframes"),
        ({**path, "keyframes": [{"seed": 1, "label": 4}, 2]}, "label"),
    ):
        found = verify(http, encode(np.zeros((16, 16, 3), np.uint8), "png", recipe), reproduce=True)
        assert found["reproduced"]["performed"] is False
        assert reason in found["reproduced"]["reason"], (recipe, found["reproduced"]["reason"])
        assert found["verdict"] == "unsigned-claim"


@pytest.mark.parametrize(
    ("call", "fields"),
    [("super-resolution", {"model": "photo-x4", "scale": "2"}), ("translate", {"model": "sketch-to-emoji"})],
)
def test_what_is_made_of_other_images_is_held_by_its_hash(
    http: httpx.Client, call: str, fields: dict[str, str]
) -> None:
    source = saved(Image.fromarray(np.full((64, 64, 3), 200, np.uint8)), "PNG")
    answer = http.post(f"/v1/{call}", files={"image": source}, data=fields)
    assert answer.status_code == 200, answer.text
    found = verify(http, answer.content, reproduce=True)
    assert found["verdict"] == "unsigned-claim"
    assert found["pixels"]["match"] is True
    assert found["pixels"]["recorded_sha256"] == answer.headers["x-pixels-sha256"]
    assert "the hash of the pixels that the recipe records" in found["reproduced"]["reason"]

    def with_source(file: bytes, other: bytes) -> dict[str, Any]:
        files = {"image": file, "source": other}
        response = http.post("/v1/verify", files=files, data={"reproduce": "true"})
        assert response.status_code == 200, response.text
        return dict(response.json())

    found = with_source(answer.content, source)
    assert found["reproduced"] == EXACT
    assert found["verdict"] == "authentic"
    other = saved(Image.fromarray(np.full((64, 64, 3), 201, np.uint8)), "PNG")
    found = with_source(answer.content, other)
    assert (found["verdict"], found["reproduced"]["performed"]) == ("unsigned-claim", False)
    assert "not the image of the recipe" in found["reproduced"]["reason"]
    lossy = http.post(f"/v1/{call}", files={"image": source}, data={**fields, "format": "jpeg"}).content
    found = with_source(lossy, source)
    assert (found["verdict"], found["reproduced"]["match"]) in (
        ("authentic", "close"),
        ("authentic", "exact"),
    )
    broken = http.post("/v1/verify", files={"image": lossy, "source": b"x"}, data={"reproduce": "true"})
    assert (broken.status_code, broken.json()["type"]) == (422, "/problems/image-unreadable")
    pixels = np.asarray(Image.open(io.BytesIO(answer.content))).copy()
    pixels[0, 0] ^= 1
    found = verify(http, resaved(answer.content, "PNG", pixels), reproduce=True)
    assert (found["verdict"], found["pixels"]["match"]) == ("altered", False)


def test_the_recipe_of_a_grid_says_how_it_is_laid_out(http: httpx.Client) -> None:
    data = post(http, "style-mix", {**MIX, "captions": True}, "image/png").content
    recipe = read_provenance(data).recipe
    assert recipe is not None
    assert (recipe["headers"], recipe["captions"]) == (True, True)


ANIMATIONS = [("apng", None), ("webp", None), ("gif", None), ("webp", 70)]


def as_form(http: httpx.Client, data: bytes) -> dict[str, Any]:
    response = http.post("/v1/verify", files={"image": data}, data={"reproduce": "true"})
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.parametrize(("kind", "quality"), ANIMATIONS)
def test_animations(http: httpx.Client, kind: AnimationFormat, quality: int | None) -> None:
    body = {**PATH, "frames": 6, "fps": 12.5, "format": kind, "quality": quality}
    answer = post(http, "interpolate", body, "*/*")
    lossless = kind != "gif" and quality is None
    media_type = answer.headers["content-type"]
    claimed = verify(http, answer.content, media_type)
    assert claimed["verdict"] == "unsigned-claim"
    assert claimed["digital_source_type"] == DIGITAL_SOURCE_TYPE
    recipe = claimed["recipe"]
    assert recipe["pixels_sha256"] == answer.headers["x-pixels-sha256"]
    assert recipe.get("quality") == quality
    assert claimed["pixels"]["match"] is (True if lossless else None)
    found = verify(http, answer.content, media_type, reproduce=True)
    assert found["verdict"] == "authentic"
    assert found["reproduced"]["match"] == ("exact" if lossless else "close")
    assert found["reproduced"]["different_frames"] == []
    assert "The animation was made again" in found["explanation"]
    # One frame is another one.
    frames = [pixels.copy() for pixels, _ in decode_frames(answer.content, DecodeLimits(1 << 20, 100))]
    frames[3][2:10, 2:10] ^= 0x80
    forged = encode_animation(frames, kind, 12.5, loop=True, recipe=recipe, quality=quality)
    found = as_form(http, forged)
    assert found["verdict"] == "altered"
    if lossless:
        assert (found["pixels"]["match"], found["reproduced"]["different_frames"]) == (False, [3])
    else:
        assert 3 in found["reproduced"]["different_frames"]
        assert "frame" in found["explanation"]
    fewer = encode_animation(frames[:3], kind, 12.5, loop=True, recipe=recipe, quality=quality)
    assert as_form(http, fewer)["verdict"] == "altered"
    longer = encode_animation([*frames, *frames], kind, 12.5, loop=True, recipe=recipe, quality=quality)
    found = as_form(http, longer)
    assert (found["verdict"], found["reproduced"]["different_frames"]) == ("altered", None)
    assert "12 frames are not its 6" in found["explanation"] or lossless


def test_animations_whose_recipe_no_call_takes(http: httpx.Client) -> None:
    answer = post(http, "interpolate", {**PATH, "format": "webp"}, "*/*")
    recipe = read_provenance(answer.content).recipe
    frames = [np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 9, np.uint8)]
    for change, reason in (
        ({"keyframes": [1]}, "keyframes"),
        ({"frames": 601}, "were asked for"),
        ({"frames": 10**9}, "larger than those made here"),
        ({"fps": 0.001}, "not that of an animation"),
        ({"fps": "1"}, "not that of an animation"),
        ({"quality": 101}, "quality"),
        ({"surprise": 1}, "it has 'surprise'"),
        ({"operation": "style-mix"}, "not that of an animation"),
    ):
        found = as_form(http, encode_animation(frames, "webp", 24, loop=True, recipe={**recipe, **change}))
        assert found["reproduced"]["performed"] is False
        assert reason in found["reproduced"]["reason"], (change, found["reproduced"]["reason"])
        assert found["verdict"] in ("unsigned-claim", "altered")


def test_a_still_gif_with_a_recipe(http: httpx.Client) -> None:
    made = post(http, "generate", {"model": "toy", "seeds": [1, 2, 3, 4]}, "image/png").content
    out = io.BytesIO()
    comment = animation_comment(canonical_json(read_provenance(made).recipe))
    Image.open(io.BytesIO(made)).convert("RGB").save(out, "GIF", comment=comment.encode())
    found = as_form(http, out.getvalue())
    assert (found["verdict"], found["reproduced"]["match"]) == ("authentic", "close")
