"""Options that several commands share, and what they mean."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.client import ImageFormat, Latent, Styles
    from service.client import Noise as NoiseValue
    from service.client.mixing import LayerGroup

_GROUPS: dict[str, LayerGroup] = {"coarse": "coarse", "middle": "middle", "fine": "fine"}

STILLS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""Formats of single images by the suffix of their files."""

DEFAULT_URL = "http://localhost:8080"  # of `service.client`, which `--help` does not wait for

OperatorKey = Annotated[
    str | None,
    typer.Option(
        envvar="TRITON_OPERATOR_KEY",
        help="What opens Triton's HTTP endpoint, in the header triton-operator.",
        show_default="a random one that nobody knows",
    ),
]


class Format(str, Enum):
    """File formats that the server encodes."""

    png = "png"
    jpeg = "jpeg"
    webp = "webp"

    @property
    def extension(self) -> str:
        """Of such files, with its dot."""
        return ".jpg" if self is Format.jpeg else f".{self.value}"

    @property
    def name_for_calls(self) -> ImageFormat:
        """As the client takes it."""
        return self.value


class SpaceOption(str, Enum):
    """Where a path leads straight."""

    w = "w"
    z = "z"


class EasingOption(str, Enum):
    """How fast a segment is passed through."""

    linear = "linear"
    ease_in = "ease-in"
    ease_out = "ease-out"
    ease_in_out = "ease-in-out"


Url = Annotated[
    str, typer.Option("--url", envvar="GANSERVE_URL", help="Where ganserve runs.", show_default=True)
]
Model = Annotated[str, typer.Option(help="Name of a model; `ganserve models` lists them.")]
Truncation = Annotated[
    float | None,
    typer.Option(
        help="1 leaves the model as trained, less is more typical, 0 is its average.", show_default="1"
    ),
]
TruncationCutoff = Annotated[
    int | None, typer.Option(help="How many layers are truncated, coarsest first.", show_default="all")
]
Noise = Annotated[str, typer.Option(help="`const` (the model's own), `none`, or a seed for fresh noise.")]
Label = Annotated[str | None, typer.Option(help="Class of a conditional model, by name or number.")]
Edits = Annotated[
    list[str] | None,
    typer.Option("--edit", help="Amount along one of the model's directions, as NAME=AMOUNT; repeatable."),
]
Rotation = Annotated[
    float | None,
    typer.Option(
        "--rotate",
        help="Degrees to turn pictures by, counter-clockwise.",
        show_default="0",
    ),
]
Translation = Annotated[
    str | None,
    typer.Option(
        "--translate",
        metavar="X,Y",
        help="How far to move pictures to the right and down, as fractions of their side.",
        show_default="0,0",
    ),
]
FileFormat = Annotated[Format, typer.Option(help="Of the files.")]
Quality = Annotated[
    int | None, typer.Option(help="Of jpeg and webp; webp without it is lossless.", min=1, max=100)
]
Captions = Annotated[bool, typer.Option("--captions", help="Write seeds under the images.")]
Sign = Annotated[
    bool, typer.Option("--sign", help="Have the server sign the files, if it has a certificate (C2PA).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make files again that are there already.")]
Wait = Annotated[
    float | None,
    typer.Option(help="Seconds that the server may take for an answer.", min=1, show_default="its own limit"),
]
Folder = Annotated[
    Path, typer.Option("--out", help="Folder for the files, made if need be.", file_okay=False)
]


def noise_of(text: str) -> NoiseValue:
    """The value of `--noise`.

    Args:
        text: As typed.

    Raises:
        typer.BadParameter: It is none.
    """
    if text == "const":
        return "const"
    if text == "none":
        return "none"
    if text.isascii() and text.isdigit():
        return int(text)
    raise typer.BadParameter(f"{text!r} is not `const`, `none` or a seed", param_hint="--noise")


def edits_of(texts: list[str] | None) -> dict[str, float] | None:
    """The values of `--edit`.

    Args:
        texts: As typed.

    Raises:
        typer.BadParameter: One is not NAME=AMOUNT.
    """
    edits = {}
    for text in texts or ():
        name, _, amount = text.rpartition("=")
        try:
            edits[name] = float(amount)
        except ValueError:
            name = ""
        if not name:
            raise typer.BadParameter(
                f"{text!r} is not NAME=AMOUNT, such as direction-01=2.5", param_hint="--edit"
            )
    return edits or None


