"""Interpolation, style mixing, arithmetic on styles, edits and labels, through real models."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageSequence

from service.images.provenance import read_provenance
from tests.gateway_process import GatewayProcess
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

NPY = {"accept": "application/x-npy"}


def pixels(http: httpx.Client, **body) -> np.ndarray:
    response = http.post("/v1/generate", json=body, headers=NPY)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def error_of(response: httpx.Response) -> dict:
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["accepted"]
    return error


def frames_of(file: bytes) -> list[np.ndarray]:
    with Image.open(BytesIO(file)) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def decoded(text: str, shape: list[int]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


# Styles that a client keeps


def test_styles_come_back_as_the_same_image(http: httpx.Client) -> None:
    body = {"model": "terrain", "seeds": [5, 6], "truncation": 0.6, "edits": {"direction-02": 2}}
    answer = http.post("/v1/generate", json={**body, "return_ws": True}).json()
    kept = [item["ws"] for item in answer["data"]]
    hashes = [item["pixels_sha256"] for item in answer["data"]]
    lists = [decoded(ws, answer["ws_shape"]).tolist() for ws in kept]
    for ws in (kept, lists):
        again = http.post("/v1/generate", json={"model": "terrain", "ws": ws}).json()
        assert [item["pixels_sha256"] for item in again["data"]] == hashes
        assert "seed" not in again["data"][0]
    one = http.post("/v1/generate", json={"model": "terrain", "ws": kept[0]}).json()
    assert one["data"][0]["pixels_sha256"] == hashes[0]


def test_styles_in_a_zip(http: httpx.Client) -> None:
    body = {"model": "terrain", "seeds": [5], "return_ws": True}
    content = http.post("/v1/generate", json=body, headers={"accept": "application/zip"}).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (entry,) = json.loads(archive.read("manifest.json"))["data"]
        ws = np.load(io.BytesIO(archive.read(entry["ws_file"])))
    again = http.post("/v1/generate", json={"model": "terrain", "ws": [ws.tolist()]}).json()
    assert again["data"][0]["pixels_sha256"] == entry["pixels_sha256"]


def test_a_single_w_is_used_for_every_layer(http: httpx.Client) -> None:
    ws = http.post("/v1/latents", json={"model": "terrain", "latents": [9]}).json()["data"][0]["ws"]
    w = decoded(ws, [-1, 128])[0]
    np.testing.assert_array_equal(
        pixels(http, model="terrain", ws=[w.tolist()]), pixels(http, model="terrain", seeds=[9])
    )


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"ws": ["AAAA"]}, "ws"),
        ({"ws": ["not base64!"]}, "ws"),
        ({"ws": [[1.0, 2.0]]}, "ws"),
        ({"ws": [base64.b64encode(np.full(1280, np.nan, "<f4")).decode()]}, "ws"),
        ({"ws": [[0.0] * 128], "truncation": 0.5}, "truncation"),
        ({"ws": [[0.0] * 128], "edits": {"direction-01": 1}}, "edits"),
        ({"seeds": [1], "edits": {"smile": 1}}, "edits.smile"),
        ({"seeds": [1], "label": "Flags"}, "label"),
        ({"seeds": [1], "ws": [[0.0] * 128]}, "body"),
    ],
)
def test_latents_that_do_not_fit(http: httpx.Client, extra: dict, field: str) -> None:
    error = error_of(http.post("/v1/generate", json={"model": "terrain", **extra}))
    assert error["field"] == field


# Edits and labels


def test_edits_move_along_their_direction(http: httpx.Client) -> None:
    plain = pixels(http, model="terrain", seeds=[3])
    moved = [pixels(http, model="terrain", seeds=[3], edits={"direction-01": a}) for a in (0, 1, 3)]
    np.testing.assert_array_equal(moved[0], plain)
    distances = [np.abs(m.astype(float) - plain).mean() for m in moved]
    assert distances[0] < distances[1] < distances[2]


def test_a_label_by_name_and_by_index(http: httpx.Client) -> None:
    classes = http.get("/v1/models/emoji").json()["classes"]
    by_name = pixels(http, model="emoji", seeds=[3], label=classes[4])
    np.testing.assert_array_equal(by_name, pixels(http, model="emoji", seeds=[3], label=4))
    assert (by_name != pixels(http, model="emoji", seeds=[3], label=0)).any()
    error = error_of(http.post("/v1/generate", json={"model": "emoji", "seeds": [3]}))
    assert error["accepted"] == classes


def test_edits_and_labels_of_the_cacheable_image(http: httpx.Client) -> None:
    url = "/v1/models/terrain/images/3.png"
    response = http.get(url, params={"edits": "direction-01:3,direction-02:-1"})
    body = {"model": "terrain", "seeds": [3], "edits": {"direction-01": 3, "direction-02": -1}}
    expected = http.post("/v1/generate", json=body).json()["data"][0]["pixels_sha256"]
    assert response.headers["x-pixels-sha256"] == expected
    assert response.headers["etag"] != http.get(url).headers["etag"]
    for wrong in (
        "direction-01",
        "direction-01:x",
        "direction-01:1,direction-01:2",
        "smile:1",
        "direction-01:1e9",
    ):
        assert error_of(http.get(url, params={"edits": wrong}))["field"].startswith("edits")


def test_a_sheet_with_captions(http: httpx.Client) -> None:
    body = {"model": "terrain", "seeds": [1, 22], "captions": True}
    response = http.post("/v1/generate", json=body, headers={"accept": "image/png"})
    sheet = np.asarray(Image.open(BytesIO(response.content)))
    assert sheet.shape == (64 + 16, 64 + 2 + 64, 3)
    np.testing.assert_array_equal(sheet[:64, :64], pixels(http, model="terrain", seeds=[1])[0])
    text = sheet[64:].astype(int)
    assert (text[:, :64] < 200).any()
    assert (text[:, 66:] < 200).sum() > (text[:, :64] < 200).sum()  # 22 is longer than 1


# Interpolation


@pytest.mark.parametrize("space", ["w", "z"])
def test_frames_on_keyframes_are_their_images(http: httpx.Client, space: str) -> None:
    body = {"model": "terrain", "keyframes": [1, 2, 3], "frames": 9, "space": space, "format": "apng"}
    frames = frames_of(http.post("/v1/interpolate", json=body).content)
    assert len(frames) == 9
    for frame, seed in ((frames[0], 1), (frames[4], 2), (frames[8], 3)):
        np.testing.assert_array_equal(frame, pixels(http, model="terrain", seeds=[seed])[0])
    ends = np.abs(frames[0].astype(float) - frames[4]).mean()
    steps = [np.abs(a.astype(float) - b).mean() for a, b in pairwise(frames[:5])]
    assert 0 < max(steps) < 0.7 * ends  # it moves, and nowhere jumps


def test_a_loop_closes_without_a_doubled_frame(http: httpx.Client) -> None:
    body = {"model": "terrain", "keyframes": [1, 2], "frames": 8, "loop": True, "format": "apng"}
    frames = frames_of(http.post("/v1/interpolate", json=body).content)
    np.testing.assert_array_equal(frames[4], pixels(http, model="terrain", seeds=[2])[0])
    np.testing.assert_array_equal(frames[1], frames[7])  # there and back the same way
    around = [*frames, frames[0]]
    assert all((a != b).any() for a, b in pairwise(around))


@pytest.mark.parametrize("animation_format", ["webp", "gif", "apng", "mp4", "zip", "sheet"])
def test_every_format(http: httpx.Client, animation_format: str) -> None:
    body = {"model": "terrain", "keyframes": [1, 2], "frames": 5, "format": animation_format}
    response = http.post("/v1/interpolate", json=body)
    assert response.status_code == 200
    if animation_format == "zip":
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        assert [entry["frame"] for entry in manifest["data"]] == list(range(5))
        assert manifest["data"][2]["recipe"]["keyframes"][1]["seed"] == 2
    elif animation_format == "mp4":
        assert response.headers["content-type"] == "video/mp4"
    else:
        n = 1 if animation_format == "sheet" else 5
        frames = frames_of(response.content)
        assert len(frames) == n
        if animation_format != "gif":
            raw = b"".join(frame.tobytes() for frame in frames)
            assert response.headers["x-pixels-sha256"] == hashlib.sha256(raw).hexdigest()
    assert response.headers["x-model"] == "terrain"
    assert len(response.headers["x-model-digest"]) == 64
    assert response.headers["vary"] == "accept"


def test_keyframes_of_every_sort(http: httpx.Client) -> None:
    ws = http.post("/v1/latents", json={"model": "emoji", "latents": [1], "label": 2}).json()["data"][0]["ws"]
    keyframes = [
        3,
        {"seed": 4, "label": "Flags", "truncation": 0.5, "edits": {"direction-01": 2}},
        {"ws": ws},
    ]
    body = {"model": "emoji", "keyframes": keyframes, "label": 0, "frames": 5, "format": "apng"}
    frames = frames_of(http.post("/v1/interpolate", json=body).content)
    expected = [
        pixels(http, model="emoji", seeds=[3], label=0),
        pixels(http, model="emoji", seeds=[4], label="Flags", truncation=0.5, edits={"direction-01": 2}),
        pixels(http, model="emoji", seeds=[1], label=2),
    ]
    np.testing.assert_array_equal(frames[::2], np.concatenate(expected))


def test_easing_changes_what_is_between(http: httpx.Client) -> None:
    made = []
    for easing in ("linear", "ease-in", "ease-in-out"):
        body = {"model": "terrain", "keyframes": [1, 2], "frames": 5, "easing": easing, "format": "apng"}
        made.append(frames_of(http.post("/v1/interpolate", json=body).content))
    np.testing.assert_array_equal(made[0][2], made[2][2])  # the middle of ease-in-out is the middle
    assert (made[0][1] != made[1][1]).any()


def test_frames_are_streamed_as_they_are_made(http: httpx.Client) -> None:
    body = {"model": "terrain", "keyframes": [1, 2], "frames": 40}
    with http.stream(
        "POST", "/v1/interpolate", json=body, headers={"accept": "text/event-stream"}
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-model"] == "terrain"
        timing = response.headers["server-timing"]
        events = parse_events("".join(response.iter_text()))
    assert [name for name, _ in events] == ["frame"] * 40 + ["done"]
    assert [data["index"] for _, data in events[:-1]] == list(range(40))
    # The header is of the first frame, and the last event of all of them.
    early = {name: float(spent) for name, spent in (part.split(";dur=") for part in timing.split(", "))}
    late = events[-1][1]["milliseconds"]
    assert list(early) == list(late) == ["queue", "infer", "encode", "total"]
    for name in ("infer", "encode", "total"):
        assert 0 < early[name] < late[name]
    assert 0 <= early["queue"] <= late["queue"]
    assert late["queue"] + late["infer"] + late["encode"] <= late["total"] + 0.1
    first = Image.open(BytesIO(base64.b64decode(events[0][1]["b64_json"])))
    np.testing.assert_array_equal(np.asarray(first), pixels(http, model="terrain", seeds=[1])[0])


def parse_events(text: str) -> list[tuple[str, dict]]:
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields["event"], json.loads(fields["data"])))
    return events


@pytest.fixture
def slow_gateway(
    tmp_path: Path,
    start_triton: Callable[[Path], TritonProcess],
    start_gateway: Callable[..., GatewayProcess],
) -> GatewayProcess:
    triton = start_triton(write_toy_repository(tmp_path / "slow", extra_milliseconds=30))
    gateway = start_gateway(triton.grpc_url)
    gateway.wait_ready()
    return gateway


def images_made(metrics: str) -> float:
    _, found, rest = metrics.partition('ganserve_images_total{model="toy"} ')
    return float(rest.split()[0]) if found else 0.0


# Of the animation there is nothing before the time-out; of the stream, the first frame.
@pytest.mark.parametrize(("accept", "patience"), [("text/event-stream", 60), ("image/webp", 1.5)])
def test_a_client_that_leaves_stops_the_work(
    slow_gateway: GatewayProcess, accept: str, patience: float
) -> None:
    body = {"model": "toy", "keyframes": [1, 2], "frames": 400}
    with slow_gateway.client() as http:
        try:
            with http.stream(
                "POST", "/v1/interpolate", json=body, headers={"accept": accept}, timeout=patience
            ) as response:
                next(response.iter_text())
        except httpx.ReadTimeout:
            pass
        deadline = time.monotonic() + 20
        while 'ganserve_queue_depth{model="toy"} 0.0' not in (metrics := http.get("/metrics").text):
            assert time.monotonic() < deadline, metrics
            time.sleep(0.05)
        made = images_made(metrics)
        assert made < 200
        time.sleep(0.5)
        assert images_made(http.get("/metrics").text) == made


def test_a_deadline_in_the_middle_is_an_event(slow_gateway: GatewayProcess) -> None:
    body = {"model": "toy", "keyframes": [1, 2], "frames": 400}
    headers = {"accept": "text/event-stream", "prefer": "wait=5"}
    with slow_gateway.client() as http:
        events = parse_events(http.post("/v1/interpolate", json=body, headers=headers).text)
    assert events[0][0] == "frame"
    name, problem = events[-1]
    assert (name, problem["type"]) == ("error", "/problems/deadline-exceeded")


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"frames": 10_000}, "too-many-frames"),
        ({"keyframes": [1]}, "invalid-request"),
        ({"keyframes": [1, {}]}, "invalid-request"),
        ({"space": "z", "keyframes": [1, {"ws": [0.0] * 128}]}, "invalid-request"),
        ({"space": "z", "keyframes": [1, {"seed": 2, "truncation_cutoff": 3}]}, "invalid-request"),
        ({"format": "gif", "quality": 50}, "invalid-request"),
        ({"fps": 0}, "invalid-request"),
        ({"model": "photo-x4"}, "wrong-model-kind"),
    ],
)
def test_interpolations_that_are_refused(http: httpx.Client, extra: dict, problem: str) -> None:
    response = http.post(
        "/v1/interpolate", json={"model": "terrain", "keyframes": [1, 2], "frames": 4, **extra}
    )
    assert (response.status_code, response.json()["type"]) == (422, f"/problems/{problem}"), response.text


def test_events_of_png_frames_have_no_quality(http: httpx.Client) -> None:
    body = {"model": "terrain", "keyframes": [1, 2], "frames": 2, "quality": 50}
    headers = {"accept": "text/event-stream"}
    assert error_of(http.post("/v1/interpolate", json=body, headers=headers))["field"] == "quality"
    body["frame_format"] = "jpeg"
    assert http.post("/v1/interpolate", json=body, headers=headers).status_code == 200


def test_limits_are_settings(triton: TritonProcess, start_gateway: Callable[..., GatewayProcess]) -> None:
    gateway = start_gateway(
        triton.grpc_url,
        max_animation_frames=10,
        max_animation_pixels=64 * 64 * 6,
        max_output_pixels=64 * 64 * 6,
    )
    gateway.wait_ready()
    with gateway.client() as http:
        for frames, problem in ((11, "too-many-frames"), (7, "animation-too-large")):
            body = {"model": "terrain", "keyframes": [1, 2], "frames": frames}
            assert http.post("/v1/interpolate", json=body).json()["type"] == f"/problems/{problem}"
        body["frames"] = 6
        assert http.post("/v1/interpolate", json=body).status_code == 200
        # The gaps of a sheet count as well.
        for accept, count, status in (
            ("application/json", 6, 200),
            ("image/png", 6, 422),
            ("image/png", 4, 200),
        ):
            answer = http.post(
                "/v1/generate", json={"model": "terrain", "seed": 1, "n": count}, headers={"accept": accept}
            )
            assert answer.status_code == status
        for path, more in (
            ("/v1/generate", {"seed": 1, "n": 7}),
            ("/v1/style-mix", {"rows": [1], "columns": [2, 3, 4]}),
            ("/v1/interpolate", {"keyframes": [1, 2], "frames": 6, "format": "sheet"}),
        ):
            answer = http.post(path, json={"model": "terrain", **more})
            assert answer.json()["type"] == "/problems/output-too-large", path
            assert answer.json()["limit_pixels"] == 64 * 64 * 6


# Style mixing


def test_a_grid_of_style_mixing(http: httpx.Client) -> None:
    body = {"model": "terrain", "rows": [1, 2], "columns": [2, 3, 4], "layers": "fine"}
    response = http.post("/v1/style-mix", json=body)
    grid = np.asarray(Image.open(BytesIO(response.content)))
    assert grid.shape == (3 * 66 - 2, 4 * 66 - 2, 3)

    def cell(row: int, column: int) -> np.ndarray:
        return grid[row * 66 : row * 66 + 64, column * 66 : column * 66 + 64]

    assert (cell(0, 0) == 255).all()
    alone = pixels(http, model="terrain", seeds=[1, 2, 3, 4])
    for index, column in enumerate((2, 3, 4), 1):
        np.testing.assert_array_equal(cell(0, index), alone[column - 1])
    for index, row in enumerate((1, 2), 1):
        np.testing.assert_array_equal(cell(index, 0), alone[row - 1])
    np.testing.assert_array_equal(cell(2, 1), alone[1])  # 2 crossed with itself
    crossed = cell(1, 2).astype(float)
    kept, taken = (np.abs(crossed - alone[seed - 1]).mean() for seed in (1, 3))
    assert 0 < kept < taken  # fine layers change the least


def test_crossed_images_one_by_one(http: httpx.Client) -> None:
    body = {"model": "terrain", "rows": [1, 2], "columns": [2], "layers": [0, "middle"]}
    answer = http.post("/v1/style-mix", json=body, headers={"accept": "application/json"}).json()
    assert [(item["row"], item["column"]) for item in answer["data"]] == [(0, 0), (1, 0)]
    content = http.post("/v1/style-mix", json=body, headers={"accept": "application/zip"}).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = json.loads(archive.read("manifest.json"))["data"]
    assert [entry["pixels_sha256"] for entry in entries] == [item["pixels_sha256"] for item in answer["data"]]
    # The same by hand: styles of 1 with the layers of 2.
    mixed = {"model": "terrain", "operation": "mix", "latents": [1, 2], "layers": [0, "middle"]}
    ws = http.post("/v1/latents", json=mixed).json()["data"][0]["ws"]
    by_hand = http.post("/v1/generate", json={"model": "terrain", "ws": [ws]}).json()["data"][0]
    assert by_hand["pixels_sha256"] == answer["data"][0]["pixels_sha256"]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"layers": [10]}, "invalid-request"),
        ({"layers": "finest"}, "invalid-request"),
        ({"layers": []}, "invalid-request"),
        ({"model": "digits", "layers": "fine"}, "invalid-request"),
        ({"rows": list(range(8)), "columns": list(range(8))}, "too-many-images"),
        ({"rows": []}, "invalid-request"),
        ({"quality": 5}, "invalid-request"),
    ],
)
def test_mixes_that_are_refused(http: httpx.Client, extra: dict, problem: str) -> None:
    response = http.post("/v1/style-mix", json={"model": "terrain", "rows": [1], "columns": [2], **extra})
    assert (response.status_code, response.json()["type"]) == (422, f"/problems/{problem}"), response.text


def test_recipes_of_many_styles_are_shortened_to_what_a_file_holds(http: httpx.Client) -> None:
    kept = http.post("/v1/latents", json={"model": "terrain", "latents": list(range(20))}).json()["data"]
    styles = [{"ws": item["ws"]} for item in kept]
    body = {"model": "terrain", "rows": styles, "columns": [1], "format": "jpeg"}
    response = http.post("/v1/style-mix", json=body)
    assert response.status_code == 200, response.text
    recipe = read_provenance(response.content).recipe
    assert [list(row) for row in recipe["rows"]] == [["ws_sha256"]] * 20
    assert len({row["ws_sha256"] for row in recipe["rows"]}) == 20
    edits = {"direction-01": 1.234567, "direction-02": -2.345678}
    body = {"model": "terrain", "keyframes": [*range(600)], "frames": 20, "edits": edits}
    body |= {"format": "zip", "frame_format": "jpeg"}
    with zipfile.ZipFile(io.BytesIO(http.post("/v1/interpolate", json=body).content)) as archive:
        recipe = read_provenance(archive.read("00007.jpg")).recipe
    assert recipe["frame"] == 7
    assert len(recipe["keyframes_sha256"]) == 64
    assert "keyframes" not in recipe


# Arithmetic on styles


def test_average_and_walk(http: httpx.Client) -> None:
    def ws(**body) -> np.ndarray:
        answer = http.post("/v1/latents", json={"model": "terrain", **body}).json()
        return np.array([decoded(item["ws"], answer["ws_shape"]) for item in answer["data"]])

    a, b = ws(latents=[1, 2])
    np.testing.assert_allclose(ws(operation="average", latents=[1, 2])[0], (a + b) / 2, atol=1e-6)
    weighted = ws(operation="average", latents=[1, 2], weights=[3, 1])
    np.testing.assert_allclose(weighted[0], (3 * a + b) / 4, atol=1e-6)
    walk = ws(operation="walk", latents=[1, 2], steps=5)
    np.testing.assert_array_equal(walk[0], a)
    np.testing.assert_array_equal(walk[4], b)
    np.testing.assert_allclose(walk[2], (a + b) / 2, atol=1e-6)
    arc = ws(operation="walk", latents=[1, 2], steps=5, space="z")
    np.testing.assert_array_equal(arc[[0, 4]], [a, b])


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "mix", "latents": [1, 2]},
        {"operation": "mix", "latents": [1], "layers": "fine"},
        {"operation": "walk", "latents": [1, 2]},
        {"operation": "average", "latents": [1, 2], "weights": [1]},
        {"operation": "average", "latents": [1, 2], "weights": [1, -1]},
        {"operation": "average", "latents": [1, 2], "weights": [1e308, 1]},
        {"operation": "average", "latents": [{"ws": [3e38] * 128}, 2], "weights": [1000, -999]},
        {"latents": [1], "weights": [1]},
        {"latents": []},
    ],
)
def test_arithmetic_that_is_refused(http: httpx.Client, body: dict) -> None:
    assert error_of(http.post("/v1/latents", json={"model": "terrain", **body}))["detail"]
