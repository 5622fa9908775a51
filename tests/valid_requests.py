"""Makes a body that fits its JSON Schema obey the rules as well that only descriptions tell."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

Body = dict[str, Any]

MODELS = {"translate": "sketch-to-emoji", "super-resolution": "photo-x4"}
GENERATOR = "terrain"
MOVABLE = "my-stylegan3"
"""A generator whose pictures can be turned and moved; it has no directions."""

_NUM_WS = {GENERATOR: 10, MOVABLE: 4}
_LOSSY = ("jpeg", "webp", "mp4")


def picture(side: int = 8) -> bytes:
    """A PNG of one colour."""
    file = BytesIO()
    Image.new("RGB", (side, side), (200, 90, 30)).save(file, "PNG")
    return file.getvalue()


def obeying(call: str, body: Body) -> Body:
    """A body for a call, such as `generate`, that has to be accepted."""
    body = _whole(body)
    body.pop("sign", None)  # nothing to sign with
    if call in MODELS:
        return _upload(call, body)
    body["model"] = MOVABLE if _moves(body) else GENERATOR
    body = _latent_fields(body, body["model"])
    if body.get("format") not in _LOSSY:
        body.pop("quality", None)
    return {"generate": _generate, "interpolate": _interpolate, "style-mix": _style_mix, "latents": _latents}[
        call
    ](body)


def _whole(value: Any) -> Any:
    """To JSON Schema 7.0 is an integer; the API wants integers written as such."""
    if isinstance(value, dict):
        return {key: _whole(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_whole(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _moves(body: Body) -> bool:
    """Whether a picture is turned or moved, of all or of one keyframe."""
    fields = [body, *(frame for frame in body.get("keyframes", ()) if isinstance(frame, dict))]
    return any(one.get("rotation") or any(one.get("translation") or ()) for one in fields)


def _latent_fields(body: Body, model: str) -> Body:
    """Layers, classes and directions that the model has."""
    body = {key: value for key, value in body.items() if key != "label"}
    if body.get("truncation_cutoff") is not None:
        body["truncation_cutoff"] %= _NUM_WS[model] + 1
    if model == MOVABLE:
        body.pop("edits", None)
    if body.get("edits"):
        body["edits"] = {
            f"direction-0{n}": amount for n, amount in enumerate(body["edits"].values(), 1) if n < 4
        }
    return body


def _sources(sources: list[Any], most: int, model: str) -> list[Any]:
    """Seeds, or objects with a seed."""
    return [
        {**_latent_fields(source, model), "seed": source.get("seed") or 0, "ws": None}
        if isinstance(source, dict)
        else source
        for source in sources[:most]
    ]


def _layers(layers: Any, model: str) -> Any:
    if isinstance(layers, list):
        return [layer % _NUM_WS[model] if isinstance(layer, int) else layer for layer in layers][:3]
    return layers


def _generate(body: Body) -> Body:
    body.pop("ws", None)
    if body.get("seeds"):
        body = {**body, "seeds": body["seeds"][:4], "seed": None, "n": None}
    else:
        body = {**body, "seeds": None, "seed": (body.get("seed") or 0) // 2}
        body["n"] = None if body.get("n") is None else body["n"] % 4 + 1
    return {**body, "return_ws": False, "captions": False}


def _interpolate(body: Body) -> Body:
    keyframes = _sources(body["keyframes"], 4, body["model"])
    return {**body, "keyframes": keyframes, "frames": len(keyframes) + body.get("frames", 0) % 6}


def _style_mix(body: Body) -> Body:
    model = body["model"]
    body = {**body, "rows": _sources(body["rows"], 3, model), "columns": _sources(body["columns"], 3, model)}
    return {**body, "layers": _layers(body.get("layers", "fine"), model)}


def _latents(body: Body) -> Body:
    latents = _sources(body["latents"], 4, GENERATOR)
    operation = body.get("operation", "map")
    if operation in ("mix", "walk"):
        latents = [*latents, 1, 2][:2]
    needed: Body = {"weights": None, "layers": None, "steps": None}
    if operation == "mix":
        needed["layers"] = _layers(body.get("layers") or "coarse", GENERATOR)
    if operation == "walk":
        needed["steps"] = 2 + (body.get("steps") or 0) % 6
    return {**body, **needed, "latents": latents}


def _upload(call: str, body: Body) -> Body:
    body = {**body, "model": MODELS[call], "image": picture(64 if call == "translate" else 8)}
    body.pop("frame", None)  # the picture has one
    if body.get("format") not in _LOSSY:
        body.pop("quality", None)
    if "scale" in body and body["scale"] is not None:
        body["scale"] = 1 + (body["scale"] - 1) * 3 / 63
    if body.get("format") == "jpeg" and body.get("alpha") == "keep":
        body["alpha"] = "drop"
    return {key: value for key, value in body.items() if value is not None}