def styling_of(
    truncation: float | None, truncation_cutoff: int | None, label: str | None, edit: list[str] | None
) -> dict[str, Any]:
    """The options that decide an image's styles besides its seed, as the client's calls take them.

    Args:
        truncation: As typed, like the others.
        truncation_cutoff: How many layers are truncated.
        label: Class of a conditional model.
        edit: NAME=AMOUNT each.

    Raises:
        typer.BadParameter: An edit is none.
    """
    return {
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "label": label,
        "edits": edits_of(edit),
    }


def translation_of(text: str) -> list[float]:
    """One value of `--translate`.

    Args:
        text: As typed.

    Raises:
        typer.BadParameter: It is not two numbers.
    """
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not X,Y, such as 0.25,-0.1", param_hint="--translate"
        ) from None
    return [x, y]


def transform_of(rotate: float | None, translate: str | None) -> dict[str, Any]:
    """The options that turn and move pictures, as the client's calls take them.

    Args:
        rotate: As typed, like the other.
        translate: X,Y.

    Raises:
        typer.BadParameter: That is not two numbers.
    """
    return {
        "rotation": rotate,
        "translation": None if translate is None else translation_of(translate),
    }


def variant_of(
    label: str | None,
    edits: Mapping[str, float] | None,
    rotation: float | None = None,
    translation: Sequence[float] | None = None,
) -> str:
    """What tells names of files of one seed apart that differ in label, edits or transform.

    Args:
        label: As typed.
        edits: Amount by name of a direction.
        rotation: In degrees.
        translation: To the right and down.

    Returns:
        Empty without any.
    """
    parts = [] if label is None else [label]
    parts += [f"{name}{amount:+g}" for name, amount in (edits or {}).items()]
    parts += [f"rotated{rotation:+g}"] if rotation else []
    parts += ["moved{:+g}{:+g}".format(*translation)] if translation and any(translation) else []
    return "".join(f"-{re.sub(r'[^A-Za-z0-9+.-]+', '_', part)}" for part in parts)


def seeds_of(text: str, option: str, *, repeats: bool = False) -> list[int]:
    """Seeds of a list like `0-15,40`.

    Args:
        text: As typed.
        option: Where it was typed.
        repeats: Whether one may be there twice.

    Raises:
        typer.BadParameter: It is no such list.
    """
    from service.seeds import parse_seeds

    try:
        return parse_seeds(text, repeats=repeats)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def latents_of(text: str, option: str) -> list[int | Latent]:
    """Latents as the API takes them.

    Args:
        text: JSON, a list of seeds and of objects with `seed` or `ws` and what goes with them.
        option: Where it was typed.

    Raises:
        typer.BadParameter: It is no such list. What its values may be is left to the server.
    """
    from service.client import Latent

    def latent(given: Any) -> int | Latent:
        if type(given) is int:
            return given
        if not isinstance(given, dict) or not isinstance(given.get("ws", ""), str):
            raise ValueError(f"{json.dumps(given)[:60]} is neither a seed nor an object")
        unknown = sorted(set(given) - {field.name for field in fields(Latent)})
        if unknown:
            raise ValueError(f"a latent has no {unknown[0]!r}")
        return Latent(**{**given, "ws": _styles_of(given["ws"]) if "ws" in given else None})

    try:
        found = json.loads(text)
        if not isinstance(found, list):
            raise ValueError("it is no list")
        return [latent(one) for one in found]
    except ValueError as error:
        raise typer.BadParameter(f"this is no JSON list of latents: {error}", param_hint=option) from None


def _styles_of(text: str) -> Styles:
    from service.client import Styles

    data = b64decode(text, validate=True)
    return Styles(data, (1, len(data) // 4))  # its shape is the model's, and not needed to send it


def layers_of(text: str) -> LayerGroup | list[LayerGroup | int]:
    """The value of `--layers`.

    Args:
        text: As typed: groups and numbers of layers, with commas.

    Raises:
        typer.BadParameter: It is neither.
    """
    layers: list[LayerGroup | int] = []
    for part in (part.strip() for part in text.split(",")):
        if part in _GROUPS:
            layers.append(_GROUPS[part])
        elif part.isascii() and part.isdigit():
            layers.append(int(part))
        else:
            raise typer.BadParameter(
                f"{part!r} is neither coarse, middle, fine nor the number of a layer", param_hint="--layers"
            )
    return layers


def format_of(path: Path, formats: dict[str, str], option: str = "--out") -> str:
    """The format that a file's name asks for.

    Args:
        path: The file.
        formats: By suffix.
        option: Where it was typed.

    Raises:
        typer.BadParameter: The suffix is none of them.
    """
    try:
        return formats[path.suffix.lower()]
    except KeyError:
        known = ", ".join(formats)
        raise typer.BadParameter(
            f"{path.name!r} ends in none of {known}, and a folder's name has no suffix", param_hint=option
        ) from None
