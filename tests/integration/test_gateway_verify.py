import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.images.encode import encode
from service.images.provenance import DIGITAL_SOURCE_TYPE, canonical_json, read_provenance, xmp_packet
from tests.certificates import make_authority, write_credentials
from tests.gateway_process import GatewayProcess
from tests.integration.test_gateway_generate import generate, pixels_of
from tests.integration.test_gateway_images import inferences
from tests.triton_process import TritonProcess


def verify(http: httpx.Client, data: bytes, media_type: str = "image/png", **query: Any) -> dict:
    response = http.post("/v1/verify", content=data, params=query, headers={"content-type": media_type})
    assert response.status_code == 200, response.text
    return response.json()


def resaved(data: bytes, image_format: str, pixels: np.ndarray | None = None, **options: Any) -> bytes:
    """By another program that keeps XMP."""
    out = BytesIO()
    image = Image.fromarray(pixels_of(data) if pixels is None else pixels)
    recipe = read_provenance(data).recipe
    if image_format == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp_packet(canonical_json(recipe)))
    else:
        options["xmp"] = xmp_packet(canonical_json(recipe)).encode()
    image.save(out, image_format, **options)
    return out.getvalue()


def with_recipe(pixels: np.ndarray, recipe: str) -> bytes:
    out, info = BytesIO(), PngInfo()
    info.add_itxt("ganserve", recipe)
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_made_again_exactly(http: httpx.Client, triton: TritonProcess, image_format: str) -> None:
    made = generate(http, f"image/{image_format}", seeds=[42], truncation=0.7, truncation_cutoff=2, noise=5)
    before = inferences(triton)
    claimed = verify(http, made.content, f"image/{image_format}")
    assert inferences(triton) == before
    assert claimed["verdict"] == "unsigned-claim"
    assert "`reproduce`" in claimed["explanation"]
    assert claimed["found"]
    assert claimed["recipe"]["seed"] == 42
    assert claimed["recipe_source"] == "file"
    assert claimed["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert claimed["image"] == {"format": image_format.upper(), "width": 16, "height": 16, "frames": 1}
    digest = made.headers["x-model-digest"]
    assert claimed["model"] == {"name": "toy", "digest": digest, "served": True, "same_digest": True}
    sha256 = made.headers["x-pixels-sha256"]
    assert claimed["pixels"] == {"sha256": sha256, "recorded_sha256": sha256, "match": True}
    assert claimed["reproduced"]["performed"] is False
    assert claimed["c2pa"]["present"] is False
    proven = verify(http, made.content, f"image/{image_format}", reproduce=True)
    assert proven["verdict"] == "authentic"
    assert proven["reproduced"] == {
        "performed": True,
        "match": "exact",
        "max_difference": 0,
        "psnr": None,
        "different_frames": None,
        "reason": None,
    }
    assert inferences(triton) == before + 1


def test_as_a_form(http: httpx.Client) -> None:
    made = generate(http, "image/png", seeds=[42]).content
    plain = http.post("/v1/verify", files={"image": made})
    assert plain.status_code == 200, plain.text
    assert plain.json()["verdict"] == "unsigned-claim"
    for response in (
        http.post("/v1/verify", files={"image": made}, data={"reproduce": "true"}),
        http.post("/v1/verify?reproduce=true", files={"image": made}),
    ):
        assert response.json()["verdict"] == "authentic"
    refused = http.post("/v1/verify", files={"image": made}, data={"seed": "1"})
    assert refused.json()["type"] == "/problems/invalid-request"
    packed = http.post(
        "/v1/verify", content=b"x", headers={"content-type": "image/png", "content-encoding": "gzip"}
    )
    assert packed.json()["type"] == "/problems/unsupported-media-type"


def test_one_changed_pixel(http: httpx.Client) -> None:
    made = generate(http, "image/png", seeds=[42]).content
    pixels = pixels_of(made).copy()
    pixels[3, 4, 1] ^= 64
    forged = resaved(made, "PNG", pixels)
    found = verify(http, forged)
    assert found["verdict"] == "altered"
    assert found["pixels"]["match"] is False
    again = verify(http, forged, reproduce=True)
    assert again["verdict"] == "altered"
    assert again["reproduced"]["match"] == "different"
    assert again["reproduced"]["max_difference"] == 64
    # Nor does it help to rewrite the hash as well.
    recipe = {**read_provenance(made).recipe, "pixels_sha256": found["pixels"]["sha256"]}
    forged = with_recipe(pixels, json.dumps(recipe))
    assert verify(http, forged)["verdict"] == "unsigned-claim"
    assert verify(http, forged, reproduce=True)["verdict"] == "altered"


def test_without_metadata(http: httpx.Client) -> None:
    out = BytesIO()
    Image.fromarray(pixels_of(generate(http, "image/png", seeds=[1]).content)).save(out, "PNG")
    found = verify(http, out.getvalue(), reproduce=True)
    assert found["verdict"] == "no-provenance"
    assert found["found"] is False
    assert found["recipe"] is found["model"] is found["recipe_source"] is None
    assert found["pixels"]["match"] is None
    assert found["reproduced"]["performed"] is False


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 60}),
        ("JPEG", {"quality": 25}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"quality": 30}),
    ],
)
def test_lossy_copies_are_close_and_edits_in_them_are_not(
    http: httpx.Client, image_format: str, options: dict
) -> None:
    made = generate(http, "image/png", seeds=[42], truncation=0.5, noise="none").content
    media_type = f"image/{image_format.lower()}"
    found = verify(http, resaved(made, image_format, **options), media_type, reproduce=True)
    assert (found["verdict"], found["reproduced"]["match"]) == ("authentic", "close")
    assert found["pixels"]["match"] is None
    assert found["reproduced"]["max_difference"] > 0
    assert found["reproduced"]["psnr"] > 15
    pixels = pixels_of(made).copy()
    pixels[8:12, 8:12] ^= 0x80  # half of the range, up or down
    found = verify(http, resaved(made, image_format, pixels, **options), media_type, reproduce=True)
    assert (found["verdict"], found["reproduced"]["match"]) == ("altered", "different")


