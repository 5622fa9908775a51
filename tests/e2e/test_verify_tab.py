"""The Verify tab: files of the API, one with a changed pixel, one of strangers, and what to do with them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Locator, Page, expect

from tests.certificates import make_authority, write_credentials
from tests.e2e.conftest import opened
from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

CARD = "article.looked-at"


def made(service: JobsService, **fields: Any) -> bytes:
    """A picture of a generator."""
    body = {"model": "toy", "seeds": [7], "truncation": 0.5, **fields}
    with service.client() as client:
        answer = client.post("/v1/generate", json=body, headers={"accept": "image/png"})
    assert answer.status_code == 200, answer.text
    return answer.content


def touched(data: bytes) -> bytes:
    """One pixel changed by an editor that keeps what the file says."""
    with Image.open(io.BytesIO(data)) as image:
        kept = PngInfo()
        for name, value in image.text.items():  # type: ignore[attr-defined]
            kept.add_itxt(name, value)
        red, *others = image.getpixel((1, 1))  # type: ignore[misc]
        image.putpixel((1, 1), (red ^ 64, *others))
        out = io.BytesIO()
        image.save(out, "PNG", pnginfo=kept)
    return out.getvalue()


def photograph() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((60, 40), 80).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def give(page: Page, files: dict[str, bytes]) -> None:
    kinds = {"jpg": "image/jpeg", "png": "image/png"}
    page.set_input_files(
        "#verify-files",
        [{"name": name, "mimeType": kinds[name[-3:]], "buffer": data} for name, data in files.items()],
    )


def found(page: Page, name: str, verdict: str) -> Locator:
    """The card of a file, once it has that verdict and nothing is under way."""
    selector = f'{CARD}[aria-label="{name}"]'
    page.wait_for_selector(f'{selector}[data-state="done"][data-verdict="{verdict}"]')
    return page.locator(selector)


def test_files_are_told_apart_in_words(studio: StudioPage, service: JobsService) -> None:
    studio.refusals_expected = True
    page = studio.open("verify")
    one = made(service)
    give(
        page,
        {"made.png": one, "touched.png": touched(one), "holiday.jpg": photograph(), "cut.png": one[:200]},
    )
    page.wait_for_selector(f'{CARD}[aria-label="cut.png"] .notice.bad')
    untouched = found(page, "made.png", "authentic").inner_text()
    assert "Untouched" in untouched
    assert "every pixel is the same" in untouched
    assert "toy · served here with these weights" in untouched
    assert "Truncation ψ\n0.5" in untouched
    changed = found(page, "touched.png", "altered").inner_text()
    assert "Changed" in changed
    assert "by up to 64 of 255 levels" in changed
    assert "Unknown" in found(page, "holiday.jpg", "no-provenance").inner_text()
    assert "cannot be read" in page.inner_text(f'{CARD}[aria-label="cut.png"]')
    assert page.locator(CARD).count() == 4
    assert studio.axe_everywhere() == []
    page.click("text=Remove all")
    expect(page.locator(CARD)).to_have_count(0)


@pytest.mark.thorough
def test_the_picture_is_made_again_only_when_it_is_wanted_and_its_view_opens(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    page = studio.open("verify?again=no")
    data = made(service, noise=3)
    (tmp_path / "it's one.png").write_bytes(data)
    give(page, {"it's one.png": data})
    card = found(page, "it's one.png", "unsigned-claim")
    assert "not proven" in card.inner_text()
    card.get_by_role("button", name="Make it again and compare").click()
    found(page, "it's one.png", "authentic")

    with service.client() as client:
        answer = client.post("/v1/verify", files={"image": data}, data={"reproduce": "true"}).json()
    assert json.loads(card.locator("pre").first.text_content() or "") == answer
    assert json.loads(studio.run_command("curl", tmp_path)) == answer
    assert studio.run_command("Python", tmp_path).startswith(b"authentic ")
    assert b"authentic. " in studio.run_command("CLI", tmp_path)

    card.get_by_role("link", name="Open in Generate").click()
    page.wait_for_selector("main > .generate h1")
    assert page.url.partition("#")[2].startswith("generate?model=toy&seeds=7&truncation=0.5&")
    assert "noise=3" in page.url


@pytest.mark.thorough
def test_what_was_enlarged_is_made_again_of_its_picture(studio: StudioPage, service: JobsService) -> None:
    source = made(service)
    with service.client() as client:
        form = {"files": {"image": source}, "data": {"model": "photo-x4", "scale": "2"}}
        larger = client.post("/v1/super-resolution", **form).content
    page = studio.open("verify")
    give(page, {"larger.png": larger})
    card = found(page, "larger.png", "unsigned-claim")
    assert card.get_by_role("link", name="Open in Upscale").get_attribute("href") == (
        "#upscale?model=photo-x4&scale=2"
    )
    other = {"name": "other.png", "mimeType": "image/png", "buffer": photograph()}
    card.locator("input[type=file]").set_input_files([other])  # type: ignore[list-item]
    page.wait_for_selector(f"{CARD} >> text=is not the image of the recipe")
    right = {"name": "source.png", "mimeType": "image/png", "buffer": source}
    card.locator("input[type=file]").set_input_files([right])  # type: ignore[list-item]
    assert "Untouched" in found(page, "larger.png", "authentic").inner_text()


@pytest.mark.thorough
def test_what_made_it_opens_where_it_is_made(studio: StudioPage, service: JobsService) -> None:
    toy = {"model": "toy"}
    with service.client() as client:
        edited = made(service, model="terrain", edits={"direction-01": 2.5})
        mixed = client.post("/v1/style-mix", json={**toy, "rows": [1, 2], "columns": [3], "layers": [1]})
        walk = client.post(
            "/v1/interpolate", json={**toy, "keyframes": [4, {"seed": 5, "truncation": 0.5}], "frames": 3}
        )
        labelled = made(service, model="emoji", seeds=[1], truncation=1, label="Food & Drink")
    views = {
        "edited.png": (edited, "edit", {"from": "7*truncation:0.5*edit:direction-01:2.5"}),
        "mixed.png": (mixed.content, "mix", {"rows": "1,2", "columns": "3", "layers": "1"}),
        "walk.png": (walk.content, "interpolate", {"keyframes": "4,5*truncation:0.5", "frames": "3"}),
        "labelled.png": (labelled, "generate", {"seeds": "1", "label": "Food & Drink"}),
    }
    page = studio.open("verify?again=no")
    give(page, {name: data for name, (data, _, _) in views.items()})
    for name, (_, tab, params) in views.items():
        link = found(page, name, "unsigned-claim").get_by_role("link", name=f"Open in {tab.capitalize()}")
        path, _, query = (link.get_attribute("href") or "").partition("?")
        said = {key: values[0] for key, values in parse_qs(query).items()}
        assert path == f"#{tab}"
        assert said.items() >= params.items(), name


@pytest.fixture
def signing(
    browser: Browser, service: JobsService, tmp_path: Path
) -> Iterator[tuple[StudioPage, JobsService]]:
    """The studio of a gateway with a certificate."""
    credentials = write_credentials(tmp_path, make_authority())
    (tmp_path / "service").mkdir()
    signs = JobsService(service._triton_url, tmp_path / "service", **credentials)
    with signs.client() as client:
        signs.wait_for(lambda: client.get("/readyz").status_code == 200)
    for page in opened(browser, signs.gateway.url):
        yield page, signs
    signs.close()


@pytest.mark.thorough
def test_says_who_signed_and_whether_that_counts(
    signing: tuple[StudioPage, JobsService], service: JobsService
) -> None:
    studio, signs = signing
    data = made(signs, sign=True)
    page = studio.open("verify?again=no")
    give(page, {"signed.png": data})
    card = found(page, "signed.png", "authentic")
    assert "Untouched, and signed by" in card.inner_text()
    assert "whom this server trusts" in card.inner_text()
    assert "its signed manifest" in card.inner_text()
