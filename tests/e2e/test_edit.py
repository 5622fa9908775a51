"""The studio's Edit: sliders along directions, before and after, and the same picture as the API makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.e2e.pictures import decoded, made, wait_pixels
from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

AFTER = '[data-shot="after"] img'
BEFORE = '[data-shot="before"] img'
FAVOURITES = "ganserve.favourites"


def test_a_slider_edits_and_what_was_before_is_seen_as_long_as_it_is_held(
    studio: StudioPage, service: JobsService
) -> None:
    page = studio.open("edit?model=terrain&from=7&truncation=0.8")
    plain = made(service, seeds=[7], truncation=0.8)
    wait_pixels(studio, AFTER, plain)
    assert page.locator("#hold").is_disabled()

    page.focus("#direction-0")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    edited = made(service, seeds=[7], truncation=0.8, edits={"direction-01": 2.9})
    wait_pixels(studio, AFTER, edited)
    expect(page).to_have_url(re.compile("edits=direction-01:2.9"))

    page.focus("#hold")
    page.keyboard.down("Space")
    wait_pixels(studio, BEFORE, plain)
    assert page.locator(AFTER).count() == 0
    page.keyboard.up("Space")
    wait_pixels(studio, AFTER, edited)
    page.locator(AFTER).hover()
    page.mouse.down()
    wait_pixels(studio, BEFORE, plain)
    page.mouse.move(2, 2)
    page.mouse.up()
    wait_pixels(studio, AFTER, edited)

    page.get_by_role("button", name="Side by side").click()
    expect(page).to_have_url(re.compile("view=beside"))
    wait_pixels(studio, BEFORE, plain)
    wait_pixels(studio, AFTER, edited)
    page.wait_for_selector(".end img")
    assert studio.axe_everywhere() == []
    page = studio.open(page.url.partition("#")[2])  # the URL brings it all back
    wait_pixels(studio, AFTER, edited)
    wait_pixels(studio, BEFORE, plain)

    page.get_by_role("button", name="direction-02 to -3").click()
    page.get_by_role("button", name="Reset direction-01").click()
    second = made(service, seeds=[7], truncation=0.8, edits={"direction-02": -3})
    wait_pixels(studio, AFTER, second)
    page.click("#reset")
    wait_pixels(studio, AFTER, plain)
    page.click("#undo")
    wait_pixels(studio, AFTER, second)


@pytest.mark.thorough
def test_a_slider_that_moves_asks_for_one_picture_at_a_time(studio: StudioPage, service: JobsService) -> None:
    page = studio.open("edit?model=terrain&from=3")
    wait_pixels(studio, AFTER, made(service, seeds=[3]))
    page.wait_for_selector(".end img")
    asked: list[Any] = []
    page.route("**/images/*", lambda route: asked.append(route))
    slider = page.locator("#direction-1")
    for step in range(1, 21):
        slider.evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", step / 10
        )
    page.wait_for_timeout(50)
    assert len(asked) == 1, asked
    asked.pop().continue_()
    while not asked:
        page.wait_for_timeout(10)
    assert "direction-02:2" in asked[0].request.url.replace("%3A", ":")
    asked.pop().continue_()
    wait_pixels(studio, AFTER, made(service, seeds=[3], edits={"direction-02": 2.0}))


@pytest.mark.thorough
def test_what_is_on_screen_is_kept_downloaded_and_copied(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    label, edits = "Food & Drink", {"direction-01": -1.5, "direction-03": 2.0}
    page = studio.open("edit?model=emoji&from=5&label=Food+%26+Drink&edits=direction-01:-1.5,direction-03:2")
    expected = made(service, model="emoji", seeds=[5], label=label, edits=edits)
    wait_pixels(studio, AFTER, expected)
    name, data = studio.downloaded("#download")
    assert (name, np.array_equal(decoded(data), expected)) == (
        "emoji-seed0005-direction-01-1.5-direction-03+2.png",
        True,
    )
    page.click("#keep")
    [kept] = json.loads(page.evaluate(f"localStorage['{FAVOURITES}']"))
    assert (kept["seed"], kept["label"], kept["edits"]) == (5, label, edits)
    for command in ("curl", "Python", "CLI"):
        (folder := tmp_path / command).mkdir()
        studio.run_command(command, folder)
        [file] = folder.iterdir()
        assert np.array_equal(decoded(file.read_bytes()), expected), command


@pytest.mark.thorough
def test_a_mixture_is_edited_as_a_seed_is(studio: StudioPage, service: JobsService, tmp_path: Path) -> None:
    edits = {"direction-01": 2.0, "direction-04": -3.0}
    with service.client() as client:
        styles = client.post("/v1/latents", json={"model": "terrain", "latents": [9]}).json()
    [item] = styles["data"]
    page = studio.open("edit?model=toy")
    expect(page.locator(".no-directions")).to_contain_text("gantrain export")
    assert studio.axe() == []
    favourite = {"model": "terrain", "digest": styles["model_digest"], "ws": item["ws"], "title": "9 × 9"}
    page.evaluate(f"kept => localStorage['{FAVOURITES}'] = JSON.stringify([kept])", favourite)
    studio.open("edit?model=toy").get_by_role("button", name="Edit with terrain").click()
    page.get_by_role("button", name="Edit terrain, 9 × 9").click()
    wait_pixels(studio, AFTER, made(service, seeds=[9]))
    page.get_by_label("direction-01, as a number").fill("2")
    page.get_by_label("direction-04, as a number").fill("-3")
    page.keyboard.press("Tab")
    # Sums of rounded numbers, so a colour may be rounded the other way.
    wait_pixels(studio, AFTER, made(service, seeds=[9], edits=edits), tolerance=1)
    studio.run_command("Python", tmp_path)
    [file] = tmp_path.iterdir()
    wait_pixels(studio, AFTER, decoded(file.read_bytes()))
