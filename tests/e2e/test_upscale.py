"""The Upscale tab: what it makes is what the API makes, seen down to the pixel, and called off for good."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

MODEL = "photo-x4"
# Parts of the canvas, as the screen has them.
CANVAS = """([x, y, width, height]) => {
  const copy = document.createElement("canvas");
  copy.width = width;
  copy.height = height;
  const area = copy.getContext("2d");
  area.drawImage(document.querySelector(".comparison canvas"), -x, -y);
  return [...area.getImageData(0, 0, width, height).data];
}"""


def picture(height: int, width: int) -> bytes:
    """A PNG with edges and noise."""
    random = np.random.RandomState(height * 4099 + width)
    pixels = random.randint(0, 256, (height, width, 3)).astype(np.uint8)
    pixels[: height // 2, : width // 2] //= 4
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def give(page: Page, data: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#upscale-file", {"name": name, "mimeType": "image/png", "buffer": data})
    page.wait_for_selector(f".name:has-text('{name}')")


def asked(service: JobsService, data: bytes, **fields: Any) -> httpx.Response:
    with service.client() as client:
        answer = client.post("/v1/super-resolution", files={"image": data}, data={"model": MODEL, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def shown(page: Page, x: int, y: int, width: int, height: int) -> np.ndarray:
    """What the canvas shows there, [height, width, 3]."""
    page.evaluate("new Promise(requestAnimationFrame)")
    data = page.evaluate(CANVAS, [x, y, width, height])
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def canvas_size(page: Page) -> tuple[int, int]:
    size = page.evaluate("(c => [c.width, c.height])(document.querySelector('.comparison canvas'))")
    return size[0], size[1]


def test_a_picture_becomes_the_very_file_of_the_api(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    page = studio.open(f"upscale?model={MODEL}&scale=3&zoom=2&before=pixels")
    data = picture(20, 45)
    (tmp_path / "photo of me.png").write_bytes(data)
    give(page, data, "photo of me.png")
    assert "135 × 60" in page.inner_text("#upscale-sizes")
    page.click("#enlarge")
    name, file = studio.downloaded("#download")
    plain = asked(service, data, scale="3")
    assert (name, file) == ("photo of me-3x.png", plain.content)
    assert "135 × 60" in page.inner_text("#made")
    assert page.inner_text("#announcements").startswith("Enlarged to 135 by 60 pixels")

    studio.run_command("curl", tmp_path)
    assert (tmp_path / "photo of me-3x.png").read_bytes() == file
    (tmp_path / "photo of me-3x.png").unlink()
    studio.run_command("Python", tmp_path)
    assert (tmp_path / "photo of me-3x.png").read_bytes() == file
    studio.run_command("CLI", tmp_path)
    assert (tmp_path / "enlarged" / "photo of me.png").read_bytes() == file

    # Each pixel is 2 × 2 of the screen: before on the left, after on the right.
    before = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    after = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    width, height = canvas_size(page)
    left, top = (width - 270 + 1) // 2, (height - 120 + 1) // 2
    page.focus(".divider")
    page.keyboard.press("Home")
    np.testing.assert_array_equal(shown(page, left, top, 270, 120), after.repeat(2, 0).repeat(2, 1))
    assert page.get_attribute(".divider", "aria-valuenow") == "0"
    page.keyboard.press("End")
    np.testing.assert_array_equal(shown(page, left, top, 270, 120), before.repeat(6, 0).repeat(6, 1))
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute(".divider", "aria-valuenow") == "88"
    at = round(270 * 0.88)
    np.testing.assert_array_equal(
        shown(page, left + at, top, 270 - at, 120), after.repeat(2, 0).repeat(2, 1)[:, at:]
    )
    assert studio.axe_everywhere() == []


@pytest.mark.thorough
def test_zooms_and_moves_by_key_wheel_and_hand_and_keeps_it_in_the_url(
    studio: StudioPage, service: JobsService
) -> None:
    page = studio.open(f"upscale?model={MODEL}")
    data = picture(140, 200)  # large enough for its sending to be followed
    give(page, data)
    page.click("#enlarge")
    page.wait_for_selector("#download")
    after = np.asarray(Image.open(io.BytesIO(asked(service, data).content)))
    page.focus(".divider")
    page.keyboard.press("Home")
    page.focus(".comparison .area")
    page.keyboard.press("4")
    width, height = canvas_size(page)

    def offset() -> tuple[int, int]:
        """Which pixel of the result is drawn first at the canvas' middle."""
        patch = shown(page, width // 2, height // 2, 64, 64)[::4, ::4][:12, :12]
        windows = np.lib.stride_tricks.sliding_window_view(after, (12, 12, 3))[:, :, 0]
        for row, column in np.argwhere(
            (after[: windows.shape[0], : windows.shape[1]] == patch[0, 0]).all(-1)
        ):
            if (windows[row, column] == patch).all():
                return int(column), int(row)
        raise AssertionError("the canvas shows no part of the result")

    page.wait_for_selector(".comparison output:text-is('400 %')")
    x, y = offset()
    assert abs(x - 400) <= 1
    assert abs(y - 280) <= 1
    page.keyboard.press("ArrowRight")  # 64 pixels of the screen
    page.keyboard.press("ArrowDown")
    assert offset() == (x + 16, y + 16)
    box = page.locator(".comparison canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 340, box["y"] + 180, steps=3)
    page.mouse.up()
    assert offset() == (x + 6, y + 21)
    page.wait_for_url("**zoom=4&at=0.*")
    view = page.url.partition("#")[2]
    page.keyboard.down("Control")
    page.mouse.wheel(0, 240)
    page.keyboard.up("Control")
    page.wait_for_selector(".comparison output:text-is('200 %')")
    page.keyboard.press("0")
    assert page.get_attribute("text=Fit", "aria-pressed") == "true"
    # Where all of it is seen, a drag moves the divider.
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100, steps=3)
    page.mouse.up()
    assert page.get_attribute(".divider", "aria-valuenow") == "50"

    page = studio.open(view)
    give(page, data)
    page.wait_for_selector(".comparison output:text-is('400 %')")
    assert page.input_value("#upscale-model") == MODEL


@pytest.mark.thorough
def test_says_how_far_it_is_and_cancel_ends_it_on_the_server(
    studio: StudioPage, service: JobsService
) -> None:
    page = studio.open("upscale")
    network = studio.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 3 << 20}
    network.send("Network.emulateNetworkConditions", slow)
    give(page, picture(900, 900))
    page.click("#enlarge")
    page.wait_for_selector("#working >> text=/^Sending: [\\d.]+ MiB of [\\d.]+ MiB/")
    page.wait_for_selector("#working >> text=/^[1-9]\\d* of \\d+ tiles/")
    done, of = page.locator("#working progress").evaluate("bar => [bar.value, bar.max]")
    assert 1 <= done < of
    page.click("text=Cancel")
    page.wait_for_selector("#enlarge:enabled")
    assert page.locator("main .notice").count() == 0
    assert page.locator("#download").count() == 0

    def idle() -> bool:
        with service.client() as client:
            return f'ganserve_queue_depth{{model="{MODEL}"}} 0.0' in client.get("/metrics").text

    service.wait_for(idle, 8)
    out = io.BytesIO()
    Image.new("RGB", (900, 900)).save(out, "PNG")  # so small a file that its sending is not followed
    give(page, out.getvalue(), "black.png")
    page.click("#enlarge")
    page.wait_for_selector("[data-stage=computing]")
    page.click('#tabs a[href="#status"]')  # leaving the tab ends it as well
    service.wait_for(idle, 8)


