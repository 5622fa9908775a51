"""The studio in a real browser: what every test of it does, and what none of them may see."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Download, Page, Request

from tests.forked import ForkedProcess

CLIENT = ("service.cli", "service.client")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


class StudioPage:
    """One page, which remembers every fault that the browser reports."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        # A refused call is a line of the console as well; tests in which calls are refused say so.
        self.refusals_expected = False
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)

    def open(self, view: str = "") -> Page:
        """Opens a view, such as "generate?model=toy", on a page that is loaded anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{view}")
        self.page.wait_for_selector("main h1, main .notice")
        return self.page

    def axe(self) -> list[str]:
        """What axe finds, from moderate on: its rule, and where."""
        self.page.evaluate(AXE)
        found = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", RULES
        )
        return [
            f"{violation['id']} ({violation['impact']}): {node['target']} {node['html'][:200]}"
            for violation in found["violations"]
            if violation["impact"] not in ("minor", None)
            for node in violation["nodes"]
        ]

    def axe_everywhere(self) -> list[str]:
        """`axe` in both colour schemes, and on a phone, where nothing may be wider than the screen either."""
        found: list[str] = []
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            found += [f"{scheme}: {fault}" for fault in self.axe()]
        self.page.set_viewport_size(PHONE)
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        if wide > PHONE["width"]:
            found.append(f"phone: the page is {wide} px wide")
        self.page.set_viewport_size(DESKTOP)
        return found

    def drop(self, selector: str, *paths: Path) -> None:
        """Drops files and folders as a file manager does."""
        box = self.page.locator(selector).bounding_box()
        assert box is not None
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        dragged = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        devtools = self.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": dragged})
        devtools.detach()

    def run_command(
        self, name: str, folder: Path, environment: Mapping[str, str] = {}, within: str = "main"
    ) -> bytes:
        """Runs what "copy as" shows, `curl`, `Python` or `CLI`, in a folder; what it prints."""
        details = self.page.locator(f"{within} details.copy-as")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        text = self.page.locator(f'{within} details.copy-as [data-command="{name}"] code').inner_text()
        own = {**os.environ, **environment}
        if name == "curl":
            done = subprocess.run(
                ["bash", "-c", text], cwd=folder, env=own, capture_output=True, timeout=60, check=False
            )
            assert done.returncode == 0, (text, done.stdout, done.stderr)
            return done.stdout
        if name == "CLI":
            words = shlex.split(text)
            assert words[0] == "ganserve", words
            text = f"import sys; sys.argv = {words!r}; from service.cli import app; app()"
        with tempfile.TemporaryFile() as output:
            code = f"import os; os.chdir({str(folder)!r})\n{text}"
            status = ForkedProcess(code, own, output, CLIENT).wait(60)
            output.seek(0)
            said = output.read()
        assert status == 0, (text, said)
        return said

    def downloaded(self, selector: str) -> tuple[str, bytes]:
        """The file that a click saves: its name and bytes."""
        with self.page.expect_download() as caught:
            self.page.click(selector)
        download: Download = caught.value
        return download.suggested_filename, Path(download.path()).read_bytes()

    def pixels(self, selector: str) -> dict[str, Any]:
        """An `<img>` or `<canvas>` as the browser decoded it: `width`, `height`, and `rgb`, a list."""
        return self.page.evaluate(
            """selector => {
              const shown = document.querySelector(selector);
              const canvas = document.createElement("canvas");
              canvas.width = shown.naturalWidth ?? shown.width;
              canvas.height = shown.naturalHeight ?? shown.height;
              const area = canvas.getContext("2d", { colorSpace: "srgb" });
              area.drawImage(shown, 0, 0);
              const { data } = area.getImageData(0, 0, canvas.width, canvas.height);
              const rgb = [...data].filter((_, n) => n % 4 !== 3);
              return { width: canvas.width, height: canvas.height, rgb };
            }""",
            selector,
        )

    def check(self) -> None:
        """Nothing was wrong: no error of a script, no violation of the policy, no call to elsewhere."""
        faults, self.faults = self.faults, []
        assert not faults, "\n".join(faults)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self.refusals_expected and message.text.startswith("Failed to load resource"):
            return
        self.faults.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url + "/", "blob:", "data:", "about:")):
            self.faults.append(f"a call to elsewhere: {request.url}")
