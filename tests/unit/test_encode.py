from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.images.encode import MEDIA_TYPES, encode, encoder_fingerprint
from service.images.provenance import DIGITAL_SOURCE_TYPE, canonical_json, read_provenance

RECIPE = {"model": "toy", "digest": "a" * 64, "seed": 7, "truncation": 0.5, "noise": "const", "label": None}
PIXELS = np.random.RandomState(0).randint(0, 256, (24, 16, 3), dtype=np.uint8)
EVERY_WAY = [("png", None), ("jpeg", None), ("jpeg", 30), ("webp", None), ("webp", 75)]


@pytest.mark.parametrize(("image_format", "quality"), EVERY_WAY)
def test_format_size_and_provenance(image_format, quality) -> None:
    data = encode(PIXELS, image_format, RECIPE, quality)
    with Image.open(BytesIO(data)) as image:
        assert Image.MIME[image.format] == MEDIA_TYPES[image_format]
        assert image.size == (16, 24)
    found = read_provenance(data)
    assert found.recipe == RECIPE
    assert found.digital_source_type == DIGITAL_SOURCE_TYPE
    assert data == encode(PIXELS, image_format, RECIPE, quality)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless(image_format) -> None:
    with Image.open(BytesIO(encode(PIXELS, image_format, RECIPE))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PIXELS)


def test_quality_matters() -> None:
    assert len(encode(PIXELS, "jpeg", RECIPE, 20)) < len(encode(PIXELS, "jpeg", RECIPE, 95))
    assert len(encode(PIXELS, "webp", RECIPE, 20)) < len(encode(PIXELS, "webp", RECIPE, 95))


def test_png_carries_the_recipe_twice() -> None:
    with Image.open(BytesIO(encode(PIXELS, "png", RECIPE))) as image:
        image.load()
        assert image.text["ganserve"] == canonical_json(RECIPE)
        assert DIGITAL_SOURCE_TYPE in image.text["XML:com.adobe.xmp"]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=30) | st.integers() | st.none(), max_size=4))
def test_any_text_survives_in_every_format(recipe) -> None:
    for image_format in MEDIA_TYPES:
        assert read_provenance(encode(PIXELS, image_format, recipe)).recipe == recipe


def test_files_of_others_have_no_provenance() -> None:
    out = BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG")
    found = read_provenance(out.getvalue())
    assert found.recipe is None
    assert found.digital_source_type is None


def test_fingerprints_are_stable_and_distinct() -> None:
    prints = [encoder_fingerprint(image_format) for image_format in MEDIA_TYPES]
    assert len(set(prints)) == 3
    encoder_fingerprint.cache_clear()
    assert prints == [encoder_fingerprint(image_format) for image_format in MEDIA_TYPES]
