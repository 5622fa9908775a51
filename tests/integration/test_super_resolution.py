"""Super-resolution over HTTP, by the shipped `photo-x4`, against the whole image in one piece."""

from __future__ import annotations

import hashlib
import io
import time
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from service.images.provenance import read_provenance
from service.images.transparency import spread_colours
from tests.conftest import SHIPPED_MODELS
from tests.gateway_process import GatewayProcess
from tests.hostile_images import CASES, Case
from tests.image_files import orientation_exif, saved
from tests.jobs_service import Event, events
from tests.unit.test_resample import by_pillow

URL = "/v1/super-resolution"
LONG = {"prefer": "wait=280"}


@pytest.fixture(scope="module")
def whole() -> Any:
    """The model, run on whole images."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(SHIPPED_MODELS / "photo-x4" / "1" / "model.onnx", options)
    return lambda pixels: session.run(["images"], {"source": pixels[None]})[0][0]


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth and noisy parts, none like another."""
    random = np.random.RandomState(height * 4099 + width)
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    smooth = 127 + 90 * np.sin(x / 17 + c) * np.cos(y / 23 + 2 * c)
    return np.clip(smooth + random.randint(-30, 30, smooth.shape), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray, **options: Any) -> bytes:
    return saved(Image.fromarray(pixels), "PNG", **options)


def enlarge(http: httpx.Client, file: bytes, **fields: Any) -> httpx.Response:
    fields = {"model": "photo-x4", **fields}
    return http.post(URL, files={"image": file}, data=fields, headers=LONG, timeout=300)


