import json
import struct
import time
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.images.animation import encode_animation
from service.images.encode import MEDIA_TYPES, encode
from service.images.metadata import MAX_XMP_BYTES, read_metadata
from service.images.provenance import (
    DIGITAL_SOURCE_TYPE,
    MAX_RECIPE_CHARACTERS,
    Provenance,
    canonical_json,
    read_provenance,
    xmp_packet,
)

RECIPE = {"model": "toy", "digest": "a" * 64, "seed": 7, "truncation": 0.5, "noise": "const", "label": None}
PIXELS = np.random.RandomState(0).randint(0, 256, (24, 16, 3), dtype=np.uint8)
BILLION_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><ganserve:recipe>&j;</ganserve:recipe>"
)


def with_xmp(packet: str, image_format: str = "PNG") -> bytes:
    out = BytesIO()
    image = Image.fromarray(PIXELS)
    if image_format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet)
        image.save(out, "PNG", pnginfo=info)
    else:
        image.save(out, image_format, xmp=packet.encode("utf-8", "surrogatepass"))
    return out.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_copied_into_a_file_by_another_program(image_format: str) -> None:
    found = read_provenance(with_xmp(xmp_packet(canonical_json(RECIPE)), image_format))
    assert found.recipe == RECIPE
    assert found.digital_source_type == DIGITAL_SOURCE_TYPE


def test_as_an_attribute_which_is_how_some_editors_rewrite_it() -> None:
    text = canonical_json(RECIPE).replace('"', "&quot;")
    assert read_provenance(with_xmp(f'<rdf:Description ganserve:recipe="{text}"/>')).recipe == RECIPE
    assert read_provenance(with_xmp(f"<rdf:Description ganserve:recipe='{text}'/>")).recipe == RECIPE


def test_compressed_text() -> None:
    out, info = BytesIO(), PngInfo()
    info.add_itxt("ganserve", canonical_json(RECIPE), zip=True)
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    assert read_provenance(out.getvalue()).recipe == RECIPE


def test_a_bomb_of_compressed_text_is_not_inflated() -> None:
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(200 << 20), 9)
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    png = encode(PIXELS, "png", {})
    started = time.perf_counter()
    assert read_metadata(png[:33] + chunk + png[33:]).xmp is None
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("[" * 100_000, "nests too deeply"),
        ('{"a":' * 20 + "1" + "}" * 20, "deeper than"),
        ("{}" * 3, "not JSON"),
        ("7", "not a JSON object"),
        ('{"truncation": NaN}', "NaN"),
        ('{"truncation": -Infinity}', "Infinity"),
        ('{"truncation": 1e999}', "too large"),
        ('{"seed": ' + "9" * 5000 + "}", "too large"),
        ('{"a": "' + "x" * MAX_RECIPE_CHARACTERS + '"}', "longer"),
        ("", "not JSON"),
        ("&#0;&#x110000;&bogus;", "not JSON"),
    ],
)
def test_hostile_recipes(recipe: str, said: str) -> None:
    found = read_provenance(with_xmp(f"<ganserve:recipe>{recipe}</ganserve:recipe>"))
    assert found.recipe is None
    assert said in found.problem


def test_entities_are_not_expanded() -> None:
    found = read_provenance(with_xmp(BILLION_LAUGHS))
    assert found.recipe is None
    assert "not JSON" in found.problem


@pytest.mark.parametrize(
    "packet",
    [
        "<ganserve:recipe>" * 15_000,
        " ganserve:recipe='" * 14_000,
        '\nganserve:recipe="' * 14_000 + "<",
        "<Iptc4xmpExt:DigitalSourceType>" + "&" * 250_000,
    ],
)
def test_a_search_takes_linear_time(packet: str) -> None:
    started = time.perf_counter()
    assert read_provenance(with_xmp(packet)).recipe is None
    assert time.perf_counter() - started < 0.5


def test_packets_beyond_the_limit_are_not_looked_at() -> None:
    packet = xmp_packet(canonical_json(RECIPE))
    assert read_provenance(with_xmp(packet + " " * MAX_XMP_BYTES)).recipe is None


def test_two_recipes_that_differ_are_none() -> None:
    out, info = BytesIO(), PngInfo()
    info.add_itxt("ganserve", canonical_json({**RECIPE, "seed": 8}))
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(canonical_json(RECIPE)))
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    found = read_provenance(out.getvalue())
    assert found.recipe is None
    assert "differ" in found.problem


def test_what_is_lossless() -> None:
    assert read_metadata(encode(PIXELS, "png", {})).lossless
    assert read_metadata(encode(PIXELS, "webp", {})).lossless
    assert not read_metadata(encode(PIXELS, "webp", {}, 90)).lossless
    assert not read_metadata(encode(PIXELS, "jpeg", {})).lossless


@pytest.mark.parametrize("data", [b"", b"GIF88a", b"\x89PNG\r\n\x1a", b"RIFF0000WAVE"])
def test_other_formats(data: bytes) -> None:
    with pytest.raises(ValueError, match="neither"):
        read_provenance(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(MEDIA_TYPES)), st.data())
def test_damaged_files_are_read_as_far_as_they_go(image_format, data) -> None:
    file = bytearray(encode(PIXELS, image_format, RECIPE))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(12, min(len(file), 1500) - 1))] = data.draw(st.integers(0, 255))
    found = read_provenance(bytes(file[: data.draw(st.integers(12, len(file)))]))
    assert found.recipe is None or json.dumps(found.recipe)


def test_the_comment_of_a_gif() -> None:
    recipe = {"model": "toy", "text": "ü" * 400, "seed": 7}
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (9, 99)]
    data = encode_animation(frames, "gif", 10, loop=True, recipe=recipe)
    found = read_provenance(data)
    assert (found.recipe, found.digital_source_type, found.problem) == (recipe, DIGITAL_SOURCE_TYPE, None)
    for end in range(len(data)):
        read_metadata(data[:end] if end >= 6 else data)  # damaged anywhere, it is read as far as it goes
    for comment in (b"Made with love", b'x {"seed": 1}', b'http://example.com/a {"seed": 1}'):
        out = BytesIO()
        Image.new("RGB", (8, 8)).save(out, "GIF", comment=comment)
        assert read_provenance(out.getvalue()) == Provenance(None, None)


def test_a_gif_cut_into_the_smallest_blocks_is_not_walked_to_its_end() -> None:
    for blocks, found in ((1000, "late"), (1 << 20, None)):
        data = b"GIF89a" + bytes(7) + b"\x21\x01" + b"\x01a" * blocks + b"\0" + b"\x21\xfe\x04late\0"
        assert read_metadata(data).comment == found
