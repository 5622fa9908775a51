"""Chromium, as the machine has it."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Playwright


def launched(playwright: Playwright) -> Browser:
    """A browser without a window, and with a camera that shows a test picture."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise RuntimeError("the studio needs Chromium to be tested: `make browser` installs it, as root")
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # its sandbox needs what root and most containers have not
    return playwright.chromium.launch(executable_path=executable, args=arguments)