@pytest.mark.parametrize(("media_type", "quality"), [("image/jpeg", 40), ("image/webp", 40)])
def test_lossy_files_made_here(http: httpx.Client, media_type: str, quality: int) -> None:
    made = generate(http, media_type, seeds=[7], quality=quality)
    found = verify(http, made.content, media_type, reproduce=True)
    assert (found["verdict"], found["reproduced"]["match"]) == ("authentic", "close")


def test_sheets_and_styles_are_made_again(http: httpx.Client) -> None:
    sheet = generate(http, "image/png", seeds=[1, 2, 3], truncation=0.5, captions=True)
    assert verify(http, sheet.content, reproduce=True)["reproduced"]["match"] == "exact"
    item = generate(http, "application/json", seeds=[1], return_ws=True).json()["data"][0]
    of_styles = generate(http, "application/json", ws=item["ws"]).json()["data"][0]
    found = verify(http, b64decode(of_styles["b64_json"]), reproduce=True)
    assert found["reproduced"]["match"] == "exact"
    assert found["verdict"] == "authentic"


def test_another_digest(http: httpx.Client, triton: TritonProcess) -> None:
    made = generate(http, "image/png", seeds=[1]).content
    recipe = {**read_provenance(made).recipe, "digest": "0" * 64}
    before = inferences(triton)
    found = verify(http, with_recipe(pixels_of(made), json.dumps(recipe)), reproduce=True)
    assert found["model"]["same_digest"] is False
    assert found["verdict"] == "unsigned-claim"
    assert "another digest" in found["reproduced"]["reason"]
    other = {**recipe, "model": "nobody"}
    found = verify(http, with_recipe(pixels_of(made), json.dumps(other)), reproduce=True)
    assert found["model"]["served"] is False
    assert "No model of that name" in found["reproduced"]["reason"]
    assert inferences(triton) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": None, "seeds": list(range(10_000))}, "10000 images"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"seed": [[1]]}, "seed"),
        ({"seed": None}, "either `seeds`"),
        ({"truncation": 1e300}, "truncation"),
        ({"truncation": {"a": 1}}, "truncation"),
        ({"truncation_cutoff": 99}, "truncation_cutoff"),
        ({"label": "cat"}, "label"),
        ({"edits": {"smile": 3}}, "edits.smile"),
        ({"noise": 2**70}, "noise"),
        ({"rows": [1], "columns": [2]}, "not that of a generate call"),
        ({"operation": "super-resolution", "source_sha256": "0" * 64}, "made of another one"),
        ({"x" * 9000: 1}, "not that of a generate call"),
        ({"ws_sha256": "0" * 64}, "too large"),
        ({"model": ["toy"]}, "names no model"),
        ({"model": "x" * 5000}, "names no model"),
        ({"digest": 7}, "another digest"),
    ],
)
def test_hostile_recipes_are_not_carried_out(
    http: httpx.Client, triton: TritonProcess, changes: dict, said: str
) -> None:
    made = generate(http, "image/png", seeds=[1]).content
    recipe = {**read_provenance(made).recipe, **changes}
    before = inferences(triton)
    found = verify(http, with_recipe(pixels_of(made), json.dumps(recipe)), reproduce=True)
    assert found["reproduced"]["performed"] is False
    assert said in found["reproduced"]["reason"]
    assert found["verdict"] == "unsigned-claim"
    assert inferences(triton) == before


