"""The studio's Mix: the grid of what is crossed, as the API crosses it, and mixtures that are kept."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.pictures import decoded, made, wait_pixels
from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

FAVOURITES = "ganserve.favourites"


def test_the_grid_is_what_the_api_crosses_and_a_click_keeps_a_mixture(
    studio: StudioPage, service: JobsService
) -> None:
    page = studio.open("mix?model=terrain&rows=1-2&columns=11,12,13&layers=fine")
    wait_pixels(studio, cell(2, 12), crossed(service, 2, 12, "fine"))
    wait_pixels(studio, '[data-source="row-1"] img', made(service, seeds=[2]))
    wait_pixels(studio, '[data-source="column-0"] img', made(service, seeds=[11]))

    page.click('[data-group="coarse"]')
    page.click('[data-group="fine"]')
    page.get_by_text("Single layers").click()
    page.check('input[name="layer"][value="5"]')
    assert page.locator('[data-group="middle"]').get_attribute("aria-pressed") == "mixed"
    mixture = crossed(service, 1, 13, ["coarse", 5])
    wait_pixels(studio, cell(1, 13), mixture)
    expect(page).to_have_url(re.compile("layers=0,1,2,3,5"))

    page.locator('[data-cell="1 × 12"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-cell="1 × 13"][aria-pressed="true"]')
    [kept] = json.loads(page.evaluate(f"localStorage['{FAVOURITES}']"))
    assert kept["title"] == "1 × 13, 0,1,2,3,5"
    assert np.array_equal(made(service, ws=kept["ws"]), mixture)
    assert studio.axe_everywhere() == []

    page.get_by_role("button", name="Enlarge 1 × 13").click()
    name, data = studio.downloaded("#picture-dialog .primary")
    assert (name, np.array_equal(decoded(data), mixture)) == ("terrain-1-x-13.png", True)
    page.keyboard.press("ArrowLeft")
    wait_pixels(studio, "#picture-dialog img", crossed(service, 1, 12, ["coarse", 5]))
    page.click("#picture-dialog >> text=Edit")
    wait_pixels(studio, '[data-shot="after"] img', crossed(service, 1, 12, ["coarse", 5]))

    # A mixture is a column in turn, also in the page that the URL opens.
    page.click('#tabs a[href="#mix"]')
    page.get_by_role("button", name="columns", exact=True).click()
    page.locator(".strip .open").click()
    expected = made(
        service, "style-mix", rows=[2], columns=[{"ws": kept["ws"]}], layers=["coarse", 5], headers=False
    )
    mixed = '[data-cell="2 × 1 × 13, 0,1,2,3,5"] img'
    wait_pixels(studio, mixed, expected)
    expect(page).to_have_url(re.compile("columns=11,12,13,ws:"))
    page = studio.open(page.url.partition("#")[2])
    wait_pixels(studio, mixed, expected)
    page.drag_and_drop(".strip .open", '[data-source="row-1"] .source')  # in place of 2
    wait_pixels(studio, '[data-source="row-1"] img', mixture)
    page.click('[data-cell="1 × 13"]')  # no longer
    expect(page.locator('[data-cell="1 × 13"]')).to_have_attribute("aria-pressed", "false")
    assert json.loads(page.evaluate(f"localStorage['{FAVOURITES}']")) == []


@pytest.mark.thorough
def test_rows_and_columns_are_typed_drawn_added_and_removed(studio: StudioPage, service: JobsService) -> None:
    page = studio.open(
        "mix?model=emoji&rows=1&columns=2,3&label=Flags&column-label=Food+%26+Drink&layers=middle"
    )
    flag, food = {"seed": 1, "label": "Flags"}, {"seed": 3, "label": "Food & Drink"}
    expected = made(
        service, "style-mix", model="emoji", rows=[flag], columns=[food], layers="middle", headers=False
    )
    wait_pixels(studio, cell(1, 3), expected)
    page.fill("#rows", "1-2, 7")
    page.keyboard.press("Enter")
    wait_cells(page, 6)
    page.fill("#rows", "9-5")
    page.keyboard.press("Enter")
    expect(page.locator("#rows-hint")).to_have_text("The range 9-5 runs backwards.")
    page.get_by_role("button", name="Remove row 2").click()
    page.get_by_role("button", name="Add a column").click()
    page.get_by_role("button", name="Another seed for row 7").click()
    page.get_by_role("button", name="Swap rows and columns").click()
    wait_cells(page, 6)
    assert page.input_value("#columns").startswith("1,")
    assert page.input_value("#rows-label") == "Food & Drink"
    page.get_by_role("button", name="Random rows").click()
    wait_cells(page, 6)
    assert not page.input_value("#rows").startswith("2,3")
    page.click('[data-group="middle"]')
    expect(page.locator(".layers .hint")).to_contain_text("Choose what is taken")
    assert page.locator("#png").is_disabled()


@pytest.mark.thorough
def test_the_grid_is_downloaded_and_copied(studio: StudioPage, service: JobsService, tmp_path: Path) -> None:
    page = studio.open(
        "mix?model=terrain&rows=1,2&columns=5*truncation:0.3,6&layers=coarse,fine&truncation=0.7"
    )
    wait_cells(page, 4)
    columns = [{"seed": 5, "truncation": 0.3}, 6]
    body = {"rows": [1, 2], "columns": columns, "layers": ["coarse", "fine"], "truncation": 0.7}
    plain = made(service, "style-mix", **body)
    assert np.array_equal(decoded(studio.downloaded("#png")[1]), plain)
    page.check("#captions")
    expected = made(service, "style-mix", captions=True, **body)
    name, data = studio.downloaded("#png")
    assert (name, np.array_equal(decoded(data), expected)) == ("terrain-mix-coarse-fine.png", True)
    with zipfile.ZipFile(io.BytesIO(studio.downloaded("#zip")[1])) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 4
    run_commands(studio, tmp_path / "sources", ["curl", "Python"], expected)
    assert page.locator('[data-command="CLI"]').count() == 0  # it takes plain seeds
    page.get_by_role("button", name="Remove column ★ 5").click()
    wait_cells(page, 2)
    seeds = made(service, "style-mix", **{**body, "columns": [6], "captions": True})
    run_commands(studio, tmp_path / "seeds", ["CLI"], seeds)


@pytest.mark.thorough
def test_a_slider_that_moves_leaves_no_stale_calls(studio: StudioPage, service: JobsService) -> None:
    page = studio.open("mix?model=terrain&rows=1,2,3&columns=11,12&layers=fine")
    wait_cells(page, 6)
    asked: list[Any] = []
    page.on("request", lambda request: "style-mix" in request.url and asked.append(request.post_data_json))
    page.locator("#truncation").evaluate(
        """(input) => { for (let step = 1; step <= 50; step++) {
          input.value = 1 - step / 100; input.dispatchEvent(new Event("input"));
        } }"""
    )
    wait_pixels(studio, cell(3, 12), crossed(service, 3, 12, "fine", truncation=0.5))
    wait_cells(page, 6)
    # No row of the first that was wanted, since others were before its headers were there.
    assert [body["truncation"] for body in asked] == [0.5] * 3, asked


def run_commands(studio: StudioPage, folder: Path, names: list[str], expected: Any) -> None:
    for command in names:
        (place := folder / command).mkdir(parents=True)
        studio.run_command(command, place)
        [file] = place.iterdir()
        assert np.array_equal(decoded(file.read_bytes()), expected), command


def cell(row: int, column: int) -> str:
    return f'[data-cell="{row} × {column}"] img'


def crossed(service: JobsService, row: int, column: int, layers: Any, **more: Any) -> Any:
    """One crossing as the API makes it."""
    return made(service, "style-mix", rows=[row], columns=[column], layers=layers, headers=False, **more)


def wait_cells(page: Page, count: int) -> None:
    """Returns once the grid has so many pictures, each the newest."""
    page.wait_for_function(
        """(count) => document.querySelectorAll("td.cell").length === count &&
          document.querySelectorAll("td.cell:not(.stale) img").length === count""",
        arg=count,
    )
