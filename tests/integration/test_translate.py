"""Translation over HTTP: how images meet models, and what comes back."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from service.images.provenance import read_provenance
from tests.conftest import SHIPPED_MODELS
from tests.image_files import orientation_exif, saved
from tests.integration.test_super_resolution import picture
from tests.unit.test_resample import by_pillow

URL = "/v1/translate"
TILED, WHOLE = "satellite-to-relief", "satellite-to-relief-unpaired"
LANCZOS = Image.Resampling.LANCZOS


@pytest.fixture(scope="module")
def run() -> Any:
    """A model, run on one whole image."""
    sessions: dict[str, ort.InferenceSession] = {}

    def run(model: str, pixels: np.ndarray) -> np.ndarray:
        if model not in sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            sessions[model] = ort.InferenceSession(SHIPPED_MODELS / model / "1" / "model.onnx", options)
        return sessions[model].run(["images"], {"source": np.ascontiguousarray(pixels)[None]})[0][0]

    return run


def png(pixels: np.ndarray, **options: Any) -> bytes:
    return saved(Image.fromarray(pixels), "PNG", **options)


def translate(http: httpx.Client, file: bytes, **fields: str) -> httpx.Response:
    fields = {"model": TILED, **fields}
    return http.post(URL, files={"image": file}, data=fields, headers={"prefer": "wait=120"}, timeout=130)


def pixels_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert answer.headers["x-pixels-sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    return pixels


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), LANCZOS))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (16, 16), (33, 61), (100, 47)])
@pytest.mark.parametrize("model", [TILED, "sketch-to-emoji"])
def test_native_is_the_model_itself(http: httpx.Client, run: Any, model: str, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    np.testing.assert_array_equal(pixels_of(translate(http, png(pixels), model=model)), run(model, pixels))


def test_native_below_the_least_size(http: httpx.Client, run: Any) -> None:
    """The model mirrors, for which it needs five pixels; the edge is repeated up to there."""
    for height, width in ((1, 1), (3, 40), (40, 4), (5, 5)):
        pixels = picture(height, width)
        larger = np.pad(pixels, ((0, max(0, 5 - height)), (0, max(0, 5 - width)), (0, 0)), mode="edge")
        made = pixels_of(translate(http, png(pixels), model=WHOLE))
        np.testing.assert_array_equal(made, run(WHOLE, larger)[:height, :width])


def test_native_beyond_the_largest_size_in_tiles(http: httpx.Client, run: Any) -> None:
    pixels = picture(70, 1501)
    made = pixels_of(translate(http, png(pixels)))
    assert np.abs(made.astype(int) - run(TILED, pixels)).max() <= 1
    pixels = picture(1100, 50)
    made = pixels_of(translate(http, png(pixels)))
    assert np.abs(made.astype(int) - run(TILED, pixels)).max() <= 1


def test_native_beyond_the_largest_size_of_a_model_without_tiles(http: httpx.Client) -> None:
    answer = translate(http, png(picture(20, 1025)), model=WHOLE)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "/problems/image-exceeds-model")
    assert (problem["limit_side"], problem["field"]) == (1024, "image")
    assert translate(http, png(picture(20, 1025)), model=WHOLE, fit="resize").status_code == 200


@pytest.mark.parametrize(("height", "width"), [(90, 150), (31, 7), (64, 64), (1, 300)])
def test_fits(http: httpx.Client, run: Any, height: int, width: int) -> None:
    pixels = picture(height, width)
    file = png(pixels)

    square = run(TILED, resized(pixels, 64, 64))
    np.testing.assert_array_equal(pixels_of(translate(http, file, fit="resize")), square)
    restored = pixels_of(translate(http, file, fit="resize", restore="true"))
    np.testing.assert_array_equal(restored, by_pillow(square, (height, width)))

    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = run(TILED, resized(pixels[top : top + least, left : left + least], 64, 64))
    np.testing.assert_array_equal(pixels_of(translate(http, file, fit="crop")), square)
    restored = pixels_of(translate(http, file, fit="crop", restore="true"))
    np.testing.assert_array_equal(restored, by_pillow(square, (least, least)))

    longest = max(height, width)
    inner = max(1, round(height * 64 / longest)), max(1, round(width * 64 / longest))
    canvas = np.full((64, 64, 3), (0, 128, 255), np.uint8)
    place = (
        slice((64 - inner[0]) // 2, (64 - inner[0]) // 2 + inner[0]),
        slice((64 - inner[1]) // 2, (64 - inner[1]) // 2 + inner[1]),
    )
    canvas[place] = resized(pixels, *inner)
    square = run(TILED, canvas)
    np.testing.assert_array_equal(pixels_of(translate(http, file, fit="pad", background="#0080ff")), square)
    restored = pixels_of(translate(http, file, fit="pad", background="#0080ff", restore="true"))
    np.testing.assert_array_equal(restored, by_pillow(square[place], (height, width)))


def test_transparency(http: httpx.Client, run: Any) -> None:
    pixels = picture(50, 90)
    alpha = np.zeros((50, 90), np.uint8)
    alpha[10:40, 20:70] = 255
    alpha[:5] = 90
    file = png(np.dstack([pixels, alpha]))

    flat = np.asarray(
        Image.composite(
            Image.fromarray(pixels), Image.new("RGB", (90, 50), "#ff8000"), Image.fromarray(alpha)
        )
    )
    made = pixels_of(translate(http, file, background="#ff8000"))
    assert made.shape == (50, 90, 3)
    expected = run(TILED, flat)
    assert np.abs(made.astype(int) - expected).mean() < 1  # Pillow rounds some levels otherwise

    np.testing.assert_array_equal(pixels_of(translate(http, file, alpha="drop")), run(TILED, pixels))

    kept = pixels_of(translate(http, file, alpha="keep", background="#ff8000"))
    np.testing.assert_array_equal(kept[..., :3], made)
    np.testing.assert_array_equal(kept[..., 3], alpha)
    for fit, size, expected in [
        ("resize", (64, 64), by_pillow(alpha[..., None], (64, 64))[..., 0]),
        ("crop", (64, 64), by_pillow(alpha[:, 20:70, None].copy(), (64, 64))[..., 0]),
        ("pad", (64, 64), np.pad(resized(alpha, 36, 64), ((14, 14), (0, 0)))),
    ]:
        made = pixels_of(translate(http, file, alpha="keep", fit=fit))
        assert made.shape == (*size, 4)
        np.testing.assert_array_equal(made[..., 3], expected)
    for fit in ("resize", "pad"):
        made = pixels_of(translate(http, file, alpha="keep", fit=fit, restore="true"))
        np.testing.assert_array_equal(made[..., 3], alpha)

    refused = translate(http, file, alpha="keep", format="jpeg")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "alpha")
    assert translate(http, file, format="jpeg").status_code == 200


def test_orientation_recipe_and_exif(http: httpx.Client, run: Any) -> None:
    pixels = picture(20, 33)
    lying = png(np.rot90(pixels).copy(), exif=orientation_exif(6))
    answer = translate(http, lying, keep_exif="true", fit="native")
    np.testing.assert_array_equal(pixels_of(answer), run(TILED, pixels))
    assert Image.open(io.BytesIO(answer.content)).getexif()[0x0112] == 1
    assert read_provenance(answer.content).recipe == {
        "model": TILED,
        "digest": answer.headers["x-model-digest"],
        "operation": "translate",
        "fit": "native",
        "restore": False,
        "alpha": "flatten",
        "background": "#ffffff",
        "source_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "source_size": [33, 20],
        "pixels_sha256": answer.headers["x-pixels-sha256"],
    }
    cropped = pixels_of(translate(http, lying, fit="crop"))
    np.testing.assert_array_equal(cropped, run(TILED, resized(pixels[:, 6:26], 64, 64)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("fit", "stretch"), ("restore", "2"), ("alpha", "maybe"), ("background", "#fff"), ("scale", "2")],
)
def test_fields_that_are_not_valid(http: httpx.Client, field: str, value: str) -> None:
    answer = translate(http, png(picture(4, 4)), **{field: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_a_model_of_another_kind(http: httpx.Client) -> None:
    answer = translate(http, png(picture(4, 4)), model="photo-x4")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/wrong-model-kind")
    assert "photo-x4" not in answer.json()["accepted"]
    assert TILED in answer.json()["accepted"]