@pytest.mark.parametrize("recipe", ["[" * 50_000, '{"a": NaN}', "7", '{"seed": 1e999}'])
def test_recipes_that_cannot_be_read(http: httpx.Client, recipe: str) -> None:
    found = verify(http, with_recipe(np.zeros((8, 8, 3), np.uint8), recipe), reproduce=True)
    assert found["verdict"] == "no-provenance"
    assert "cannot be read" in found["problems"][0]


def test_text_that_is_no_utf8_comes_back(http: httpx.Client) -> None:
    found = verify(
        http, with_recipe(np.zeros((8, 8, 3), np.uint8), r'{"model": "\ud800", "a": "\ud83d\ude00"}')
    )
    assert found["recipe"]["a"] == "😀"
    assert found["model"]["served"] is False


def test_marks_without_a_recipe(http: httpx.Client) -> None:
    out, info = BytesIO(), PngInfo()
    packet = xmp_packet("{}").replace("ganserve:recipe", "other:thing")
    info.add_itxt("XML:com.adobe.xmp", packet)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(out, "PNG", pnginfo=info)
    found = verify(http, out.getvalue())
    assert found["verdict"] == "other-provenance"
    assert found["digital_source_type"] == DIGITAL_SOURCE_TYPE


def test_alpha_and_animations(http: httpx.Client) -> None:
    rgba = np.random.RandomState(0).randint(0, 255, (8, 8, 4), dtype=np.uint8)
    import hashlib

    recipe = {"model": "toy", "pixels_sha256": hashlib.sha256(rgba.tobytes()).hexdigest()}
    assert verify(http, encode(rgba, "png", recipe))["pixels"]["match"] is True
    frames = [Image.fromarray(rgba[..., :3]), Image.fromarray(255 - rgba[..., :3])]
    out = BytesIO()
    frames[0].save(
        out, "WEBP", save_all=True, append_images=frames[1:], xmp=xmp_packet(json.dumps(recipe)).encode()
    )
    found = verify(http, out.getvalue(), "image/webp", reproduce=True)
    assert found["image"]["frames"] == 2
    assert found["pixels"]["sha256"] is None
    assert "not that of an animation" in found["reproduced"]["reason"]


