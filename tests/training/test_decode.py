"""Files of any ordinary mode, orientation and profile become upright 8-bit sRGB, or are reported."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.training.image_folders import RNG, encoded, fill, noise, pixels, png
from training.data.datasets import open_dataset
from training.data.decode import DecodeError, decode, quiet_pillow
from training.data.sources import DatasetError


def ramp(mode: str) -> Image.Image:
    """An 8×8 image whose values rise from left to right and, less, from top to bottom."""
    grey = np.add.outer(np.arange(8) * 4, np.arange(8) * 30).astype(np.uint8)
    return Image.fromarray(np.stack([grey, grey // 2, 255 - grey], -1)).convert(mode)


MODES = {
    "PNG": "1 L P RGB",
    "JPEG": "L RGB CMYK YCbCr",
    "WEBP": "L P RGB",
    "BMP": "1 L P RGB",
    "TIFF": "1 L P RGB CMYK YCbCr",
    "GIF": "1 L P RGB",
}


@pytest.mark.parametrize(("form", "mode"), [(f, m) for f, modes in MODES.items() for m in modes.split()])
def test_every_ordinary_mode_becomes_rgb(form, mode):
    image = ramp(mode)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    expected = np.asarray(image.convert("RGB")).astype(int)
    tolerance = {"JPEG": 4, "GIF": 40}.get(form, 1)
    assert np.abs(decode(encoded(image, form, **options)).pixels - expected).max() <= tolerance


def test_transparency_shows_the_background():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[..., 3] = np.arange(8) * 36
    alpha = rgba[..., 3:] / 255
    for background in ((255, 255, 255), (0, 80, 0)):
        expected = rgba[..., :3] * alpha + np.array(background) * (1 - alpha)
        found = decode(encoded(Image.fromarray(rgba)), background).pixels
        assert np.abs(found - expected).max() <= 1
    grey = decode(encoded(Image.fromarray(rgba).convert("LA"))).pixels
    assert grey[0, 0].tolist() == [255] * 3
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((3, 0), 0)
    found = decode(encoded(palette, transparency=0)).pixels
    assert found[0, 3].tolist() == [255] * 3
    assert found[0, 4].tolist() == [10, 20, 30]
    keyed = Image.fromarray(np.full((8, 8, 3), 7, np.uint8))
    assert decode(encoded(keyed, transparency=(7, 7, 7))).pixels.min() == 255


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(form):
    values = (np.arange(64, dtype=np.uint16) * 1040).reshape(8, 8)
    found = decode(encoded(Image.fromarray(values), form)).pixels
    assert np.array_equal(found[..., 0], np.round(values / 257))
    assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(dtype):
    data = encoded(Image.fromarray((np.arange(64).reshape(8, 8) * 10_000).astype(dtype)), "TIFF")
    with pytest.raises(DecodeError, match="save it"):
        decode(data)


# Which side of the upright picture the first stored row and the first stored column are (EXIF 2.3, tag 274).
STORED_SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.mark.parametrize("orientation", STORED_SIDES)
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = noise(1, 8, 16)[0]
    first_row, first_column = STORED_SIDES[orientation]
    rows = upright.transpose(1, 0, 2) if first_row in ("left", "right") else upright
    step = {"top": 1, "left": 1, "bottom": -1, "right": -1}
    stored = Image.fromarray(np.ascontiguousarray(rows[:: step[first_row], :: step[first_column]]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, exif=exif)
    assert np.array_equal(decode(data).pixels, upright)
    fill(tmp_path / "train", {"a.png": data})  # and what is checked is the upright size
    assert len(open_dataset(tmp_path, "paired", "train", resolution=8)) == 1


def linear_light_profile() -> bytes:
    """An ICC profile (version 2) with the primaries of sRGB and no gamma."""

    def fixed(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv" + bytes(8)  # no entries: the identity
    name = b"linear light"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(79)
    tags = {
        b"desc": description,
        b"wtpt": fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": fixed(0.43607, 0.22249, 0.01392),
        b"gXYZ": fixed(0.38515, 0.71687, 0.09708),
        b"bXYZ": fixed(0.14307, 0.06061, 0.7141),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += bytes(28) + fixed(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + table + body


def test_icc_profiles_are_converted_to_srgb():
    image = ramp("RGB")
    light = np.asarray(image) / 255
    srgb = (
        np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    )  # IEC 61966-2-1
    profile = linear_light_profile()
    found = decode(encoded(image, icc_profile=profile)).pixels
    assert np.abs(found - srgb).max() <= 1.5
    opaque = image.convert("RGBA")
    assert np.array_equal(decode(encoded(opaque, icc_profile=profile)).pixels, found)


def test_srgb_and_useless_profiles_leave_pixels_alone():
    image = ramp("RGB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"not a profile", linear_light_profile()[:200]):
        assert np.array_equal(decode(encoded(image, icc_profile=profile)).pixels, np.asarray(image))
    grey = ramp("L")  # a grey picture that claims to be of a colour profile
    found = decode(encoded(grey, icc_profile=linear_light_profile())).pixels
    assert np.array_equal(found[..., 1], np.asarray(grey))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_used_and_it_is_told(tmp_path, form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    fill(tmp_path / "train", {f"moving.{form.lower()}": data, "still.png": png()})
    for _ in range(2):  # the note outlives the check
        dataset = open_dataset(tmp_path, "images", "train", ram_limit=0)
        assert dataset.sample(0, RNG)["image"][0, 0].tolist() == [255, 0, 0]
        assert len(dataset.notes) == 1
        assert dataset.notes[0].endswith(f"first frame is used of moving.{form.lower()}")


@pytest.mark.filterwarnings("error")
def test_large_images_raise_no_warning_and_bombs_are_reported(tmp_path, monkeypatch):
    fill(tmp_path / "train", {"large.png": png(10)})
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 60
    )  # Pillow warns above, and refuses what is twice as large
    for ram_limit in (0, 1000):
        assert pixels(open_dataset(tmp_path, "images", "train", ram_limit=ram_limit))[0].shape == (10, 10, 3)
    fill(tmp_path / "train", {"bomb.png": png(11)})
    with pytest.raises(DatasetError, match=r"bomb\.png is broken: Image size .* exceeds limit"):
        open_dataset(tmp_path, "images", "train")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_files_are_decoded_or_reported_never_more(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if form in ("GIF", "BMP") else {"exif": exif, "icc_profile": linear_light_profile()}
    good = encoded(Image.fromarray(noise(1, 16, 16)[0]), form, **options)
    rng = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(good[: rng.integers(1, len(good) + 1)])
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            with quiet_pillow():
                found = decode(bytes(data)).pixels
        except DecodeError:
            continue
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3