@pytest.mark.thorough
def test_what_the_server_refuses_is_said_in_words(studio: StudioPage) -> None:
    studio.refusals_expected = True
    page = studio.open(f"upscale?model={MODEL}&frame=3")
    for data, said in (
        (b"no picture at all", "is of a kind that is not read"),
        (picture(8, 8)[:-60], "The image cannot be read"),
        (picture(8, 8), "has no such frame"),
    ):
        give(page, data, f"{len(data)}.png")
        assert page.locator("main .notice").count() == 0
        page.click("#enlarge:enabled")
        assert said in page.inner_text("main .notice.bad")
    page.click("text=Enlarge its first frame")
    page.wait_for_selector("#download")
    assert page.locator("main .notice").count() == 0


@pytest.mark.thorough
def test_what_is_too_large_is_said_before_it_is_sent(studio: StudioPage, tmp_path: Path) -> None:
    calls: list[str] = []
    page = studio.open(f"upscale?model={MODEL}")
    page.on("request", lambda request: calls.append(request.url))
    out = io.BytesIO()
    Image.new("L", (4096, 1024)).save(out, "PNG")
    give(page, out.getvalue())
    assert "64 megapixels" in page.inner_text("#upscale-refusal")
    assert page.locator("#enlarge").is_disabled()
    page.fill("#upscale-scale", "3")
    assert page.locator("#upscale-refusal").count() == 0
    (tmp_path / "b.png").write_bytes(picture(9, 9) + bytes(33 << 20))
    page.set_input_files("#upscale-file", tmp_path / "b.png")
    page.wait_for_selector(".name:has-text('b.png')")
    assert "32 MiB" in page.inner_text("#upscale-refusal")
    assert not [url for url in calls if "super-resolution" in url]