def pixels_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    if answer.headers["content-type"] != "image/jpeg":
        assert answer.headers["x-pixels-sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert answer.headers["x-image-size"] == f"{pixels.shape[1]}x{pixels.shape[0]}"
    return pixels


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 50), (33, 1), (3, 5), (24, 24), (97, 61), (192, 193), (65, 257), (230, 410)]
)
def test_equals_the_whole_image_in_one_piece(http: httpx.Client, whole: Any, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    np.testing.assert_array_equal(pixels_of(enlarge(http, png(pixels))), whole(pixels))


@pytest.mark.parametrize("size", [(4097, 33), (33, 4097)])
def test_equals_the_whole_image_where_it_is_very_long(
    http: httpx.Client, whole: Any, size: tuple[int, int]
) -> None:
    """With three tiles at its beginning, in its middle and at its end, seams and all."""
    pixels = picture(*size)
    made = pixels_of(enlarge(http, png(pixels)))
    assert made.shape == (size[0] * 4, size[1] * 4, 3)
    along = 0 if size[0] > size[1] else 1
    for start in (0, 1900, 4097 - 400):
        part = pixels.take(range(start, start + 400), axis=along)
        inside = slice(0 if start == 0 else 12, 400 if start + 400 == 4097 else 388)
        cut = [slice(None), slice(None)]
        cut[along] = slice(inside.start * 4, inside.stop * 4)
        expected = whole(part)[tuple(cut)]
        cut[along] = slice((start + inside.start) * 4, (start + inside.stop) * 4)
        np.testing.assert_array_equal(made[tuple(cut)], expected)


@pytest.mark.parametrize(("scale", "size"), [("2.5", (250, 163)), ("1", (100, 65)), ("3.999", (400, 260))])
def test_any_factor_is_lanczos_of_the_model_s(
    http: httpx.Client, whole: Any, scale: str, size: tuple[int, int]
) -> None:
    pixels = picture(100, 65)
    made = pixels_of(enlarge(http, png(pixels), scale=scale))
    np.testing.assert_array_equal(made, by_pillow(whole(pixels), size))


def test_formats(http: httpx.Client, whole: Any) -> None:
    pixels = picture(40, 210)
    expected = whole(pixels)
    for fields, accept, media_type, error in [
        ({}, "*/*", "image/png", 0),
        ({}, "image/webp", "image/webp", 0),
        ({"format": "webp"}, "image/*", "image/webp", 0),
        ({"format": "webp", "quality": "90"}, "image/*", "image/webp", 12),
        ({"format": "jpeg"}, "*/*", "image/jpeg", 9),
        ({"quality": "97"}, "image/jpeg", "image/jpeg", 4),
    ]:
        answer = http.post(
            URL,
            files={"image": png(pixels)},
            data={"model": "photo-x4", **fields},
            headers={"accept": accept},
        )
        made = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert answer.headers["content-type"] == media_type
        assert made.shape == expected.shape
        assert np.abs(made.astype(int) - expected).mean() <= error
        assert answer.headers["x-model"] == "photo-x4"


def test_the_file_says_how_it_was_made(http: httpx.Client) -> None:
    pixels = picture(20, 30)
    for image_format in ("png", "jpeg", "webp"):
        answer = enlarge(http, png(pixels), scale="2", format=image_format)
        recipe = read_provenance(answer.content).recipe
        assert recipe == {
            "model": "photo-x4",
            "digest": answer.headers["x-model-digest"],
            "operation": "super-resolution",
            "scale": 2.0,
            "source_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "source_size": [30, 20],
            "pixels_sha256": answer.headers["x-pixels-sha256"],
        }


def test_transparency_is_kept(http: httpx.Client, whole: Any) -> None:
    pixels = np.dstack([picture(60, 80), np.full((60, 80), 255, np.uint8)])
    pixels[:, :30, 3] = 0
    pixels[:, :30, :3] = 0  # black, as editors leave it where nothing shows
    pixels[10:50, 40:60, 3] = 100
    made = pixels_of(enlarge(http, png(pixels)))
    np.testing.assert_array_equal(made[..., 3:], by_pillow(pixels[..., 3:].copy(), (240, 320)))
    colours = spread_colours(pixels[..., :3], pixels[..., 3])  # or the black would come through at the edge
    np.testing.assert_array_equal(made[..., :3], whole(colours))
    assert (whole(pixels[..., :3].copy())[:, 120:] != made[:, 120:, :3]).any()

    half = pixels_of(enlarge(http, png(pixels), scale="2", format="webp"))
    np.testing.assert_array_equal(half[..., 3:], by_pillow(pixels[..., 3:].copy(), (120, 160)))


def test_transparency_and_jpeg(http: httpx.Client, whole: Any) -> None:
    pixels = np.dstack([picture(20, 30), np.zeros((20, 30), np.uint8)])
    refused = enlarge(http, png(pixels), format="jpeg")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "format"
    blue = enlarge(http, png(pixels), background="#0000ff")
    flat = np.zeros((20, 30, 3), np.uint8)
    flat[..., 2] = 255
    np.testing.assert_array_equal(pixels_of(blue), whole(flat))
    assert read_provenance(blue.content).recipe["background"] == "#0000ff"
    assert enlarge(http, png(pixels), background="#0000ff", format="jpeg").status_code == 200


def test_exif_turns_the_image_and_is_kept_when_asked_for(http: httpx.Client, whole: Any) -> None:
    pixels = picture(20, 30)
    lying = png(np.rot90(pixels).copy(), exif=orientation_exif(6))
    plain = enlarge(http, lying)
    np.testing.assert_array_equal(pixels_of(plain), whole(pixels))
    assert not Image.open(io.BytesIO(plain.content)).getexif()
    for image_format in ("png", "jpeg", "webp"):
        kept = enlarge(http, lying, keep_exif="true", format=image_format)
        image = Image.open(io.BytesIO(kept.content))
        assert image.size == (120, 80)
        assert image.getexif()[0x0112] == 1


def test_frames(http: httpx.Client, whole: Any) -> None:
    first, second = picture(10, 12), picture(12, 10)[:10, :10]
    first = first[:, :10].copy()
    file = saved(Image.fromarray(first), "TIFF", save_all=True, append_images=[Image.fromarray(second)])
    refused = enlarge(http, file)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/image-animated")
    np.testing.assert_array_equal(pixels_of(enlarge(http, file, frame="1")), whole(second.copy()))
    beyond = enlarge(http, file, frame="2")
    assert beyond.json()["type"] == "/problems/frame-out-of-range"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_and_hostile_files(http: httpx.Client, case: Case) -> None:
    fields = {} if case.frame is None else {"frame": str(case.frame)}
    answer = enlarge(http, case.data, scale="1", **fields)
    if case.expected == "ok":
        assert answer.status_code == 200, answer.text
        return
    problem = answer.json()
    assert problem["type"] == f"/problems/{case.expected}"
    assert answer.status_code == problem["status"] < 500
    assert problem["field"] == "image"


def test_a_client_that_leaves_frees_triton(http: httpx.Client, gateway: GatewayProcess) -> None:
    def tiles() -> float:
        lines = http.get("/metrics").text.splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith('ganserve_images_total{model="photo-x4"')
        )

    before = tiles()
    file = png(picture(1000, 1000))
    with pytest.raises(httpx.ReadTimeout):
        http.post(URL, files={"image": file}, data={"model": "photo-x4"}, headers=LONG, timeout=2)
    deadline = time.monotonic() + 30
    while 'ganserve_queue_depth{model="photo-x4"} 0.0' not in http.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done = tiles()
    assert done < before + 36
    time.sleep(1)
    assert tiles() == done
    assert enlarge(http, png(picture(9, 9))).status_code == 200


