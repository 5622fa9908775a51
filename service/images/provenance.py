"""What an image says about its own making: the recipe, and that a trained model made it.

The recipe is canonical JSON. Every file carries it in an XMP packet together with the IPTC digital
source type; PNG carries it once more as an `iTXt` chunk named `ganserve`, readable without XMP.

Anyone can write such a packet, so what is read back is a claim, and is read with care: the packet is
searched, not parsed as XML, so entities expand to nothing but characters, and the recipe is bounded in
size and depth.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.images.metadata import FileMetadata, read_metadata

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

MAX_RECIPE_CHARACTERS: Final = 128 << 10
"""Longest recipe that is read back, as JSON."""

_MAX_DEPTH: Final = 16
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:ganserve="urn:ganserve:xmp:1.0/">'
    f"<Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    "<ganserve:recipe>%s</ganserve:recipe>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)
# As elements, which is how they are written, and as attributes, which is how some editors rewrite them.
_RECIPE = re.compile(
    r"""<ganserve:recipe>([^<]*)</ganserve:recipe>|\sganserve:recipe=(?:"([^"<]*)"|'([^'<]*)')"""
)
_SOURCE_TYPE = re.compile(
    r"""<Iptc4xmpExt:DigitalSourceType>([^<]*)</Iptc4xmpExt:DigitalSourceType>"""
    r"""|\sIptc4xmpExt:DigitalSourceType=(?:"([^"<]*)"|'([^'<]*)')"""
)
_LONGEST_SOURCE_TYPE: Final = 256
# GIF files have a comment only, as `animation_comment` writes it.
_COMMENT = re.compile(r"(http://cv\.iptc\.org/newscodes/digitalsourcetype/\w+) (\{.*)", re.DOTALL)


@dataclass(frozen=True)
class Provenance:
    """What was read back from a file.

    Attributes:
        recipe: As the file says; None if there is none, or none that can be read.
        digital_source_type: As the file says.
        problem: Why there is something like a recipe that cannot be read.
    """

    recipe: dict[str, Any] | None
    digital_source_type: str | None
    problem: str | None = None


def canonical_json(recipe: Mapping[str, Any] | list[Any]) -> str:
    """The one text of a recipe: sorted keys, no spaces.

    Args:
        recipe: Model, digest, seed and parameters; or a part of it.

    Returns:
        JSON; equal recipes give equal text.
    """
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def xmp_packet(recipe_json: str) -> str:
    """The XMP packet for a recipe.

    Args:
        recipe_json: What `canonical_json` returned.

    Returns:
        The packet as text; files hold it as UTF-8.
    """
    return _PACKET % html.escape(recipe_json, quote=False)


def animation_comment(recipe_json: str) -> str:
    """The comment of a GIF file, which has no other place for a recipe.

    Args:
        recipe_json: What `canonical_json` returned.

    Returns:
        The digital source type and the recipe.
    """
    return f"{DIGITAL_SOURCE_TYPE} {recipe_json}"


def read_provenance(data: bytes) -> Provenance:
    """Reads the recipe and the digital source type back from a PNG, JPEG, WebP or GIF file.

    What the file claims is not checked against anything.

    Args:
        data: The file.

    Returns:
        What was found; None for what is missing or not readable.

    Raises:
        ValueError: If it is none of these formats.
    """
    return provenance_in(read_metadata(data))


def provenance_in(metadata: FileMetadata) -> Provenance:
    """Takes recipe and digital source type out of a file's metadata.

    Args:
        metadata: Of the file.

    Returns:
        What was found; None for what is missing or not readable.
    """
    packet = metadata.xmp or ""
    source = _found(_SOURCE_TYPE, packet)
    in_comment = None
    if (comment := _COMMENT.match(metadata.comment or "")) is not None:
        source, in_comment = comment.groups()
    if source is not None and len(source) > _LONGEST_SOURCE_TYPE:
        source = None
    in_packet = _found(_RECIPE, packet) if in_comment is None else in_comment
    text = in_packet if metadata.recipe is None else metadata.recipe
    if text is None:
        return Provenance(None, source)
    if in_packet is not None and in_packet != text:
        return Provenance(None, source, "The file carries two recipes that differ.")
    try:
        return Provenance(parse_recipe(text), source)
    except (ValueError, RecursionError) as error:
        problem = "it nests too deeply" if isinstance(error, RecursionError) else str(error)
        return Provenance(None, source, f"The file carries a recipe that cannot be read: {problem}.")


def _found(pattern: re.Pattern[str], packet: str) -> str | None:
    match = pattern.search(packet)
    return (
        None if match is None else html.unescape(next(group for group in match.groups() if group is not None))
    )


def parse_recipe(text: str) -> dict[str, Any]:
    """A recipe within bounds that can be written as JSON again.

    Args:
        text: From anybody.

    Returns:
        The recipe; what is in it is not checked.

    Raises:
        ValueError: If it is not a JSON object, or beyond bounds.
        RecursionError: If it nests so deeply that it cannot even be parsed.
    """
    if len(text) > MAX_RECIPE_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_RECIPE_CHARACTERS} characters")
    try:
        recipe = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_plain_int)
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    if not isinstance(recipe, dict):
        raise ValueError("it is not a JSON object")
    level: list[Any] = [recipe]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level if isinstance(node, (dict, list)) for child in _children(node)]
        if not level:
            return recipe
    raise ValueError(f"it nests deeper than {_MAX_DEPTH} levels")


def _children(node: dict[str, Any] | list[Any]) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _plain_int(digits: str) -> int:
    if len(digits) > 40:  # long ones take quadratic time
        raise ValueError("a number is too large")
    return int(digits)