@pytest.mark.parametrize(
    ("content", "media_type", "query", "status", "problem"),
    [
        (b"x", "application/json", "", 415, "unsupported-media-type"),
        (b"x", None, "", 415, "unsupported-media-type"),
        (b"", "image/png", "", 422, "invalid-request"),
        (b"not an image at all", "image/png", "", 415, "image-unsupported"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png", "", 422, "image-unreadable"),
        (bytes((32 << 20) + 1), "image/png", "", 413, "body-too-large"),
        (b"x", "image/png", "?reproduce=perhaps", 422, "invalid-request"),
        (b"x", "image/png", "?reproduce=true&reproduce=false", 422, "invalid-request"),
        (b"x", "image/png", "?repeat=true", 422, "invalid-request"),
    ],
)
def test_problems(http: httpx.Client, content, media_type, query, status, problem) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    response = http.post(f"/v1/verify{query}", content=content, headers=headers)
    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{problem}")


def test_no_more_at_a_time_than_the_limit(
    triton: TritonProcess, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(triton.grpc_url, verify_limit=1)
    data = encode(np.zeros((8, 8, 3), np.uint8), "png", {})
    sending, done = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[:20]
        sending.set()
        done.wait(20)
        yield data[20:]

    first: list[httpx.Response] = []

    def send() -> None:
        with gateway.client() as client:
            first.append(client.post("/v1/verify", content=slowly(), headers={"content-type": "image/png"}))

    thread = threading.Thread(target=send)
    thread.start()
    with gateway.client() as http:
        assert sending.wait(20)
        statuses = set()
        for _ in range(50):
            response = http.post("/v1/verify", content=data, headers={"content-type": "image/png"})
            statuses.add(response.status_code)
            if response.status_code == 503:
                break
        assert response.status_code == 503, statuses
        assert response.json()["type"] == "/problems/queue-full"
        assert response.headers["retry-after"] == "2"
        done.set()
        thread.join()
        assert first[0].status_code == 200
        assert verify(http, data)["verdict"] == "unsigned-claim"


@pytest.fixture(scope="module")
def signing(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway with a certificate that signs on request."""
    folder = tmp_path_factory.mktemp("signing")
    process = GatewayProcess(triton.grpc_url, folder / "log", **write_credentials(folder, make_authority()))
    process.wait_ready()
    with process.client() as client:
        yield client
    process.close()


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_signed_here(signing: httpx.Client, http: httpx.Client, media_type: str) -> None:
    data = generate(signing, media_type, seeds=[3], sign=True).content
    found = verify(signing, data, media_type)
    assert found["verdict"] == "authentic"
    assert found["recipe_source"] == "manifest"
    assert found["recipe"] == read_provenance(data).recipe
    assert found["c2pa"] == {
        "present": True,
        "valid": True,
        "trusted": True,
        "validation_state": "Trusted",
        "issuer": "Example Operator Ltd",
        "common_name": "Example Operator",
        "signed_at": None,
        "problems": [],
    }
    # To a service with another certificate, or none, it is intact and no proof.
    found = verify(http, data, media_type)
    assert found["verdict"] == "unsigned-claim"
    assert (found["c2pa"]["valid"], found["c2pa"]["trusted"]) == (True, False)
    assert found["c2pa"]["problems"] == ["signingCredential.untrusted"]


@pytest.mark.parametrize("kind", ["apng", "gif"])
def test_signed_animations(signing: httpx.Client, kind: str) -> None:
    body = {"model": "toy", "keyframes": [1, 2], "frames": 3, "format": kind, "sign": True}
    answer = signing.post("/v1/interpolate", json=body)
    assert answer.status_code == 200, answer.text
    found = verify(signing, answer.content, answer.headers["content-type"], reproduce=True)
    assert (found["verdict"], found["recipe_source"]) == ("authentic", "manifest")
    assert found["c2pa"]["trusted"] is True
    assert found["recipe"]["pixels_sha256"] == answer.headers["x-pixels-sha256"]
    assert found["reproduced"]["match"] in ("exact", "close")


def test_signed_and_changed(signing: httpx.Client) -> None:
    plain = generate(signing, "image/png", seeds=[3]).content
    data = bytearray(generate(signing, "image/png", seeds=[3], sign=True).content)
    # The text chunk's seed: pixels and checksums of PNG still hold, the signature does not.
    position = data.index(b'"seed":3')
    chunk_start = data.rindex(b"iTXt", 0, position)
    length = int.from_bytes(data[chunk_start - 4 : chunk_start], "big")
    data[position + 7] = ord("4")
    import zlib

    checksum = zlib.crc32(data[chunk_start : chunk_start + 4 + length]).to_bytes(4, "big")
    data[chunk_start + 4 + length : chunk_start + 8 + length] = checksum
    found = verify(signing, bytes(data))
    assert found["verdict"] == "altered"
    assert found["c2pa"]["valid"] is False
    assert "assertion.dataHash.mismatch" in found["c2pa"]["problems"]
    assert verify(signing, plain)["c2pa"]["present"] is False


def test_trust_in_an_authority(
    triton: TritonProcess, signing: httpx.Client, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    authority = make_authority("Another Authority")
    (tmp_path / "anchors.pem").write_text(authority.pem)
    other = start_gateway(triton.grpc_url, **write_credentials(tmp_path, authority, name="Another Operator"))
    trusting = start_gateway(triton.grpc_url, c2pa_trust_anchors=tmp_path / "anchors.pem")
    other.wait_ready()
    with other.client() as http:
        data = generate(http, "image/png", seeds=[3], sign=True).content
    with trusting.client() as http:
        assert verify(http, data)["c2pa"]["common_name"] == "Another Operator"
        assert verify(http, data)["verdict"] == "authentic"
    assert verify(signing, data)["verdict"] == "unsigned-claim"
