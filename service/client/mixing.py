"""The calls that combine latents: animations, mixtures, arithmetic on styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from service.client.call import Call, ImageFormat, Noise, Source, Stream, source_json, styling, transform
from service.client.results import File, Frame, MixedImage, Styles, file_members, file_of, styles_of

AnimationFormat = Literal["webp", "gif", "apng", "mp4", "zip", "sheet"]
Space = Literal["w", "z"]
Easing = Literal["linear", "ease-in", "ease-out", "ease-in-out"]
LayerGroup = Literal["coarse", "middle", "fine"]
Layers = LayerGroup | Sequence[LayerGroup | int]

_EVENTS = "text/event-stream"


def interpolate(
    model: str,
    keyframes: Sequence[Source],
    *,
    frames: int = 60,
    space: Space = "w",
    easing: Easing = "linear",
    loop: bool = False,
    fps: float = 24.0,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    format: AnimationFormat = "webp",
    frame_format: ImageFormat = "png",
    quality: int | None = None,
    sign: bool = False,
    wait: float | None = None,
) -> Call[File]:
    """An animation that leads from keyframe to keyframe.

    Args:
        model: Name of a generator.
        keyframes: Seeds, styles, or `Latent`s; two or more.
        frames: Of the whole animation, at least 2.
        space: `w` leads straight between styles, `z` along the arc between latents.
        easing: How fast each segment is passed through.
        loop: Return to the first keyframe.
        fps: Frames a second, 1 to 60.
        truncation: As for `generate`, like the others up to `translation`.
        truncation_cutoff: How many layers, coarsest first, are truncated; None for all.
        noise: The model's constant noise, none, or a seed for fresh noise.
        label: Class of a conditional model.
        edits: Amount by name of the model's directions.
        rotation: Degrees to turn pictures by, counter-clockwise; for models whose card names it in
            `transforms`, like the next.
        translation: How far to move them to the right and down, as fractions of their side.
        format: Of the animation; `zip` holds single frames, `sheet` is a filmstrip.
        frame_format: Of the frames in those two.
        quality: 1 to 100, for webp, mp4 and jpeg; webp without it is lossless.
        sign: Have a file with a C2PA manifest, if the server has a certificate.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        **_path(model, keyframes, frames, space, easing, loop),
        **styling(truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "fps": fps,
        "format": format,
        "frame_format": frame_format,
        "quality": quality,
        "sign": sign or None,
    }
    return Call("POST", "/v1/interpolate", file_of, body=body, wait=wait)


def interpolate_frames(
    model: str,
    keyframes: Sequence[Source],
    *,
    frames: int = 60,
    space: Space = "w",
    easing: Easing = "linear",
    loop: bool = False,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    frame_format: ImageFormat = "png",
    quality: int | None = None,
    sign: bool = False,
    wait: float | None = None,
) -> Stream[Frame]:
    """The frames of an animation one by one, each as soon as it is made; arguments as for `interpolate`.

    Whoever stops iterating stops the work.

    Raises:
        UnreachableError: There was no answer, or it ended early.
        ProblemError: The server refused, or could not go on.
    """
    body = {
        **_path(model, keyframes, frames, space, easing, loop),
        **styling(truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "frame_format": frame_format,
        "quality": quality,
        "sign": sign or None,
    }
    call: Call[None] = Call(
        "POST", "/v1/interpolate", lambda answer: None, body=body, accept=_EVENTS, wait=wait
    )
    return Stream(call, "frame", _frame)


def style_mix(
    model: str,
    rows: Sequence[Source],
    columns: Sequence[Source],
    *,
    layers: Layers = "fine",
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    headers: bool = True,
    captions: bool = False,
    format: ImageFormat = "png",
    quality: int | None = None,
    sign: bool = False,
    wait: float | None = None,
) -> Call[File]:
    """A grid that crosses every row with every column.

    Args:
        model: Name of a generator.
        rows: Whose structure is kept: seeds, styles, or `Latent`s.
        columns: Whose layers are taken.
        layers: Which: `coarse`, `middle`, `fine`, or a list of them and of numbers of layers.
        truncation: As for `generate`, like the others up to `translation`.
        truncation_cutoff: How many layers, coarsest first, are truncated; None for all.
        noise: The model's constant noise, none, or a seed for fresh noise.
        label: Class of a conditional model.
        edits: Amount by name of the model's directions.
        rotation: Degrees to turn pictures by, counter-clockwise; for models whose card names it in
            `transforms`, like the next.
        translation: How far to move them to the right and down, as fractions of their side.
        headers: Show the unmixed images above and beside the grid.
        captions: Write seeds under the images.
        format: Of the file.
        quality: 1 to 100, for lossy formats.
        sign: Have a file with a C2PA manifest, if the server has a certificate.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        **_crossing(model, rows, columns, layers),
        **styling(truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "headers": None if headers else False,
        "captions": captions or None,
        "format": format,
        "quality": quality,
        "sign": sign or None,
    }
    return Call("POST", "/v1/style-mix", file_of, body=body, accept=f"image/{format}", wait=wait)


def style_mix_images(
    model: str,
    rows: Sequence[Source],
    columns: Sequence[Source],
    *,
    layers: Layers = "fine",
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    noise: Noise = "const",
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
    format: ImageFormat = "png",
    quality: int | None = None,
    sign: bool = False,
    wait: float | None = None,
) -> Call[list[MixedImage]]:
    """The crossed images of a style mix one by one, row by row; arguments as for `style_mix`.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        **_crossing(model, rows, columns, layers),
        **styling(truncation, truncation_cutoff, noise, label, edits),
        **transform(rotation, translation),
        "format": format,
        "quality": quality,
        "sign": sign or None,
    }
    return Call("POST", "/v1/style-mix", _mixed, body=body, accept="application/json", wait=wait)


