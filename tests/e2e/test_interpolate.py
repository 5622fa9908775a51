"""Interpolate: keyframes on a timeline, frames that play while they are made, files and commands of them."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Request, expect

from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService, events

BODY = {"model": "toy", "keyframes": [7, 42, 100], "frames": 6}
COMING = "document.querySelector('.status progress')?.value > 2"
VIEW = "interpolate?model=toy&keyframes=7,42,100&frames=6"


def frames_of(client: httpx.Client, **body: Any) -> list[list[int]]:
    """Each frame as the API sends it: its RGB values, row by row."""
    headers = {"accept": "text/event-stream"}
    with client.stream("POST", "/v1/interpolate", json=body, headers=headers) as answer:
        said = [one.data for one in events(answer) if one.name == "frame"]
    files = [base64.b64decode(frame["b64_json"]) for frame in said]
    return [np.asarray(Image.open(BytesIO(file)).convert("RGB")).flatten().tolist() for file in files]


def wait_made(page: Page, frames: int) -> None:
    expect(page.locator("main .status")).to_contain_text(f"{frames} frames, made in")


def shown(studio: StudioPage, index: int) -> list[int]:
    """The frame that the player shows once it is told to."""
    slider = studio.page.get_by_label("Frame", exact=True)
    slider.fill(str(index))
    studio.page.wait_for_selector(f'canvas[data-frame="{index}"]')
    found: list[int] = studio.pixels("main canvas")["rgb"]
    return found


def seeds(page: Page) -> list[str]:
    return page.locator(".keyframe .caption span").all_inner_texts()


def keep(studio: StudioPage, *favourites: dict[str, Any]) -> None:
    """What Generate would have kept."""
    studio.page.goto(f"{studio.url}/#interpolate")
    text = json.dumps(favourites)
    studio.page.evaluate("text => localStorage.setItem('ganserve.favourites', text)", text)


@contextmanager
def nothing_asked(page: Page) -> Iterator[None]:
    """No frames are asked for meanwhile."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.extend([request.url] if request.method == "POST" else [])

    page.on("request", note)
    yield
    page.remove_listener("request", note)
    assert asked == []


def wait_until(page: Page, expression: str, value: Any = True) -> None:
    """Asks the page until it says so; its policy keeps Playwright from waiting there."""
    deadline = time.monotonic() + 20
    while (found := page.evaluate(expression)) != value:
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(20)


def wait_ended(page: Page, ended: list[str], count: int) -> None:
    deadline = time.monotonic() + 20
    while len(ended) < count:
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)  # which lets the page say so


def digest_of(client: httpx.Client, model: str) -> str:
    found: str = client.get(f"/v1/models/{model}").json()["digest"]
    return found


@pytest.mark.thorough
def test_the_frames_shown_are_those_of_the_api(studio: StudioPage, service: JobsService) -> None:
    page = studio.open(VIEW)
    wait_made(page, 6)
    with service.client() as client:
        expected = frames_of(client, **BODY)
        assert [shown(studio, index) for index in range(6)] == expected
        # Something else is asked for anew, what was streamed before is gone, and the address says so.
        page.select_option("#easing", "ease-in")
        page.select_option("#space", "z")
        page.check("#loop")
        page.get_by_label("Frames, as a number").fill("5")
        page.get_by_label("Frames, as a number").press("Enter")
        wait_made(page, 5)
        other = {**BODY, "frames": 5, "easing": "ease-in", "space": "z", "loop": True}
        expected = frames_of(client, **other)
        assert [shown(studio, index) for index in range(5)] == expected
    address = page.url.partition("#")[2]
    studio.open(address)
    wait_made(page, 5)
    assert shown(studio, 3) == expected[3]
    # How fast it plays changes no frame, so nothing is asked for.
    with nothing_asked(page):
        page.get_by_label("Frames a second, as a number").fill("12")
        page.get_by_label("Frames a second, as a number").press("Enter")
        page.wait_for_timeout(400)
    assert "fps=12" in page.url


