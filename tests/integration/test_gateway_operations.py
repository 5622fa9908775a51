import json
import socket
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway_process import GatewayProcess


def samples(http: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = http.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def requests_total(http: httpx.Client, operation: str, model: str, outcome: str) -> float:
    fault = "none" if outcome in ("ok", "not-modified") else "client"
    labels = (("fault", fault), ("model", model), ("operation", operation), ("outcome", outcome))
    return samples(http).get(("ganserve_requests_total", labels), 0)


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready"}


def test_models(http: httpx.Client) -> None:
    cards = {card["name"]: card for card in http.get("/v1/models").json()["data"]}
    toy = cards["toy"]
    assert toy == http.get("/v1/models/toy").json()
    assert (toy["kind"], toy["family"], toy["version"], toy["state"]) == (
        "generator",
        "stylegan",
        "1",
        "READY",
    )
    assert len(toy["digest"]) == 64
    assert "role" not in toy
    assert toy["layer_groups"] == {"coarse": [0, 1], "middle": [2], "fine": [3]}


def test_limits_are_those_that_calls_are_held_to(http: httpx.Client) -> None:
    limits = http.get("/v1/limits").json()
    body = {"model": "toy", "keyframes": [1, 2], "frames": limits["max_animation_frames"] + 1}
    refused = http.post("/v1/interpolate", json=body).json()
    assert (refused["type"], refused["limit"]) == (
        "/problems/too-many-frames",
        limits["max_animation_frames"],
    )
    for name in ("webp", "gif", "apng", "mp4"):
        answer = http.post("/v1/interpolate", json={**body, "frames": 2, "format": name})
        assert (answer.status_code == 200) == (name in limits["animation_formats"]), name


def test_requests_are_counted_by_bounded_labels(http: httpx.Client) -> None:
    def counts() -> list[float]:
        return [
            requests_total(http, "generate", "toy", "ok"),
            requests_total(http, "generate", "", "model-not-found"),
            requests_total(http, "image", "toy", "not-modified"),
            requests_total(http, "other", "", "not-found"),
            samples(http)[("ganserve_images_total", (("model", "toy"),))],
        ]

    def call(indices: range) -> None:
        http.post("/v1/generate", json={"model": "toy", "seeds": [1, 2, 3]})
        for index in indices:
            http.post("/v1/generate", json={"model": f"unknown-{index}", "seeds": [1]})
            http.get(f"/nowhere/{index}")
            http.get(f"/v1/models/unknown-{index}")
        http.get("/v1/models/toy/images/1.png", headers={"if-none-match": "*"})

    call(range(1))  # from now on there is a series for each of these outcomes
    before, series = counts(), samples(http).keys()
    call(range(1, 21))
    assert [after - was for after, was in zip(counts(), before, strict=True)] == [1, 20, 1, 20, 3]
    assert samples(http).keys() == series


def test_what_never_reaches_the_application_is_counted(gateway: GatewayProcess, http: httpx.Client) -> None:
    before = requests_total(http, "other", "", "malformed-request")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert requests_total(http, "other", "", "malformed-request") == before + 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/toy/images/1.png", None),
        ("/v1/generate", {"model": "toy", "seeds": [1, 2]}),
        ("/v1/interpolate", {"model": "toy", "keyframes": [{"seed": 1}, {"seed": 2}], "frames": 3}),
        ("/v1/style-mix", {"model": "toy", "rows": [1], "columns": [2], "layers": "fine"}),
        ("/v1/latents", {"model": "toy", "latents": [1, 2], "operation": "walk", "steps": 3}),
    ],
)
def test_every_image_says_where_its_time_went(http: httpx.Client, path: str, body: dict | None) -> None:
    response = http.get(path) if body is None else http.post(path, json=body)
    assert response.status_code == 200, response.text
    parts = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert list(parts) == ["queue", "infer", "encode", "total"]
    queue, infer, encode, total = (float(milliseconds) for milliseconds in parts.values())
    assert infer > 0
    assert encode > 0
    assert queue + infer + encode <= total + 0.1


def test_gauges_and_histograms(http: httpx.Client) -> None:
    http.post("/v1/generate", json={"model": "toy", "seeds": [1]})
    found = samples(http)
    assert found[("ganserve_triton_up", ())] == 1
    assert found[("ganserve_models", ())] >= 1
    assert found[("ganserve_requests_in_flight", ())] == 1  # the scrape itself
    assert found[("ganserve_queue_depth", (("model", "toy"),))] == 0
    assert found[("ganserve_model_info", (("model", "toy"), ("version", "1")))] == 1
    for name in ("queue_seconds_count", "infer_seconds_count"):
        assert found[(f"ganserve_{name}", (("model", "toy"),))] >= 1
    assert found[("ganserve_encode_seconds_count", (("format", "png"),))] >= 1
    assert any(name == "ganserve_build_info" for name, _ in found)
    assert ("process_resident_memory_bytes", ()) in found


def test_log_lines_are_json_with_request_ids(gateway: GatewayProcess, http: httpx.Client) -> None:
    http.post("/v1/generate", json={"model": "toy", "seeds": [1]}, headers={"x-request-id": "find-me"})
    http.head("/v1/models/toy", headers={"x-request-id": "find-my-head"})
    http.get("/v1/models/toy/images/1.gif", headers={"x-request-id": "find-me-too"})
    deadline = time.monotonic() + 5  # a line is written once its answer has gone out
    while '"request_id": "find-me-too"' not in gateway.log() and time.monotonic() < deadline:
        time.sleep(0.01)
    lines = [json.loads(line) for line in gateway.log().splitlines(keepends=True) if line.endswith("\n")]
    (good,) = (line for line in lines if line.get("request_id") == "find-me")
    assert (good["event"], good["operation"], good["model"], good["outcome"]) == (
        "request",
        "generate",
        "toy",
        "ok",
    )
    assert (good["method"], good["path"], good["status"]) == ("POST", "/v1/generate", 200)
    assert good["milliseconds"] > 0
    (head,) = (line for line in lines if line.get("request_id") == "find-my-head")
    assert (head["method"], head["operation"], head["status"]) == ("HEAD", "model", 200)
    (bad,) = (line for line in lines if line.get("request_id") == "find-me-too")
    assert (bad["operation"], bad["outcome"], bad["status"]) == ("image", "invalid-request", 422)
