"""Datasets of the three layouts, made by anyone, are read as they lie, and written whole."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.training.image_folders import RNG, encoded, fill, noise, pixels, png
from training.data.archive import write_archive
from training.data.datasets import open_dataset
from training.data.layouts import LayoutError, write_images, write_pairs
from training.data.recipe import Provenance, write_provenance
from training.data.sources import DatasetError


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