def latents(
    model: str,
    latents: Sequence[Source],
    *,
    operation: Literal["map", "average", "mix", "walk"] = "map",
    weights: Sequence[float] | None = None,
    layers: Layers | None = None,
    steps: int | None = None,
    space: Space = "w",
    easing: Easing = "linear",
    loop: bool = False,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    label: int | str | None = None,
    edits: Mapping[str, float] | None = None,
    wait: float | None = None,
) -> Call[list[Styles]]:
    """Styles, which every call takes in place of a seed, and arithmetic on them.

    Args:
        model: Name of a generator.
        latents: Seeds, styles, or `Latent`s.
        operation: `map` (each one's styles), `average`, `mix` (the first with layers of the second) or `walk`
            (a path through them).
        weights: For `average`, one for each latent; equal ones if left out.
        layers: For `mix`, as for `style_mix`.
        steps: For `walk`, how many.
        space: For `walk`, as for `interpolate`.
        easing: For `walk`, as for `interpolate`.
        loop: For `walk`, as for `interpolate`.
        truncation: As for `generate`, like the others.
        truncation_cutoff: How many layers, coarsest first, are truncated; None for all.
        label: Class of a conditional model.
        edits: Amount by name of the model's directions.
        wait: Longest time the server may take, in seconds, instead of its own deadline.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    body = {
        "model": model,
        "operation": operation,
        "latents": [source_json(source) for source in latents],
        "weights": None if weights is None else list(weights),
        "layers": None if layers is None else _layers(layers),
        "steps": steps,
        "space": None if space == "w" else space,
        "easing": None if easing == "linear" else easing,
        "loop": loop or None,
        **styling(truncation, truncation_cutoff, None, label, edits),
    }

    def read(answer: httpx.Response) -> list[Styles]:
        content = answer.json()
        return [styles_of(item["ws"], content["ws_shape"], item.get("seed")) for item in content["data"]]

    return Call("POST", "/v1/latents", read, body=body, wait=wait)


def _path(
    model: str, keyframes: Sequence[Source], frames: int, space: Space, easing: Easing, loop: bool
) -> dict[str, Any]:
    return {
        "model": model,
        "keyframes": [source_json(source) for source in keyframes],
        "frames": frames,
        "space": space,
        "easing": easing,
        "loop": loop,
    }


def _crossing(
    model: str, rows: Sequence[Source], columns: Sequence[Source], layers: Layers
) -> dict[str, Any]:
    return {
        "model": model,
        "rows": [source_json(source) for source in rows],
        "columns": [source_json(source) for source in columns],
        "layers": _layers(layers),
    }


def _layers(layers: Layers) -> str | list[LayerGroup | int]:
    return layers if isinstance(layers, str) else list(layers)


def _mixed(answer: httpx.Response) -> list[MixedImage]:
    content = answer.json()
    return [
        MixedImage(
            **file_members(item, content["model_digest"]),
            row=item["row"],
            column=item["column"],
            row_seed=item.get("row_seed"),
            column_seed=item.get("column_seed"),
        )
        for item in content["data"]
    ]


def _frame(event: Mapping[str, Any], model_digest: str) -> Frame:
    return Frame(**file_members(event, model_digest), index=event["index"], frames=event["frames"])
