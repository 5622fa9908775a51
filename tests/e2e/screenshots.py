"""Draws every tab of the studio as people see it: desktop and phone, light and dark.

    make screenshots            all of them, into docs/studio/
    make screenshots ARGS="generate jobs --out /tmp/pictures"

The service is the real one, with the models that ship. Each scene does what a user would, and a picture is
taken once nothing moves any more.
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import skimage.data
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import SHIPPED_MODELS
from tests.e2e.studio_page import DESKTOP, PHONE
from tests.jobs_service import JobsService, wait_ended, wait_usable
from tests.triton_process import TritonProcess

OUT = Path(__file__).parents[2] / "docs" / "studio"
SIZES = {"desktop": DESKTOP, "phone": PHONE}
SETTLED_MILLISECONDS = 1500

Scene = Callable[[Page, Path], None]


def as_it_is(page: Page, folder: Path) -> None:
    """The URL says it all."""


def with_favourites(page: Page, folder: Path) -> None:
    """Some pictures are kept, as in a page that was used before."""
    page.evaluate(
        """async () => {
          const { digest } = await (await fetch("v1/models/terrain")).json();
          const recipe = { model: "terrain", digest, truncation: 0.8 };
          const kept = [3, 12, 16, 29, 42].map((seed) => ({ ...recipe, seed }));
          localStorage.setItem("ganserve.favourites", JSON.stringify(kept));
        }"""
    )
    page.reload()


def with_keyframes(page: Page, folder: Path) -> None:
    """A path through five pictures has been made."""
    with_favourites(page, folder)
    page.get_by_label("Seeds", exact=True).fill("3, 12, 16, 29, 42")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_timeout(12_000)


def with_a_drawing(page: Page, folder: Path) -> None:
    """A face is drawn."""
    box = page.locator("main canvas").first.bounding_box()
    assert box is not None

    def stroke(points: list[tuple[float, float]]) -> None:
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*at[0])
        page.mouse.down()
        for point in at[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()

    def arc(x: float, y: float, r: float, first: float, last: float) -> list[tuple[float, float]]:
        angles = [first + (last - first) * n / 24 for n in range(25)]
        return [(x + r * math.cos(angle), y + r * math.sin(angle)) for angle in angles]

    stroke(arc(0.5, 0.5, 0.4, 0, 2 * math.pi))
    stroke(arc(0.36, 0.42, 0.05, 0, 2 * math.pi))
    stroke(arc(0.64, 0.42, 0.05, 0, 2 * math.pi))
    stroke(arc(0.5, 0.52, 0.22, 0.3, math.pi - 0.3))


def with_a_photo(page: Page, folder: Path) -> None:
    """A photograph is enlarged."""
    page.set_input_files('main input[type="file"]', folder / "astronaut.png")
    page.get_by_role("button", name="Enlarge", exact=True).click()
    page.wait_for_timeout(15_000)


def with_a_generated_file(page: Page, folder: Path) -> None:
    """A file that this server made is looked at."""
    page.set_input_files('main input[type="file"]', folder / "made.png")
    page.wait_for_timeout(1500)


def after_calls(page: Page, folder: Path) -> None:
    """There is something to show: pictures were asked for, and one call was wrong."""
    page.evaluate(
        """async () => {
          const begin = performance.now();
          for (let seed = 1; performance.now() - begin < 20000; seed += 6) {
            const model = Math.random() < 0.6 ? "terrain" : "emoji";
            await fetch("v1/generate", {
              method: "POST",
              headers: { "content-type": "application/json" },
              body: JSON.stringify({ model, seed, n: 6, noise: Math.floor(Math.random() * 1e6) }),
            });
            await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
          }
        }"""
    )


SCENES: dict[str, tuple[str, Scene]] = {
    "generate": ("generate?model=terrain&seeds=0-23&truncation=0.8", with_favourites),
    "interpolate": ("interpolate?model=terrain&loop=1", with_keyframes),
    "mix": ("mix?model=terrain", with_favourites),
    "edit": ("edit?model=terrain", with_favourites),
    "translate": ("translate?model=sketch-to-emoji", with_a_drawing),
    "upscale": ("upscale?model=photo-x4", with_a_photo),
    "jobs": ("jobs", as_it_is),
    "models": ("models", as_it_is),
    "verify": ("verify", with_a_generated_file),
    "status": ("status", after_calls),
}


def prepare(client: httpx.Client, folder: Path) -> None:
    """Makes what the scenes show: files, and a batch job with one file that fails."""
    astronaut = Image.fromarray(skimage.data.astronaut()).crop((130, 0, 370, 240))
    astronaut.save(folder / "astronaut.png")
    (folder / "made.png").write_bytes(client.get("/v1/models/terrain/images/12.png?truncation=0.8").content)
    files = [("files", ("notes.png", b"no picture", "image/png"))]
    for n in range(11):
        out = io.BytesIO()
        left, top = 20 * n, 12 * n
        astronaut.crop((left % 144, top % 144, left % 144 + 96, top % 144 + 96)).save(out, "png")
        files.append(("files", (f"portrait-{n:02}.png", out.getvalue(), "image/png")))
    operation = '{"operation": "super-resolution", "model": "photo-x4"}'
    answer = client.post("/v1/jobs", data={"job": operation}, files=files)
    job = answer.raise_for_status().json()["id"]
    wait_ended(client, job, 300)
    SCENES["jobs"] = (f"jobs?job={job}", as_it_is)


def draw(browser: Browser, url: str, tab: str, folder: Path, out: Path) -> None:
    """Takes the four pictures of a tab."""
    view, scene = SCENES[tab]
    for name, viewport in SIZES.items():
        context = browser.new_context(viewport=viewport, device_scale_factor=2 if name == "phone" else 1)
        page = context.new_page()
        page.goto(f"{url}/#{view}")
        page.wait_for_selector("main h1")
        scene(page, folder)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_timeout(SETTLED_MILLISECONDS)
            with Image.open(io.BytesIO(page.screenshot(full_page=name == "phone"))) as image:
                image = image.convert("RGB").crop((0, 0, image.width, min(image.height, 2400)))
                image.save(out / f"{tab}-{name}-{scheme}.webp", quality=80, method=6)
        context.close()


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tabs", nargs="*", help=f"of {', '.join(SCENES)}; all if none is named")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        triton = TritonProcess(SHIPPED_MODELS, folder / "triton.log").start()
        service = JobsService(triton.grpc_url, folder)
        try:
            service.start_worker()
            with service.client() as client:
                wait_usable(client)
                prepare(client, folder)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                for tab in options.tabs or SCENES:
                    draw(browser, service.gateway.url, tab, folder, options.out)
                    print(tab)
                browser.close()
        finally:
            service.close()
            triton.close()


if __name__ == "__main__":
    main(sys.argv[1:])
