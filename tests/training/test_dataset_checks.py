"""A dataset is checked when it is opened: what is wrong is named all together, and looked at once."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from tests.training.image_folders import encoded, fill, noise, pixels, png
from training.data import store as store_module
from training.data.archive import write_archive
from training.data.datasets import open_dataset
from training.data.layouts import write_images
from training.data.sources import DatasetError


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
