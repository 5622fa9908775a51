"""Pictures as arrays: those that the API makes, and whether the page shows them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

Pixels = NDArray[np.uint8]
"""[height, width, 3]."""

# Not `async`: a promise would be taken for a yes.
_SHOWS = """([selector, expected, tolerance]) => {
  const shown = document.querySelector(selector);
  if (!shown?.complete || !shown.naturalWidth) return false;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [shown.naturalWidth, shown.naturalHeight];
  const area = canvas.getContext("2d", { colorSpace: "srgb" });
  area.drawImage(shown, 0, 0);
  const rgb = area.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, n) => n % 4 !== 3);
  const near = (value, n) => Math.abs(value - expected[n]) <= tolerance;
  return rgb.length === expected.length && rgb.every(near);
}"""


def made(service: JobsService, call: str = "generate", **body: Any) -> Pixels:
    """The picture as the API makes it."""
    headers = {"accept": "image/png"}
    with service.client() as client:
        answer = client.post(f"/v1/{call}", json={"model": "terrain", **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return decoded(answer.content)


def decoded(data: bytes) -> Pixels:
    """A file's pixels."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def wait_pixels(studio: StudioPage, selector: str, expected: Pixels, tolerance: int = 0) -> None:
    """Returns once the page shows exactly these pixels."""
    studio.page.wait_for_function(_SHOWS, arg=[selector, expected.ravel().tolist(), tolerance])
