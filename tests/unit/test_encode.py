from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from service.images.decode import DecodeLimits, decode
from service.images.encode import MEDIA_TYPES, PngStream, encode, encoder_fingerprint
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


EXIF = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0Abc\0\0\0\0\0"  # Make: Abc
TRANSLUCENT = np.random.RandomState(1).randint(0, 256, (24, 16, 4), dtype=np.uint8)
LIMITS = DecodeLimits(max_pixels=1 << 20, max_frames=10)


@pytest.mark.parametrize(("image_format", "quality"), EVERY_WAY)
def test_every_file_says_srgb(image_format, quality) -> None:
    data = encode(PIXELS, image_format, RECIPE, quality)
    with Image.open(BytesIO(data)) as image:
        if image_format == "png":
            assert image.info["srgb"] == 1
        else:
            profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
            assert ImageCms.getProfileDescription(profile).strip() == "sRGB"
            lattice = np.random.RandomState(0).randint(0, 256, (50, 50, 3), dtype=np.uint8)
            as_srgb = ImageCms.profileToProfile(
                Image.fromarray(lattice), profile, ImageCms.createProfile("sRGB")
            )
            assert np.abs(np.asarray(as_srgb).astype(int) - lattice).max() <= 1
    assert decode(data, LIMITS).converted_from is None


@pytest.mark.parametrize(("image_format", "quality"), [("png", None), ("webp", None), ("webp", 90)])
def test_alpha_survives(image_format, quality) -> None:
    data = encode(TRANSLUCENT, image_format, RECIPE, quality)
    found = decode(data, LIMITS)
    np.testing.assert_array_equal(found.alpha, TRANSLUCENT[..., 3])
    if quality is None:
        np.testing.assert_array_equal(found.pixels, TRANSLUCENT[..., :3])
    assert read_provenance(data).recipe == RECIPE


def test_jpeg_refuses_alpha() -> None:
    with pytest.raises(ValueError, match="no alpha"):
        encode(TRANSLUCENT, "jpeg", RECIPE)


@pytest.mark.parametrize(("image_format", "quality"), EVERY_WAY)
def test_exif_is_kept_only_when_given(image_format, quality) -> None:
    assert decode(encode(PIXELS, image_format, RECIPE, quality), LIMITS).exif is None
    data = encode(PIXELS, image_format, RECIPE, quality, exif=EXIF)
    assert decode(data, LIMITS).exif == EXIF
    with Image.open(BytesIO(data)) as image:
        assert image.getexif()[0x010F] == "Abc"


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0" + EXIF, EXIF + b"\0" * 65_536])
def test_what_is_no_exif_is_refused(exif) -> None:
    for image_format in MEDIA_TYPES:
        with pytest.raises(ValueError, match="not an EXIF block"):
            encode(PIXELS, image_format, RECIPE, exif=exif)


@pytest.mark.parametrize("pixels", [PIXELS, TRANSLUCENT])
def test_a_stream_is_the_same_picture_with_the_same_provenance(pixels) -> None:
    stream = PngStream(24, 16, pixels.shape[2], RECIPE, EXIF)
    data = stream.write(pixels[:7]) + stream.write(pixels[7:8]) + stream.write(pixels[8:]) + stream.finish()
    whole = encode(pixels, "png", RECIPE, exif=EXIF)
    assert data[: data.index(b"IDAT") - 4] == whole[: whole.index(b"IDAT") - 4]
    with Image.open(BytesIO(data)) as image, Image.open(BytesIO(whole)) as expected:
        assert image.mode == expected.mode
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert read_provenance(data).recipe == RECIPE
