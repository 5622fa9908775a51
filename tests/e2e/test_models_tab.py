"""The tab Models: cards as the API has them, pictures it draws, real measurements, loading and unloading."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from service.keys import create_key
from tests.conftest import NON_COMMERCIAL
from tests.e2e.conftest import opened
from tests.e2e.studio_page import StudioPage
from tests.gateway_process import GatewayProcess
from tests.jobs_service import JobsService
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess
from tests.up_process import until


def shown(page: Page) -> list[str]:
    """Names of the models on screen."""
    return [str(card.get_attribute("data-model")) for card in page.locator("article.model").all()]


def same_pixels(seen: dict[str, Any], file: bytes) -> None:
    """What the browser shows is what the file has."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    assert (seen["height"], seen["width"]) == pixels.shape[:2]
    assert np.array_equal(np.array(seen["rgb"], np.uint8), pixels.ravel())


def images_of(text: str, model: str) -> float:
    """`ganserve_images_total` of a model."""
    start = f'ganserve_images_total{{model="{model}"}} '
    return next(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


def test_cards_and_pictures_are_the_servers(studio: StudioPage, service: JobsService) -> None:
    with service.client() as client:
        cards = {card["name"]: card for card in client.get("/v1/models").json()["data"]}
        page = studio.open("models")
        page.wait_for_selector("#model-toy")
        assert shown(page) == sorted(cards)
        for name, card in cards.items():
            text = page.locator(f"#model-{name}").inner_text()
            for said in (card["title"], card["kind"], card["family"], card["licence"]):
                assert said in text, (name, said)
            forbidden = page.locator(f"#model-{name} [data-non-commercial]").count()
            assert forbidden == (card.get("commercial_use") is False)
        link = page.locator("#model-my-stylegan3 dd a").first
        assert link.get_attribute("href") == NON_COMMERCIAL["licence_url"]
        kid = cards["terrain"]["metrics"]["kid"]
        assert f"{kid['mean']:.4g} ± {kid['std']:.2f}" in page.locator("#model-terrain").inner_text()

        page.locator("#model-toy").scroll_into_view_if_needed()
        page.wait_for_selector("#model-toy img")
        for place, seed in ((1, 1), (8, 8)):
            file = client.get(f"/v1/models/toy/images/{seed}.png").content
            same_pixels(studio.pixels(f"#model-toy li:nth-child({place}) img"), file)
        page.locator("#model-photo-x4").scroll_into_view_if_needed()
        page.wait_for_selector("#model-photo-x4 img")
        given = client.get("/v1/models/terrain/images/3.png").content
        same_pixels(studio.pixels("#model-photo-x4 li:nth-child(1) img"), given)
        made = client.post("/v1/super-resolution", data={"model": "photo-x4"}, files={"image": given})
        same_pixels(studio.pixels("#model-photo-x4 li:nth-child(2) img"), made.content)
        assert "terrain, seed 3" in page.locator("#model-photo-x4 figcaption").inner_text()
        assert studio.axe_everywhere() == []

        page.click('[data-kind="translator"]')
        assert shown(page) == [name for name, card in sorted(cards.items()) if card["kind"] == "translator"]
        page.fill("#search", "emoji")
        assert shown(page) == ["sketch-to-emoji"]
        assert page.url.endswith("#models?kind=translator&q=emoji")
        page.reload()
        page.wait_for_selector("#model-sketch-to-emoji")
        assert shown(page) == ["sketch-to-emoji"]
        page.locator("#model-sketch-to-emoji").get_by_role("link", name="Use it").click()
        page.wait_for_selector("main > .translate h1")
        assert page.url.endswith("#translate?model=sketch-to-emoji")


@pytest.mark.thorough
def test_a_tab_that_is_left_takes_the_list_from_nobody(studio: StudioPage) -> None:
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    studio.page.route("**/v1/models", hold)
    page = studio.open("models")
    until(lambda: page.wait_for_timeout(20) or bool(waiting), 5)
    page.click('#tabs a[href="#generate"]')
    page.wait_for_selector("main > .generate h1")
    waiting[0].continue_()
    page.wait_for_selector("main > .generate select")
    assert len(waiting) == 1


@pytest.mark.thorough
def test_states_are_said_and_followed_while_models_are_checked(studio: StudioPage) -> None:
    states = {"FAILING": "Its process has died.", "REFUSED": "Its pixels are others."}
    asked: list[str] = []
    over = threading.Event()

    def answer(route: Route) -> None:
        response = route.fetch()
        said = response.json()
        asked.append(route.request.url)
        if not over.is_set():
            for card, (state, reason) in zip(said["data"], states.items(), strict=False):
                card.update(state=state, reason=reason)
            said["data"][2].update(newer={"version": "2", "digest": "0", "state": "CHECKING", "reason": "-"})
        route.fulfill(response=response, body=json.dumps(said))

    studio.page.clock.install()
    studio.page.route("**/v1/models", answer)
    page = studio.open("models?kind=generator")
    page.wait_for_selector("#model-my-stylegan3 img")
    for state, reason in states.items():
        card = page.locator(f'article.model:has([data-state="{state}"])')
        expect(card).to_contain_text(reason)
        assert card.get_by_role("link", name="Generate with it").count() == 0
        expect(card.locator(".load")).to_have_count(1)
    expect(page.locator("[data-newer]")).to_contain_text("Version 2: checking")
    over.set()
    page.clock.fast_forward(2000)
    page.wait_for_selector("[data-newer]", state="detached")
    assert page.locator("[data-state]").count() == 0
    page.wait_for_selector("#model-digits img")
    page.wait_for_selector("#model-emoji img")
    asked.clear()
    page.clock.fast_forward(10_000)
    page.wait_for_timeout(100)
    assert asked == []  # nothing is checked any more


@pytest.mark.thorough
def test_a_model_is_measured_by_real_calls(studio: StudioPage, service: JobsService, tmp_path: Path) -> None:
    with service.client() as client:
        card = client.get("/v1/models/toy").json()
        page = studio.open("models?model=toy")
        page.wait_for_selector(".sheet img")
        before = images_of(client.get("/metrics").text, "toy")
        page.click("#measure")
        page.wait_for_selector("#timed")
        counted = images_of(client.get("/metrics").text, "toy") - before
        assert counted == (1 + 10) * 1 + (1 + 3) * 16  # of each kind the first is not timed
        rows = page.locator("#timed tbody tr").all()
        assert [row.locator("td").nth(4).inner_text() for row in rows] == ["10", "3"]
        expect(page.locator("#seen")).to_contain_text(f"{before + counted:,.0f} images in")
        page.click("#all-models")
        expect(page.locator("#model-toy")).to_contain_text("a picture, timed from here")
        page.go_back()

        for name in ("curl", "CLI"):
            assert json.loads(studio.run_command(name, tmp_path)) == card
        assert card["digest"].encode() in studio.run_command("Python", tmp_path)

        page.evaluate("location.hash = '#models?model=terrain'")
        page.wait_for_selector('#metrics [data-figure="kid"]')
        metrics = client.get("/v1/models/terrain").json()["metrics"]
        kid = page.locator('[data-figure="kid"]').inner_text()
        for known in (metrics["kid"], metrics["kid_real"], metrics["kid_untrained"]):
            assert f"{known['mean']:.4g}" in kid
        assert "lower" in kid
        assert page.locator("[data-figure]").count() == 8
        page.wait_for_selector(".sheet img")
        assert studio.axe_everywhere() == []

        page.click("#measure")
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_selector("#measure")
        assert page.locator("#timed, .notice").count() == 0  # nothing that was not measured to its end
        page.evaluate("location.hash = '#models?model=gone'")
        page.wait_for_selector('[data-problem="model-not-found"]')


@pytest.mark.thorough
def test_admins_load_and_unload_and_others_are_told_why_they_cannot(
    browser: Browser, start_triton: Callable[[Path], TritonProcess], tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in ("toy", "other"):
        write_toy_repository(repository, name=name)
    keys = tmp_path / "keys.json"
    plain = create_key(keys, "plain", ["generate"])
    admin = create_key(keys, "chief", ["generate", "admin"])
    gateway = GatewayProcess(start_triton(repository).grpc_url, tmp_path / "log", keys_file=keys)
    gateway.wait_ready()
    headers = {"authorization": f"Bearer {admin}"}
    try:
        with gateway.client(headers=headers) as client:
            for studio in opened(browser, gateway.url):
                studio.refusals_expected = True
                page = studio.open("models")
                use_key(page, plain)
                page.wait_for_selector("#model-toy img")
                expect(page.locator("#not-admin")).to_contain_text("“plain”, has: generate.")
                assert page.locator(".unload, .load, .load-by-name").count() == 0
                page.click("#key-button")
                use_key(page, admin)
                page.click("#model-toy .unload")
                page.click("#model-toy .really")
                page.wait_for_selector('#model-toy [data-state="UNLOADED"]')
                assert client.get("/v1/models/toy").status_code == 404
                assert studio.axe() == []
                assert choices_of_generate(page) == ["other"]
                page.click('#tabs a[href="#models"]')
                page.click("#model-toy .load")
                page.wait_for_selector("#model-toy .unload")
                assert client.get("/v1/models/toy").json()["state"] == "READY"
                assert choices_of_generate(page) == ["other", "toy"]

                client.post("/v1/models/other/unload")
                until(lambda: client.get("/v1/models/other").status_code == 404, 5)
                page.click('#tabs a[href="#models"]')
                page.wait_for_selector("#model-other", state="detached")
                page.click(".load-by-name summary")
                page.fill("#load-name", "nothing-like-it")
                page.keyboard.press("Enter")
                page.wait_for_selector('[data-problem="model-not-found"]')
                page.fill("#load-name", "other")
                page.keyboard.press("Enter")
                page.wait_for_selector("#model-other .unload")
                assert page.locator("[data-problem]").count() == 0
    finally:
        gateway.close()


def use_key(page: Page, key: str) -> None:
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-dialog:not([open])", state="attached")


def choices_of_generate(page: Page) -> list[str]:
    page.click('#tabs a[href="#generate"]')
    page.wait_for_selector("main > .generate select")
    options = page.locator("main > .generate select").first.locator("option").all()
    return sorted(str(option.get_attribute("value")) for option in options)