def test_the_deadline_ends_it(http: httpx.Client) -> None:
    answer = http.post(
        URL,
        files={"image": png(picture(1000, 1000))},
        data={"model": "photo-x4"},
        headers={"prefer": "wait=1"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-exceeded")


def told(http: httpx.Client, file: bytes, **fields: Any) -> tuple[list[Event], bytes]:
    """The call's events, and the file that its parts are."""
    fields = {"model": "photo-x4", **fields}
    headers = {**LONG, "accept": "text/event-stream"}
    with http.stream("POST", URL, files={"image": file}, data=fields, headers=headers) as answer:
        found = list(events(answer))
    return found, b"".join(b64decode(one.data["b64_json"]) for one in found if one.name == "part")


def test_tells_how_far_it_is_and_sends_the_same_file(http: httpx.Client) -> None:
    image = png(picture(300, 500))
    plain = enlarge(http, image, scale=3)
    found, file = told(http, image, scale=3)
    assert file == plain.content
    names = [one.name for one in found]
    steps = [one.data["tiles"] for one in found if one.name == "progress"]
    assert names == ["progress"] * len(steps) + ["part"] * names.count("part") + ["done"]
    assert len(steps) > 1
    assert steps == sorted(set(steps))
    (of,) = {one.data["of"] for one in found if one.name == "progress"}
    assert steps[0] == 0
    assert steps[-1] <= of
    done = found[-1].data
    assert (done["width"], done["height"], done["bytes"]) == (1500, 900, len(file))
    assert done["parts"] == names.count("part")
    assert done["pixels_sha256"] == plain.headers["x-pixels-sha256"]
    assert done["model_digest"] == plain.headers["x-model-digest"]
    assert done["milliseconds"]["infer"] > 0
    _, as_webp = told(http, png(picture(20, 20)), format="webp")
    assert Image.open(io.BytesIO(as_webp)).format == "WEBP"


def test_what_is_refused_is_refused_before_the_first_event(http: httpx.Client) -> None:
    headers = {"accept": "text/event-stream"}
    for file, fields, slug in (
        (png(picture(9, 9))[:-40], {}, "image-unreadable"),  # found when it is decoded, after admission
        (b"no image", {}, "image-unreadable"),
        (png(picture(9, 9)), {"scale": "5"}, "invalid-request"),
        (png(picture(9, 9, 4)), {"format": "jpeg"}, "invalid-request"),
    ):
        fields = {"model": "photo-x4", **fields}
        answer = http.post(URL, files={"image": file}, data=fields, headers=headers)
        assert answer.json()["type"] == f"/problems/{slug}", answer.text


def test_who_leaves_while_it_is_computed_ends_it(http: httpx.Client) -> None:
    headers = {**LONG, "accept": "text/event-stream"}
    form = {"files": {"image": png(picture(1000, 1000))}, "data": {"model": "photo-x4"}}
    with http.stream("POST", URL, **form, headers=headers) as answer:  # type: ignore[arg-type]
        assert next(events(answer)).name == "progress"
    deadline = time.monotonic() + 10
    while 'ganserve_queue_depth{model="photo-x4"} 0.0' not in http.get("/metrics").text:
        assert time.monotonic() < deadline, http.get("/metrics").text
        time.sleep(0.05)