def test_files_and_commands_are_the_same_to_the_byte(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    with service.client() as client:
        formats = client.get("/v1/limits").json()["animation_formats"]
        ws = client.post("/v1/latents", json={"model": "toy", "latents": [9]}).json()["data"][0]["ws"]
        first = {"seed": 7, "truncation": 0.5, "truncation_cutoff": 2}
        keyframes = [first, {"ws": ws}, {"seed": 42, "truncation": 0.5}]
        body = {"model": "toy", "keyframes": keyframes, "frames": 4, "fps": 12, "noise": 3}
        text = "ws:" + ws.replace("+", "-").replace("/", "_").rstrip("=")
        keyframes_text = f"7*truncation:0.5*truncation_cutoff:2,{text},42*truncation:0.5"
        page = studio.open(f"interpolate?model=toy&keyframes={keyframes_text}&frames=4&fps=12&noise=3")
        wait_made(page, 4)
        assert set(formats) | {"zip", "sheet"} == set(
            page.eval_on_selector_all("#format option", "options => options.map(one => one.value)")
        )
        for file_format, name in (("webp", "webp"), ("mp4", "mp4"), ("sheet", "png")):
            if file_format not in (*formats, "sheet"):
                continue
            page.select_option("#format", file_format)
            saved_as, data = studio.downloaded("#save")
            assert saved_as == f"toy-7-mixture-42.{name}"
            expected = client.post("/v1/interpolate", json={**body, "format": file_format})
            assert data == expected.content, file_format
        for command in ("curl", "Python", "CLI"):
            folder = tmp_path / command
            folder.mkdir()
            studio.run_command(command, folder)
            assert (folder / saved_as).read_bytes() == data, command
        # What all keyframes share is said once, so that the commands are short.
        studio.open("interpolate?model=toy&keyframes=7*truncation:0.5,42*truncation:0.5&frames=4&format=gif")
        wait_made(page, 4)
        page.click("details.copy-as summary")
        assert (
            "--keyframes=7,42 --frames=4 --truncation=0.5"
            in page.locator('[data-command="CLI"]').inner_text()
        )


@pytest.mark.thorough
def test_cancelling_and_changing_end_the_request(studio: StudioPage, service: JobsService) -> None:
    ended: list[str] = []
    page = studio.page
    page.on("requestfailed", lambda request: ended.append(request.failure or ""))
    studio.open("interpolate?model=terrain&keyframes=7,42&frames=600")
    wait_until(page, COMING)
    page.get_by_label("Seeds").fill("5")
    page.get_by_role("button", name="Add", exact=True).click()
    wait_ended(page, ended, 1)
    wait_until(page, COMING)
    page.click("#cancel")
    wait_ended(page, ended, 2)
    status = page.locator("main .status").inner_text()
    stopped = int(re.search(r"Stopped at (\d+) of 600", status)[1])  # type: ignore[index]
    assert 2 < stopped < 600
    wait_until(page, "document.activeElement.id", "again")
    with service.client() as client:  # nothing is computed that nobody waits for
        service.wait_for(
            lambda: (
                re.search(r'ganserve_queue_\w*\{model="terrain"\} 0\.0', client.get("/metrics").text)
                is not None
            )
        )
    # What has come can be looked at.
    page.get_by_label("Frame", exact=True).press("End")
    assert page.locator("canvas").get_attribute("data-frame") == str(stopped - 1)
    page.click("#save")
    page.click(".saving .progress button")
    wait_ended(page, ended, 3)
    wait_until(page, "document.activeElement.id", "save")
    # Leaving the tab ends it, too.
    page.click("#again")
    wait_until(page, COMING)
    page.click('#tabs a[href="#models"]')
    wait_ended(page, ended, 4)
    assert set(ended) == {"net::ERR_ABORTED"}


@pytest.mark.thorough
def test_keyframes_are_typed_and_ordered_by_keyboard(studio: StudioPage) -> None:
    page = studio.open("interpolate?model=emoji&frames=2")
    page.get_by_label("Seeds").fill("7, 42 9-8")
    page.keyboard.press("Enter")
    wait_made(page, 2)
    assert seeds(page) == ["7", "42", "9", "8"]
    page.get_by_role("button", name="Move keyframe 1 right").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert seeds(page) == ["42", "9", "7", "8"]
    page.keyboard.press("Enter")
    # At the end, where there is no button to the right any more, the focus is on the other.
    focused = "document.activeElement.getAttribute('aria-label')"
    wait_until(page, focused, "Move keyframe 4 left")
    page.keyboard.press("Enter")
    assert "7 is keyframe 3 of 4 now" in page.locator("#announcements").inner_text()
    page.get_by_role("button", name="Remove keyframe 2").focus()
    page.keyboard.press("Enter")
    assert seeds(page) == ["42", "7", "8"]
    wait_until(page, focused, "Remove keyframe 2")
    # One alone gets another class and truncation.
    page.get_by_role("button", name="Keyframe 2, seed 7").focus()
    page.keyboard.press("Enter")
    page.select_option("#label", "Flags")
    page.get_by_label("Truncation ψ, as a number").fill("0.5")
    page.keyboard.press("Enter")
    keyframes = "42*label:Activities,7*truncation:0.5*label:Flags,8*label:Activities"
    wait_until(page, "new URLSearchParams(location.hash.split('?')[1]).get('keyframes')", keyframes)
    # Between two classes there is nothing in z: it says so, rather than being refused.
    page.select_option("#space", "z")
    expect(page.locator("main .status")).to_contain_text("lead the path through w")
    page.get_by_label("Seeds").fill("7, x")
    page.keyboard.press("Enter")
    expect(page.locator("#seeds-fault")).to_contain_text("“x” is no seed")
    page.click("#clear")
    expect(page.get_by_role("button", name="Try four random ones")).to_be_visible()
    assert studio.axe_everywhere() == []


@pytest.mark.thorough
def test_favourites_are_dragged_onto_the_timeline(studio: StudioPage, service: JobsService) -> None:
    with service.client() as client:
        digest = digest_of(client, "terrain")
        ws = client.post("/v1/latents", json={"model": "terrain", "latents": [9]}).json()["data"][0]["ws"]
        kept = [
            {
                "model": "terrain",
                "digest": digest,
                "seed": 5,
                "truncation": 0.5,
                "edits": {"direction-01": 2},
            },
            {"model": "terrain", "digest": digest, "ws": ws, "title": "3 × 7"},
        ]
        keep(studio, *kept)
        page = studio.open("interpolate?model=terrain&keyframes=7,42&frames=4")
        wait_made(page, 4)
        # Between the two: onto the left half of the second.
        page.drag_and_drop(
            ".strip .kept:last-child .open", ".keyframe >> nth=1", target_position={"x": 5, "y": 30}
        )
        assert seeds(page) == ["7", "5", "42"]
        page.drag_and_drop(
            ".keyframe >> nth=2 >> .open", ".keyframe >> nth=0", target_position={"x": 5, "y": 30}
        )
        assert seeds(page) == ["42", "7", "5"]
        page.drag_and_drop(
            ".keyframe >> nth=0 >> .open", ".keyframe >> nth=1", target_position={"x": 80, "y": 30}
        )
        assert seeds(page) == ["7", "42", "5"]
        page.get_by_role("button", name="Add terrain, 3 × 7").click()
        assert seeds(page) == ["7", "42", "5", "3 × 7"]
        wait_made(page, 4)
        own = {name: kept[0][name] for name in ("seed", "truncation", "edits")}
        body = {"model": "terrain", "keyframes": [7, 42, own, {"ws": ws}], "frames": 4}
        expected = frames_of(client, **body)
        assert [shown(studio, index) for index in range(4)] == expected
        assert studio.axe_everywhere() == []
        # Styles are too long for the address; it names the favourite, which is here as long as it is kept.
        expect(page.locator("main .notice")).to_contain_text("Styles are too long")
        assert len(page.url) < 6200
        studio.open(page.url.partition("#")[2])
        wait_made(page, 4)
        assert shown(studio, 3) == expected[3]


@pytest.mark.thorough
def test_it_plays_unless_less_motion_is_wanted(studio: StudioPage) -> None:
    page = studio.open(f"{VIEW.replace('frames=6', 'frames=12')}&fps=30&loop=1")
    wait_made(page, 12)
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    page.evaluate("""() => {
      window.seen = new Set();
      const canvas = document.querySelector("canvas");
      const look = () => seen.add(canvas.dataset.frame) && requestAnimationFrame(look);
      look();
    }""")
    wait_until(page, "seen.size", 12)
    page.locator(".screen").focus()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('canvas[data-frame="1"]')
    assert page.locator(".transport output").inner_text() == "2 / 12"
    page.emulate_media(reduced_motion="reduce")
    studio.open(VIEW)
    wait_made(page, 6)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert page.locator("canvas").get_attribute("data-frame") == "0"
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector('canvas[data-frame="5"]')
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # at the end, since it does not loop
