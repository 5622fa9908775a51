"""The calls of a soak, and what an answer is known by: the hash of the pixels in it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the mix.

    Attributes:
        name: Kind of call, as the report lists it.
        model: Whose queue it goes through; empty if through none.
        units: Images or tiles it asks for.
        path: Below the gateway.
        method: Of HTTP.
        sent: Arguments of httpx: body, files, headers.
        status: What is answered when there is room.
        key: Tells this call from all others.
    """

    name: str
    model: str
    units: int
    path: str
    method: str = "POST"
    sent: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    key: str = ""


def picture(height: int, width: int, seed: int = 0) -> bytes:
    """A PNG of smooth colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def calls() -> list[Call]:
    """All of them; kinds come as often as they are listed."""
    made: list[Call] = []

    def add(name: str, model: str, units: int, path: str, **more: Any) -> None:
        made.append(Call(name, model, units, path, key=f"{name} {len(made)}", **more))

    def generate(name: str, body: dict[str, Any], accept: str, units: int = 1) -> None:
        add(name, body["model"], units, "/v1/generate", sent={"json": body, "headers": {"accept": accept}})

    for seed in range(12):
        for model in ("toy", "terrain"):
            generate("generate, JSON", {"model": model, "seeds": [seed]}, "application/json")
            generate("generate, PNG", {"model": model, "seeds": [seed]}, "image/png")
        generate("generate, WebP", {"model": "terrain", "seeds": [seed]}, "image/webp")
    for seed in range(4):
        generate("generate, label", {"model": "emoji", "seeds": [seed], "label": seed}, "image/png")
        generate("generate, JPEG", {"model": "terrain", "seeds": [seed]}, "image/jpeg")
        generate("generate, other model", {"model": "digits", "seeds": [seed]}, "image/png")
        generate("generate, npy", {"model": "toy", "seeds": [seed]}, "application/x-npy")
        run = {"model": "terrain", "seed": 100 * seed, "n": 6, "truncation": 0.7}
        generate("generate 6, JSON", run, "application/json", 6)
        generate("generate 6, sheet", run, "image/png", 6)
        generate("generate 6, zip", run, "application/zip", 6)
        for suffix in ("png", "webp"):
            path = f"/v1/models/terrain/images/{seed}.{suffix}"
            add("image", "terrain", 1, path, method="GET")
        add("image, toy", "toy", 1, f"/v1/models/toy/images/{seed}.png", method="GET")
    for frames in (8, 20):
        body = {"model": "terrain", "keyframes": [1, frames], "frames": frames}
        for kind in ("webp", "gif", "zip"):
            sent: dict[str, Any] = {"json": {**body, "format": kind}}
            add("interpolate", "terrain", frames, "/v1/interpolate", sent=sent)
        for _ in range(3):
            sent = {"json": body, "headers": {"accept": EVENT_STREAM}}
            add("interpolate, events", "terrain", frames, "/v1/interpolate", sent=sent)
    for layers in ("coarse", "fine"):
        body = {"model": "terrain", "rows": [1, 2], "columns": [3, 4], "layers": layers}
        add("style mix", "terrain", 4, "/v1/style-mix", sent={"json": body})
    body = {"model": "terrain", "operation": "average", "latents": [1, 2, 3]}
    add("latents", "terrain", 1, "/v1/latents", sent={"json": body})
    for seed, (height, width) in enumerate([(64, 64), (128, 64), (37, 90)]):
        files = {"image": picture(height, width, seed)}
        data = {"model": "satellite-to-relief", "fit": "resize" if seed else "native"}
        add("translate", "satellite-to-relief", 1, "/v1/translate", sent={"files": files, "data": data})
    for seed, (height, width) in enumerate([(8, 8), (24, 40), (48, 48), (64, 210)]):
        files = {"image": picture(height, width, seed)}
        data = {"model": "photo-x4"}
        units = 1 if width < 192 else 2
        add(
            "super-resolution", "photo-x4", units, "/v1/super-resolution", sent={"files": files, "data": data}
        )
    made.extend(_bad())
    return made


def _bad() -> list[Call]:
    """Inputs that are refused, each with its own status."""
    upload = {"files": {"image": b"no image"}, "data": {"model": "photo-x4"}}
    empty = {"files": {"image": b""}, "data": {"model": "photo-x4"}}
    cut = {"files": {"image": picture(64, 64)[:90]}, "data": {"model": "photo-x4"}}
    large = {"content": b"[" * (2 << 20), "headers": {"content-type": "application/json"}}
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("/v1/generate", {"json": {"model": "terrain"}}, 422),
        ("/v1/generate", {"json": {"model": "nobody", "seeds": [1]}}, 404),
        ("/v1/generate", {"content": b"{", "headers": {"content-type": "application/json"}}, 422),
        ("/v1/generate", {"content": b"x"}, 415),
        ("/v1/generate", {"json": {"model": "photo-x4", "seeds": [1]}}, 422),
        ("/v1/generate", large, 413),
        ("/v1/super-resolution", upload, 422),
        ("/v1/super-resolution", empty, 422),
        ("/v1/super-resolution", cut, 422),
        ("/v1/nothing", {}, 404),
    ]
    return [
        Call("bad input", "", 0, path, sent=sent, status=status, key=f"bad {index}")
        for index, (path, sent, status) in enumerate(cases)
    ]


def fingerprint(response: httpx.Response) -> str:
    """What the pixels of an answer are known by.

    Files without loss are decoded and their pixels hashed; of others all bytes are.

    Raises:
        ValueError: If the pixels are not those that the answer says they are.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if media_type == "application/json":
        return _joined(response.json()["data"])
    if media_type == EVENT_STREAM:
        return _joined(events(response.text))
    if media_type in ("image/png", "image/webp") and "filename" not in response.headers.get(
        "content-disposition", ""
    ):
        found = pixels_sha256(response.content)
        said = response.headers.get("x-pixels-sha256", found)
        if said != found:
            raise ValueError(f"the answer says {said} of pixels that are {found}")
        return found
    return hashlib.sha256(response.content).hexdigest()


def events(text: str) -> list[dict[str, Any]]:
    """The frames of an event stream."""
    data = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return [frame for frame in map(json.loads, data) if "b64_json" in frame]


def _joined(items: list[dict[str, Any]]) -> str:
    return " ".join(_item(item) for item in items)


def _item(item: dict[str, Any]) -> str:
    if "b64_json" not in item:
        return str(item["ws"])
    found = pixels_sha256(base64.b64decode(item["b64_json"]))
    if item["pixels_sha256"] != found:
        raise ValueError(f"the answer says {item['pixels_sha256']} of pixels that are {found}")
    return found


def pixels_sha256(file: bytes) -> str:
    """Of the RGB pixels of a file."""
    return hashlib.sha256(np.asarray(Image.open(BytesIO(file)).convert("RGB")).tobytes()).hexdigest()
