"""The Translate tab: pictures from everywhere, drawings by hand and by keys, the API's own results."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

SKETCH, SATELLITE = "sketch-to-emoji", "satellite-to-relief"
# What a file that is dropped or pasted is for the page.
TRANSFER = """([bytes, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  return transfer;
}"""


def picture(height: int, width: int) -> bytes:
    """A PNG with areas and noise."""
    random = np.random.RandomState(height * 4099 + width)
    pixels = random.randint(0, 256, (height, width, 3)).astype(np.uint8)
    pixels[: height // 2] //= 4
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def asked(service: JobsService, data: bytes, **fields: Any) -> httpx.Response:
    with service.client() as client:
        answer = client.post("/v1/translate", files={"image": data}, data={"model": SKETCH, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def pixels_of(data: bytes) -> list[int]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).ravel().tolist()


def settled(page: Page) -> None:
    """The translation of what is there now has arrived, and is on screen."""
    page.wait_for_function(
        """() => {
          const image = document.querySelector("#after");
          return !document.querySelector(".frame.stale") && image?.complete && image.naturalWidth > 0;
        }"""
    )


def shown(page: Page, studio: StudioPage, expected: list[int]) -> None:
    """Waits until the translation on screen has just these pixels."""
    for _ in range(100):
        settled(page)
        if studio.pixels("#after")["rgb"] == expected:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the translation on screen is not what the API makes")


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """A line of the mouse, by shares of the paper."""
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def ring(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    angles = [2 * math.pi * n / 16 for n in range(17)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def saved(studio: StudioPage, selector: str, folder: Path) -> bytes:
    name, data = studio.downloaded(selector)
    (folder / name).write_bytes(data)
    return data


def test_a_drawing_is_translated_as_it_is_drawn(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    page = studio.open("translate")
    page.wait_for_selector("#drawing")
    stroke(page, ring(0.5, 0.5, 0.42))
    settled(page)
    circle = saved(studio, "#save-input", tmp_path)
    first = asked(service, circle).content
    with Image.open(io.BytesIO(circle)) as image:
        assert image.size == (64, 64)
        levels = np.unique(np.asarray(image.convert("L")))
    assert (levels[0], levels[-1]) == (0x21, 255)
    assert len(levels) > 10  # its edges are soft
    shown(page, studio, pixels_of(first))

    stroke(page, [(0.35, 0.35), (0.35, 0.45)])
    page.click("#draw-mirror")
    stroke(page, [(0.3, 0.65), (0.4, 0.72), (0.5, 0.74)])
    face = saved(studio, "#save-input", tmp_path)
    assert face != circle
    shown(page, studio, pixels_of(asked(service, face).content))
    assert studio.downloaded("#download") == (f"drawing-{SKETCH}.png", asked(service, face).content)
    for name in ("curl", "Python", "CLI"):
        studio.run_command(name, tmp_path)
        made = "translated/drawing.png" if name == "CLI" else f"drawing-{SKETCH}.png"
        assert pixels_of((tmp_path / made).read_bytes()) == studio.pixels("#after")["rgb"], name
        (tmp_path / made).unlink()

    page.keyboard.press("Control+z")
    page.click("#draw-undo")
    shown(page, studio, pixels_of(first))
    page.keyboard.press("Control+Shift+Z")
    page.keyboard.press("Control+y")
    shown(page, studio, pixels_of(asked(service, face).content))

    studio.open("translate")  # anew: the drawing is still there
    shown(page, studio, pixels_of(asked(service, face).content))
    page.click('#tabs a[href="#verify"]')
    page.click('#tabs a[href="#translate"]')
    shown(page, studio, pixels_of(asked(service, face).content))
    assert studio.axe_everywhere() == []
    page.click("#draw-clear")
    page.wait_for_selector("#after", state="detached")
    page.click("#draw-undo")
    shown(page, studio, pixels_of(asked(service, face).content))


@pytest.mark.thorough
def test_pictures_are_chosen_dropped_and_pasted(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    page = studio.open(f"translate?model={SATELLITE}")
    page.wait_for_selector("#translate-file")
    wide, tall = picture(48, 96), picture(80, 64)
    chosen = {"name": "a wide; one.png", "mimeType": "image/png", "buffer": wide}
    page.set_input_files("#translate-file", chosen)
    shown(page, studio, pixels_of(asked(service, wide, model=SATELLITE).content))
    assert saved(studio, "#save-input", tmp_path) == wide
    for fit in ("pad", "crop", "resize"):
        page.check(f'input[name="fit"][value="{fit}"]')
        shown(page, studio, pixels_of(asked(service, wide, model=SATELLITE, fit=fit).content))
    page.check("#restore")
    restored = asked(service, wide, model=SATELLITE, fit="resize", restore="true").content
    shown(page, studio, pixels_of(restored))
    assert "fit=resize" in page.url
    assert "restore=true" in page.url
    for name in ("curl", "Python", "CLI"):
        studio.run_command(name, tmp_path)
        made = "translated/a wide; one.png" if name == "CLI" else f"a wide; one-{SATELLITE}.png"
        assert pixels_of((tmp_path / made).read_bytes()) == pixels_of(restored), name
        (tmp_path / made).unlink()

    dropped = page.evaluate_handle(TRANSFER, [list(tall), "tall.png"])
    page.dispatch_event(".stage", "drop", {"dataTransfer": dropped})
    expected = asked(service, tall, model=SATELLITE, fit="resize", restore="true").content
    shown(page, studio, pixels_of(expected))
    pasted = page.evaluate_handle(TRANSFER, [list(wide), "pasted.png"])
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))",
        pasted,
    )
    page.wait_for_selector(".name:has-text('pasted.png')")
    shown(page, studio, pixels_of(restored))
    assert studio.axe_everywhere() == []
    page.click("#draw-over")
    page.wait_for_selector("#drawing")
    drawn = pixels_of(saved(studio, "#save-input", tmp_path))
    assert np.unique(np.array(drawn).reshape(-1, 3), axis=0).shape[0] > 10


@pytest.mark.thorough
def test_a_picture_is_taken_with_the_camera_which_is_given_back(studio: StudioPage, tmp_path: Path) -> None:
    page = studio.open(f"translate?model={SATELLITE}&fit=crop")
    page.context.grant_permissions(["camera"])
    page.evaluate(
        """() => {
          globalThis.streams = [];
          const { mediaDevices } = navigator;
          const open = mediaDevices.getUserMedia.bind(mediaDevices);
          mediaDevices.getUserMedia = async (wanted) => {
            streams.push(await open(wanted));
            return streams.at(-1);
          };
        }"""
    )
    on = "streams.flatMap((one) => one.getTracks()).filter((track) => track.readyState === 'live').length"
    page.click("#camera")
    page.wait_for_selector("#camera-take:enabled")
    assert page.evaluate(on) == 1
    page.click("#camera-cancel")
    page.wait_for_selector("dialog.camera", state="detached")
    assert page.evaluate(on) == 0
    page.click("#camera")
    page.click("#camera-take")
    settled(page)
    assert page.evaluate(on) == 0
    with Image.open(io.BytesIO(saved(studio, "#save-input", tmp_path))) as photo:
        assert min(photo.size) >= 240
    assert studio.pixels("#after")["width"] == 64
    page.click("#camera")
    page.wait_for_selector("#camera-take:enabled")
    page.evaluate("location.hash = '#verify'")
    page.wait_for_selector("main > .verify h1")
    assert (page.evaluate(on), page.locator("dialog.camera").count()) == (0, 0)

    page.evaluate("location.hash = '#translate?source=picture'")
    for name, words in (("NotAllowedError", "Allow it"), ("NotFoundError", "No camera was found")):
        page.evaluate(
            """name => navigator.mediaDevices.getUserMedia =
              async () => { throw new DOMException('no', name); }""",
            name,
        )
        page.click("#camera")
        page.wait_for_selector(f".notice.bad:has-text('{words}')")


@pytest.mark.thorough
def test_it_is_drawn_with_keys(studio: StudioPage, tmp_path: Path) -> None:
    page = studio.open(f"translate?model={SKETCH}")
    page.focus("#drawing")
    for key in ("Shift+ArrowLeft", "ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight", "Space"):
        page.keyboard.press(key)
    settled(page)
    before = saved(studio, "#save-input", tmp_path)
    line = np.asarray(Image.open(io.BytesIO(before)).convert("L"))
    rows, columns = np.nonzero(line < 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (29, 32, 22, 41)
    page.focus("#drawing")
    for key in ("o", "Shift+ArrowUp", "Space", "Shift+ArrowLeft", "Shift+ArrowUp", "Escape"):
        page.keyboard.press(key)
    assert saved(studio, "#save-input", tmp_path) == before  # the oval was called off
    page.focus("#drawing")
    for key in ("e", "Shift+ArrowDown", "Shift+ArrowDown", "]", "Space", "Space"):
        page.keyboard.press(key)
    erased = np.asarray(Image.open(io.BytesIO(saved(studio, "#save-input", tmp_path))).convert("L"))
    assert (erased > line).any()
    assert not (erased < line).any()
    page.wait_for_selector("#announcements:has-text('translation is there')", state="attached")


@pytest.mark.thorough
def test_what_goes_wrong_keeps_the_last_translation_and_only_the_newest_drawing_is_sent(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    studio.refusals_expected = True
    page = studio.open(f"translate?model={SKETCH}&source=picture")
    good = picture(64, 64)
    page.set_input_files("#translate-file", {"name": "good.png", "mimeType": "image/png", "buffer": good})
    expected = pixels_of(asked(service, good, fit="pad").content)
    shown(page, studio, expected)
    page.set_input_files(
        "#translate-file", {"name": "bad.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.wait_for_selector(".notice.bad[data-problem]")
    page.wait_for_selector("text=This browser cannot show bad.png")
    assert studio.pixels("#after")["rgb"] == expected
    assert page.locator(".after .frame.stale").count() == 1

    # While one call takes its time, nothing piles up.
    page.click('[data-source="drawing"]')
    waiting: list[Any] = []
    sent: list[Any] = []

    def pass_on(route: Any) -> None:
        (waiting if not waiting else sent).append(route)
        if sent:
            route.continue_()

    page.route("**/v1/translate", pass_on)
    stroke(page, [(0.2, 0.2), (0.8, 0.2)])
    page.wait_for_selector("#cancel")
    for row in range(3, 8):
        stroke(page, [(0.2, row / 10), (0.8, row / 10)])
    assert (len(waiting), len(sent)) == (1, 0)
    waiting[0].continue_()
    drawing = saved(studio, "#save-input", tmp_path)
    shown(page, studio, pixels_of(asked(service, drawing).content))
    assert len(sent) == 1


@pytest.mark.thorough
def test_a_photographed_drawing_becomes_ink_as_wide_as_the_pen_and_as_large_as_the_paper(
    studio: StudioPage, tmp_path: Path
) -> None:
    sheet = Image.new("L", (600, 450), 230)
    ImageDraw.Draw(sheet).ellipse((60, 40, 260, 240), outline=70, width=5)
    lit = np.asarray(sheet) * np.linspace(1, 0.6, 600)[None, :] + np.random.RandomState(0).randn(450, 600) * 3
    photo = io.BytesIO()
    Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)).save(photo, "JPEG")
    page = studio.open(f"translate?model={SKETCH}&source=picture")
    given = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()}
    page.set_input_files("#translate-file", given)
    page.click("#draw-over")
    page.wait_for_selector("#drawing")
    settled(page)
    ink = np.asarray(Image.open(io.BytesIO(saved(studio, "#save-input", tmp_path))).convert("L"))
    rows, columns = np.nonzero(ink < 128)
    assert max(rows.min(), columns.min()) <= 3  # it fills the paper, wherever it was on the sheet
    assert min(rows.max(), columns.max()) >= 60
    across = ink[32] < 128
    assert across[:32].sum() in (3, 4, 5)
    assert across[32:].sum() in (3, 4, 5)
    assert not across[8:56].any()  # neither the light nor the grain of the photo is left
