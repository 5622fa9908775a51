"""What an image says about its own making: the recipe, and that a trained model made it.

The recipe is canonical JSON. Every file carries it in an XMP packet together with the IPTC digital
source type; PNG carries it once more as an `iTXt` chunk named `ganserve`, readable without XMP.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PNG_RECIPE_KEYWORD = "ganserve"
PNG_XMP_KEYWORD = "XML:com.adobe.xmp"

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
_RECIPE = re.compile(r"<ganserve:recipe>([^<]*)</ganserve:recipe>")
_SOURCE_TYPE = re.compile(r"<Iptc4xmpExt:DigitalSourceType>([^<]*)</Iptc4xmpExt:DigitalSourceType>")


@dataclass(frozen=True)
class Provenance:
    """What was read back from a file."""

    recipe: dict[str, Any] | None
    digital_source_type: str | None


def canonical_json(recipe: Mapping[str, Any]) -> str:
    """The one text of a recipe: sorted keys, no spaces.

    Args:
        recipe: Model, digest, seed and parameters.

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


def read_provenance(data: bytes) -> Provenance:
    """Reads the recipe and the digital source type back from a PNG, JPEG or WebP file.

    What the file claims is not checked against anything.

    Args:
        data: The file.

    Returns:
        What was found; None for what is missing or not readable.

    Raises:
        PIL.UnidentifiedImageError: If it is none of these formats.
    """
    with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
        info = image.info
    recipe_json = info.get(PNG_RECIPE_KEYWORD)
    packet = info.get("xmp") or info.get(PNG_XMP_KEYWORD) or ""
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", "replace")
    found = _RECIPE.search(packet)
    if recipe_json is None and found:
        recipe_json = html.unescape(found.group(1))
    source = _SOURCE_TYPE.search(packet)
    try:
        recipe = json.loads(recipe_json) if recipe_json else None
    except ValueError:
        recipe = None
    return Provenance(recipe if isinstance(recipe, dict) else None, source.group(1) if source else None)
