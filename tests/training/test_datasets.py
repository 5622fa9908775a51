"""Datasets of the three layouts, made by anyone: read whole, or refused with the names of what is wrong."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from training.data import store as store_module
from training.data.archive import write_archive
from training.data.datasets import open_dataset
from training.data.decode import DecodeError, decode, quiet_pillow
from training.data.layouts import LayoutError, write_images, write_pairs
from training.data.recipe import Provenance, write_provenance
from training.data.sources import DatasetError

RNG = np.random.default_rng(0)


def noise(n: int = 1, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, height, width, 3), np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def png(side: int = 8, value: int = 0) -> bytes:
    return encoded(Image.new("RGB", (side, side), (value,) * 3))


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pixels(dataset, key="image"):
    return [dataset.sample(i, RNG)[key] for i in range(len(dataset))]


# Layouts


def test_images_with_named_classes(tmp_path):
    images = noise(6)
    write_archive(tmp_path / "train.zip", images[:4], [0, 2, 1, 2])
    write_archive(tmp_path / "heldout.zip", images[4:], [0, 0])
    record = {"recipe": "r", "title": "", "source": "", "source_sha256": "", "licence": "", "attribution": ""}
    classes = ["cat", "dog", "owl"]
    write_provenance(
        tmp_path, Provenance(**record, resolution=8, counts={}, split="", layout="images", classes=classes)
    )
    train = open_dataset(tmp_path, "images", "train", resolution=8)
    assert np.array_equal(pixels(train), images[:4])
    assert [train.sample(i, RNG)["label"] for i in range(4)] == [0, 2, 1, 2]
    held_out = open_dataset(tmp_path, "images", "heldout", resolution=8)
    assert np.array_equal(pixels(held_out), images[4:])
    assert train.classes == held_out.classes == tuple(classes)


def test_classes_without_names_are_numbers_and_the_training_images_decide(tmp_path):
    write_archive(tmp_path / "train.zip", noise(3), [0, 2, 1])
    write_archive(tmp_path / "heldout.zip", noise(2), [0, 1])
    assert open_dataset(tmp_path, "images", "heldout").classes == ("0", "1", "2")
    write_archive(tmp_path / "heldout.zip", noise(2), [0, 3])
    with pytest.raises(DatasetError, match="a label 3, but the training images have only 3 classes"):
        open_dataset(tmp_path, "images", "heldout")


def test_null_labels_mean_none(tmp_path):
    write_archive(tmp_path / "train.zip", noise(2))
    dataset = open_dataset(tmp_path, "images", "train")
    assert dataset.classes == ()
    assert dataset.sample(0, RNG)["label"] == 0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "malformed"),
        ("[]", "malformed"),
        ('{"labels": [1]}', "malformed"),
        ('{"labels": [["a.png", 0]]}', r"1 of 2 .*\n  b\.png has no label"),
        (
            '{"labels": [["a.png", 0.5], ["b.png", -1]]}',
            r"2 of 2 .*\n.*a\.png has the label 0\.5.*\n.*b\.png",
        ),
    ],
)
def test_bad_labels_are_reported(tmp_path, metadata, message):
    files = {"a.png": png(), "b.png": png(), "dataset.json": metadata.encode()}
    with pytest.raises(DatasetError, match=message):
        open_dataset(fill(tmp_path / "train", files), "images", "train")


def test_sub_folders_are_classes_in_both_splits(tmp_path):
    fill(tmp_path, {"train/owl/1.png": png(), "train/cat/x/2.png": png(), "test/owl/3.png": png()})
    train, held_out = (open_dataset(tmp_path, "images", split) for split in ("train", "heldout"))
    assert train.classes == held_out.classes == ("cat", "owl")
    assert train.names == ["cat/x/2.png", "owl/1.png"]
    assert [train.sample(i, RNG)["label"] for i in range(2)] == [0, 1]
    assert held_out.sample(0, RNG)["label"] == 1
    fill(tmp_path, {"test/elk/4.png": png()})
    with pytest.raises(DatasetError, match=r"elk/4\.png"):
        open_dataset(tmp_path, "images", "heldout")


@pytest.mark.parametrize("names", [["00000/1.png", "00001/2.png"], ["cat/1.png", "2.png"], ["cat/1.png"]])
def test_other_sub_folders_are_no_classes(tmp_path, names):
    fill(tmp_path / "train", dict.fromkeys(names, png()))
    assert open_dataset(tmp_path, "images", "train").classes == ()


def test_anyones_folder_or_zip_is_a_training_set(tmp_path):
    files = {"b.PNG": png(8, 1), "sub/a.jpeg": encoded(Image.new("RGB", (8, 8)), "JPEG"), "notes.txt": b"x"}
    files |= {"__MACOSX/._b.png": b"shadow", ".thumbs/c.png": b"hidden", "test.png": png()}
    folder = fill(tmp_path / "mine", files)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    for path in (folder, tmp_path / "mine.zip"):
        dataset = open_dataset(path, "images", "train", resolution=8)
        assert dataset.names == ["b.PNG", "sub/a.jpeg", "test.png"]
        assert dataset.sample(0, RNG)["image"].max() == 1


@pytest.mark.parametrize("name", ["heldout", "test", "val"])
@pytest.mark.parametrize("layout", ["images", "paired"])
def test_names_of_held_out_folders(tmp_path, name, layout):
    write_pairs(tmp_path / "train", [("a", *noise(2))])
    write_pairs(tmp_path / name, [("a", *noise(2)), ("b", *noise(2))])
    assert len(open_dataset(tmp_path, layout, "train")) == 1
    assert len(open_dataset(tmp_path, layout, "heldout")) == 2


def test_pairs_are_the_halves(tmp_path):
    a, b = noise(2)
    assert write_pairs(tmp_path / "train", [("one", a, b), ("sub/two", b, a)]) == 2
    dataset = open_dataset(tmp_path, "paired", "train", resolution=8)
    assert dataset.names == ["one.png", "sub/two.png"]
    assert np.array_equal(pixels(dataset, "A"), [a, b])
    assert np.array_equal(pixels(dataset, "B"), [b, a])


def test_pairs_of_odd_width_or_wrong_size_are_named(tmp_path):
    for name, width in (("odd", 15), ("narrow", 12), ("good", 16)):
        write_images(tmp_path / "t" / name, [("x", noise(1, 8, width)[0])])
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "t" / name / "x.png").rename(tmp_path / "train" / f"{name}.png")
    with pytest.raises(
        DatasetError, match=r"2 of 3 .*\n  narrow.png is 12×8; expected 16×8\n  odd.png is 15×8; .* even"
    ):
        open_dataset(tmp_path, "paired", "train", resolution=8)


def test_unpaired_images_of_b_are_drawn_and_held_out_ones_matched(tmp_path):
    images = noise(12)
    write_images(tmp_path / "trainA", ((f"{i}", images[i]) for i in range(3)))
    write_images(tmp_path / "trainB", ((f"{i}", images[i]) for i in range(6, 11)))
    for side, order in (("A", [0, 1, 2]), ("B", [2, 1, 0])):
        write_images(tmp_path / f"test{side}", ((f"n{i}", images[i]) for i in order))
    train = open_dataset(tmp_path, "unpaired", "train", resolution=8)
    assert len(train) == 3
    drawn = [train.sample(1, np.random.default_rng(i)) for i in range(40)]
    assert all(np.array_equal(sample["A"], images[1]) for sample in drawn)
    assert {sample["B"].tobytes() for sample in drawn} == {images[i].tobytes() for i in range(6, 11)}
    again = train.sample(1, np.random.default_rng(5))
    assert np.array_equal(again["B"], drawn[5]["B"])
    held_out = open_dataset(tmp_path, "unpaired", "heldout", resolution=8)
    assert held_out.pairs
    for i in range(3):
        sample = held_out.sample(i, RNG)
        assert np.array_equal(sample["A"], sample["B"])


def test_held_out_images_without_partners_come_in_order(tmp_path):
    write_images(tmp_path / "testA", ((f"a{i}", image) for i, image in enumerate(noise(3))))
    write_images(tmp_path / "testB", ((f"b{i}", image) for i, image in enumerate(noise(2))))
    held_out = open_dataset(tmp_path, "unpaired", "heldout")
    assert not held_out.pairs
    assert np.array_equal(held_out.sample(2, RNG)["B"], noise(2)[0])


@pytest.mark.parametrize(
    ("layout", "split", "message"),
    [
        ("images", "heldout", "has no heldout or test or val, neither"),
        ("images", "train", "has no train,"),  # and not the images of other splits
        ("paired", "train", "has no train,"),
        ("unpaired", "heldout", "has no heldoutB or testB or valB"),
    ],
)
def test_missing_splits(tmp_path, layout, split, message):
    write_images(tmp_path / "testA", [("a", noise()[0])])
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path, layout, split)
    with pytest.raises(DatasetError, match="gantrain prepare"):
        open_dataset(tmp_path / "nowhere", layout, split)


def test_folders_are_written_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "train"
    write_images(folder, [("a", noise()[0])])

    def broken():
        yield "b", noise()[0]
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        write_images(folder, broken())
    for names in (["c", "c"], ["../c"], ["/c"], [""]):
        with pytest.raises(LayoutError):
            write_images(folder, ((name, noise()[0]) for name in names))
    with pytest.raises(LayoutError, match="differ in size"):
        write_pairs(folder, [("a", noise()[0], noise(1, 8, 9)[0])])
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["train", "train/a.png"]
    write_images(folder, [("d", noise()[0])])
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["train", "train/d.png"]


# Problems


def test_all_problems_are_reported_together(tmp_path):
    rgb = Image.fromarray(noise(1, 16, 16)[0])
    files = {f"tiny{i:02}.png": png(4) for i in range(8)}
    files |= {"cut.png": encoded(rgb)[:-200], "cut.jpg": encoded(rgb, "JPEG")[:-200], "empty.webp": b""}
    files |= {"text.bmp": b"hello", "good.png": encoded(rgb)}
    with pytest.raises(DatasetError) as caught:
        open_dataset(fill(tmp_path / "train", files), "images", "train", resolution=16)
    message = str(caught.value)
    assert "12 of 13 images cannot be used" in message
    assert message.endswith("and 2 more")
    lines = message.splitlines()[1:-1]
    assert [line.split()[0] for line in lines] == sorted(set(files) - {"good.png"})[:10]
    assert "cut.png is broken" in lines[1]
    assert "empty.webp is broken: no image format is recognised" in message
    assert "tiny00.png is 4×4; expected 16×16" in message


def test_any_size_is_taken_but_tiny_ones(tmp_path):
    fill(tmp_path / "train", {"a.png": png(8), "b.png": encoded(Image.new("RGB", (20, 9)))})
    dataset = open_dataset(tmp_path, "images", "train")
    assert [image.shape for image in pixels(dataset)] == [(8, 8, 3), (9, 20, 3)]
    with pytest.raises(DatasetError, match=r"1 of 2 .*\n  a\.png is 8×8; sides under 9 are refused"):
        open_dataset(tmp_path, "images", "train", min_side=9)


def test_a_damaged_file_inside_an_archive_is_named(tmp_path):
    path = tmp_path / "train.zip"
    write_archive(path, noise(3, 16, 16))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF  # in the pixels of the second image
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"img00000001\.png cannot be read: Bad CRC-32"):
        open_dataset(tmp_path, "images", "train")


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DatasetError, match=r"no PNG or other image .*webp"):
        open_dataset(tmp_path, "images", "train")


# Memory


@pytest.mark.parametrize("packed", [False, True])
def test_a_dataset_beyond_the_limit_is_checked_once(tmp_path, packed, monkeypatch):
    images = noise(5)
    if packed:
        write_archive(tmp_path / "train.zip", images)
    else:
        write_images(tmp_path / "train", ((str(i), image) for i, image in enumerate(images)))
    told = []

    def reopen(**options):
        told.clear()
        options = {"resolution": 8, "ram_limit": 5 * 192 - 1, **options}
        return open_dataset(tmp_path, "images", "train", progress=lambda *args: told.append(args), **options)

    reopen()
    assert told[-1][1:] == (5, 5)
    monkeypatch.setattr(store_module, "decode", None)  # the second start decodes nothing
    dataset = reopen()
    assert not told
    monkeypatch.undo()
    assert np.array_equal(pixels(dataset), images)
    reopen(ram_limit=5 * 192)  # fits
    assert told
    with pytest.raises(DatasetError, match="5 of 5"):
        reopen(resolution=16)  # a stamp holds for one check alone
    # A changed file is looked at again.
    if packed:
        write_archive(tmp_path / "train.zip", noise(5, 8, 9))
    else:
        path = tmp_path / "train" / "3.png"
        before = path.stat()
        data = path.read_bytes()
        path.write_bytes(data[:60] + bytes(len(data) - 60))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(DatasetError, match="cannot be used"):
        reopen()


@pytest.mark.parametrize("ram_limit", [0, 1000])
def test_datasets_travel_to_other_processes(tmp_path, ram_limit):
    write_archive(tmp_path / "train.zip", noise(3))
    dataset = open_dataset(tmp_path, "images", "train", ram_limit=ram_limit)
    assert np.array_equal(pixels(pickle.loads(pickle.dumps(dataset))), noise(3))


def test_a_dataset_on_a_read_only_disk_opens(tmp_path, monkeypatch):
    write_images(tmp_path / "train", [("a", noise()[0])])

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(store_module, "atomic_write", refuse)
    assert len(open_dataset(tmp_path, "images", "train", ram_limit=0)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


# Decoding


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
