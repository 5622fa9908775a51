"""Generate: pictures as the API makes them, a slider that asks for nothing stale, commands that work."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route

from tests.benchmarks.studio_slider import RECORDER, at_a_time, faults, noted
from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

COMPLETE = ".gallery[aria-busy=false]"


def complete(page: Page) -> None:
    """Every picture is as it is wanted."""
    page.wait_for_selector(f"{COMPLETE}:not(:has([data-ready=false]))")


def asked(service: JobsService, model: str, name: str, **query: Any) -> bytes:
    """The file that the API makes, asked for without the studio."""
    with service.client() as client:
        answer = client.get(f"/v1/models/{model}/images/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


def rgb(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def shown(studio: StudioPage, selector: str) -> np.ndarray:
    picture = studio.pixels(selector)
    return np.array(picture["rgb"], np.uint8).reshape(picture["height"], picture["width"], 3)


def test_the_first_view_is_light(studio: StudioPage) -> None:
    network = studio.context.new_cdp_session(studio.page)
    network.send("Network.enable")
    urls: dict[str, str] = {}
    weights: dict[str, float] = {}
    network.on("Network.requestWillBeSent", lambda e: urls.update({e["requestId"]: e["request"]["url"]}))
    network.on("Network.loadingFinished", lambda e: weights.update({e["requestId"]: e["encodedDataLength"]}))
    studio.page.goto(studio.url)
    complete(studio.page)
    assert studio.page.locator(".tile img").count() == 12
    assert "model=terrain&seeds=0-11" in studio.page.evaluate(
        "new Promise(done => setTimeout(() => done(location.hash), 300))"
    )
    sent = {urls[key]: weight for key, weight in weights.items() if urls[key].startswith(studio.url)}
    assert len([url for url in sent if "/images/" in url]) == 12
    assert sum(sent.values()) < 150_000, sorted(sent.items(), key=lambda item: -item[1])


def test_pictures_are_those_of_the_api_large_and_saved(studio: StudioPage, service: JobsService) -> None:
    page = studio.open("generate?model=toy&seeds=0-2,9&truncation=0.5&noise=7")
    complete(page)
    assert page.locator(".tile").count() == 4
    page.focus('.tile[data-seed="2"] .open')
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] #pixels-sha256")
    expected = asked(service, "toy", "9.png", truncation=0.5, noise=7)
    page.wait_for_function("document.querySelector('.large img').naturalWidth === 16")
    page.wait_for_timeout(100)  # until the lossless file has taken the place of the small one
    assert np.array_equal(shown(studio, ".large img"), rgb(expected))
    assert page.inner_text("#pixels-sha256") == hashlib.sha256(rgb(expected).tobytes()).hexdigest()
    assert studio.axe() == []

    # Files: the very one of the API, in each format.
    name, file = studio.downloaded("#save")
    assert (name, file) == ("toy-9.png", expected)
    page.select_option("#picture-format", "jpeg")
    name, file = studio.downloaded("#save")
    assert (name, Image.open(io.BytesIO(file)).format) == ("toy-9.jpg", "JPEG")
    page.select_option("#picture-format", "png")

    # The arrow keys go through the gallery, and the URL says what is open.
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("dialog[open] :text('seed 2')")
    page.wait_for_url(re.compile("open=2"))
    page.reload()
    page.wait_for_selector("dialog[open] :text('seed 2')")
    page.keyboard.press("Escape")
    complete(page)

    name, archive = studio.downloaded("#save-all")
    assert name == "toy.zip"
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        pictures = {entry: files.read(entry) for entry in files.namelist() if entry.endswith(".png")}
    assert list(pictures) == [f"{n:04d}-seed-{seed}.png" for n, seed in enumerate((0, 1, 2, 9))]
    for seed, file in zip((0, 1, 2, 9), pictures.values(), strict=True):
        assert np.array_equal(rgb(file), rgb(asked(service, "toy", f"{seed}.png", truncation=0.5, noise=7)))


@pytest.mark.thorough
def test_what_the_server_makes_in_no_call_comes_in_several_archives(
    studio: StudioPage, service: JobsService
) -> None:
    with service.client() as client:
        limits = client.get("/v1/limits").json()
    page = studio.open("generate?model=toy&seeds=0-4")
    complete(page)
    studio.page.route("**/v1/limits", lambda route: route.fulfill(json={**limits, "max_output_pixels": 600}))
    names: list[str] = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    with page.expect_download(lambda download: "3-of-3" in download.suggested_filename):
        page.click("#save-all")
    assert names == ["toy-1-of-3.zip", "toy-2-of-3.zip", "toy-3-of-3.zip"]


def test_a_moving_slider_asks_for_nothing_stale(studio: StudioPage, service: JobsService) -> None:
    studio.page.add_init_script(RECORDER)
    page = studio.open("generate?model=toy&seeds=0-5")
    complete(page)

    def slowly(route: Route) -> None:
        answer = route.fetch()
        time.sleep(0.02)
        route.fulfill(response=answer)

    page.route("**/images/**", slowly)
    # As a mouse does it: some twenty values within half a second.
    page.evaluate(
        """async () => {
          noted.calls = [];
          const slider = document.getElementById("truncation");
          window.blank = 0;
          for (let value = 100; value >= 0; value -= 5) {
            slider.value = value / 100;
            slider.dispatchEvent(new Event("input", {bubbles: true}));
            await new Promise(done => setTimeout(done, 25));
            window.blank += document.querySelectorAll(".tile:not(:has(img))").length;
          }
        }"""
    )
    complete(page)
    record = noted(page)
    assert len(record["inputs"]) == 21
    assert faults(record) == {"stale_calls": 0, "calls_beside_another_value": 0}
    assert at_a_time(record["calls"]) <= 4
    values = [call["value"] for call in record["calls"]]
    assert values == sorted(values, reverse=True)
    assert values.count(0) == 6
    # The first picture is asked for alone, so that it is there at once.
    firsts = [next(call for call in record["calls"] if call["value"] == value) for value in set(values)]
    assert all("/0.webp" in call["url"] for call in firsts)
    assert page.evaluate("blank") == 0
    page.unroute("**/images/**")
    for seed in (0, 5):
        last = rgb(asked(service, "toy", f"{seed}.webp", truncation=0, quality=85))
        there = shown(studio, f'.tile[data-seed="{seed}"] img')
        assert np.abs(there.astype(int) - last).max() <= 2  # as two decoders of lossy files differ
    page.wait_for_url(re.compile("truncation=0"))


@pytest.mark.thorough
def test_a_busy_server_is_asked_later_for_what_is_wanted_then(studio: StudioPage) -> None:
    studio.refusals_expected = True
    page = studio.open("generate?model=toy&seeds=0-2")
    complete(page)
    asked_for: list[tuple[float, str]] = []

    def busy(route: Route) -> None:
        asked_for.append((time.monotonic(), route.request.url))
        if len(asked_for) > 1:
            route.continue_()
            return
        problem = {"type": "/problems/queue-full", "title": "The queue is full", "status": 503}
        kind = "application/problem+json"
        route.fulfill(status=503, headers={"retry-after": "1"}, content_type=kind, body=json.dumps(problem))

    page.route("**/images/**", busy)
    page.press("#truncation", "ArrowLeft")
    page.wait_for_selector("#connection:has-text('trying again')")
    for _ in range(3):
        page.press("#truncation", "ArrowLeft")
    complete(page)
    urls = [url for _, url in asked_for]
    assert "truncation=0.95" in urls[0]
    assert all("truncation=0.8" in url for url in urls[1:])
    assert asked_for[1][0] - asked_for[0][0] > 0.9


@pytest.mark.thorough
def test_settings_go_to_the_url_and_come_back(studio: StudioPage) -> None:
    page = studio.open("generate?model=emoji&seeds=0")
    complete(page)
    assert page.input_value("#label") == "Activities"
    page.select_option("#label", "Flags")
    page.select_option("#noise", "seed")
    page.fill("#noise-seed", "12")
    page.press("#noise-seed", "Enter")
    page.fill("#seeds", "3, 40-41")
    page.press("#seeds", "Enter")
    page.press("#cutoff", "ArrowLeft")
    complete(page)
    page.wait_for_url(re.compile("cutoff=9"))
    link = page.url
    for part in ("model=emoji", "seeds=3,40-41", "label=Flags", "noise=12", "cutoff=9"):
        assert part in link
    sources = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    last = [source for source in sources if "/images/41" in source][-1]
    assert "label=Flags" in last
    assert "noise=12" in last
    assert "truncation_cutoff=9" in last

    page.goto("about:blank")
    page.goto(link)
    complete(page)
    assert page.input_value("#label") == "Flags"
    assert page.input_value("#noise-seed") == "12"
    assert page.input_value("#cutoff") == "9"
    assert page.input_value("#seeds") == "3,40-41"

    # A class is no more when the model has none; turning comes with one that can be turned.
    page.select_option("#model", "my-stylegan3")
    assert page.locator("#label").count() == 0
    page.fill("#rotation + input", "90")
    page.press("#rotation + input", "Enter")
    page.wait_for_url(re.compile("rotation=90"))
    complete(page)
    page.fill("#seeds", "7-3")
    page.press("#seeds", "Enter")
    assert "runs backwards" in page.inner_text("#seeds-hint")
    assert page.get_attribute("#seeds", "aria-invalid") == "true"
    page.click("#next")
    page.wait_for_url(re.compile("seeds=42-44"))
    page.click("#random")
    complete(page)
    assert re.search(
        r"seeds=\d+-\d+", page.evaluate("new Promise(r => setTimeout(() => r(location.hash), 300))")
    )


@pytest.mark.thorough
def test_what_is_on_screen_as_commands(studio: StudioPage, service: JobsService, tmp_path: Path) -> None:
    page = studio.open(
        "generate?model=my-stylegan3&seeds=1,5-6&truncation=0.7&rotation=-30&translation=-0.1,0.2"
    )
    complete(page)
    recipe = {"truncation": 0.7, "rotation": -30, "translation": "-0.1,0.2"}
    expected = {seed: rgb(asked(service, "my-stylegan3", f"{seed}.png", **recipe)) for seed in (1, 5, 6)}
    for name in ("curl", "Python", "CLI"):
        (tmp_path / name).mkdir()
        studio.run_command(name, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "curl" / "my-stylegan3.zip") as files:
        made = {name: files.read(name) for name in files.namelist() if name.endswith(".png")}
    by_curl = [rgb(file) for file in made.values()]
    by_python = [rgb((tmp_path / "Python" / f"my-stylegan3-{n}.png").read_bytes()) for n in (1, 5, 6)]
    by_cli = [rgb(path.read_bytes()) for path in sorted((tmp_path / "CLI" / "my-stylegan3").glob("*.png"))]
    for pictures in (by_curl, by_python, by_cli):
        assert len(pictures) == 3
        assert all(np.array_equal(*pair) for pair in zip(pictures, expected.values(), strict=True))

    # The same of one picture, by the call whose answers can be cached.
    page.click('.tile[data-seed="5"] .open')
    page.click("dialog details.copy-as summary")
    commands = page.locator("dialog details.copy-as code").all_inner_texts()
    assert "/v1/models/my-stylegan3/images/5.png?" in commands[0]
    assert "client.image(" in commands[1]
    assert "--translate=-0.1,0.2" in commands[2]


@pytest.mark.thorough
def test_favourites_are_kept_drawn_and_taken_up_again(studio: StudioPage, service: JobsService) -> None:
    page = studio.open("generate?model=toy&seeds=0-3&truncation=0.5")
    complete(page)
    page.click('.tile[data-seed="2"] .keep')
    page.click('.tile[data-seed="3"] .keep')
    assert page.get_attribute('.tile[data-seed="2"] .keep', "aria-pressed") == "true"
    page.click('.tile[data-seed="3"] .keep')
    kept = json.loads(page.evaluate("localStorage['ganserve.favourites']"))
    assert [(one["model"], one["seed"], one["truncation"]) for one in kept] == [("toy", 2, 0.5)]
    # A second one, of a model that has other weights by now.
    page.evaluate(
        """() => {
          const [kept] = JSON.parse(localStorage["ganserve.favourites"]);
          const other = {...kept, seed: 8, digest: "0".repeat(64)};
          localStorage["ganserve.favourites"] = JSON.stringify([kept, other]);
        }"""
    )
    page = studio.open("generate?model=toy&seeds=0-3")
    complete(page)
    page.wait_for_selector(".strip .kept:nth-child(2) img")
    assert page.locator(".strip .kept").all_inner_texts()[0].startswith("changed")
    assert page.get_attribute('.tile[data-seed="2"] .keep', "aria-pressed") == "false"  # ψ is another
    page.click(".strip .kept:nth-child(2) .open")
    page.click("dialog button:text('Use its settings')")
    page.wait_for_url(re.compile("truncation=0.5"))
    complete(page)
    assert page.get_attribute('.tile[data-seed="2"] .keep', "aria-pressed") == "true"
    assert studio.axe_everywhere() == []
    page.click(".strip .kept:first-child .remove")
    page.click(".strip .kept:first-child .remove")
    page.wait_for_selector(".strip-empty")
    assert page.evaluate("localStorage['ganserve.favourites']") == "[]"


@pytest.mark.thorough
def test_what_cannot_be_made_is_said(studio: StudioPage) -> None:
    studio.refusals_expected = True
    page = studio.open("generate?model=nobody&seeds=0-1")
    assert "no generator “nobody”" in page.inner_text("main .notice")
    complete(page)
    page.click("main .notice button")

    def refuse(route: Route) -> None:
        problem = {
            "type": "/problems/model-failed",
            "title": "The model failed",
            "status": 502,
            "detail": "It broke.",
        }
        route.fulfill(status=502, content_type="application/problem+json", body=json.dumps(problem))

    page.route("**/images/**", refuse)
    page.click("#next")
    page.wait_for_selector("main .notice[data-problem=model-failed]")
    page.wait_for_selector(".tile:has-text('2 did not come')")
    assert page.locator(".tile.waiting").count() == 0  # nothing goes on for ever
    page.unroute("**/images/**")
    page.click("#again")
    complete(page)
