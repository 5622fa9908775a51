"""The `folder` recipe: the user's own images, whatever they are, become a dataset or are named."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.datasets import open_dataset
from training.data.folder import prepare_folder
from training.data.intake import Shaping
from training.data.recipe import RecipeError, read_provenance
from training.data.shaping import centre_square, mean_gradient

RNG = np.random.default_rng(0)


def picture(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
    """A smooth picture of its own colours."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:height, :width] / 8
    phases = rng.uniform(0, 6, (3, 3))
    return np.stack([127 + 127 * np.sin(a + b * yy / 3 + c * xx / 3) for a, b, c in phases], -1).astype(
        np.uint8
    )


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Thirty pictures in folders of two kinds."""
    for i in range(30):
        save(tmp_path / "photos" / ("day" if i % 3 else "night") / f"p{i:02}.png", picture(i))
    return tmp_path / "photos"


def images(
    folder: Path, split: str, layout: str = "images", key: str = "image", **options
) -> list[np.ndarray]:
    dataset = open_dataset(folder, layout, split, **options)
    return [dataset.sample(i, RNG)[key] for i in range(len(dataset))]


def lowest_share(name: str, share: float) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) < share * 2**64


def test_pictures_are_cropped_resized_and_split_by_name(photos, tmp_path):
    out = tmp_path / "data" / "photos-16"
    report = prepare_folder(photos, out, resolution=16, held_out_share=0.25)
    names = sorted(path.relative_to(photos).with_suffix("").as_posix() for path in photos.rglob("*.png"))
    for split in ("train", "heldout"):
        chosen = [n for n in names if lowest_share(n, 0.25) == (split == "heldout")]
        expected = [
            np.asarray(
                Image.open(photos / f"{n}.png")
                .crop((8, 0, 32, 24))
                .resize((16, 16), Image.Resampling.LANCZOS)
            )
            for n in chosen
        ]
        assert np.array_equal(images(out, split, resolution=16), expected)
        assert open_dataset(out, "images", split).names == [f"{n}.png" for n in chosen]
        assert report.counts[split] == len(chosen) > 1
    record = read_provenance(out)
    assert record.counts == report.counts
    assert (record.recipe, record.title, record.licence, record.attribution) == (
        "folder",
        "photos",
        *["unknown"] * 2,
    )
    assert "lowest 0.25" in record.split
    assert record.classes == []


def test_the_record_digests_the_files_as_sha256sum_would(photos, tmp_path):
    prepare_folder(
        photos, tmp_path / "out", resolution=16, licence="CC0-1.0", attribution="Ann", title="Days"
    )
    record = read_provenance(tmp_path / "out")
    assert (record.licence, record.attribution, record.title) == ("CC0-1.0", "Ann", "Days")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  photos/{path.relative_to(photos).as_posix()}\n"
        for path in sorted(photos.rglob("*.png"))
    ]
    assert record.sources[0].sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert record.sources[0].name == "photos, 30 files"


def test_a_split_does_not_depend_on_other_files(photos, tmp_path):
    prepare_folder(photos, tmp_path / "a", resolution=16, held_out_share=0.25)
    before = {image.tobytes() for image in images(tmp_path / "a", "heldout")}
    save(photos / "day" / "another.png", picture(99))
    (photos / "night" / "p00.png").unlink()
    prepare_folder(photos, tmp_path / "b", resolution=16, held_out_share=0.25)
    train = {image.tobytes() for image in images(tmp_path / "b", "train")}
    assert not before & train


def test_labels_from_sub_folders(photos, tmp_path):
    out = tmp_path / "out"
    prepare_folder(photos, out, resolution=16, labels_from_subfolders=True, held_out_share=0.25)
    dataset = open_dataset(out, "images", "train")
    assert dataset.classes == ("day", "night")
    night = {centre_square(picture(i), 16).tobytes() for i in range(0, 30, 3)}
    for i in range(len(dataset)):
        sample = dataset.sample(i, RNG)
        assert (sample["image"].tobytes() in night) == (sample["label"] == 1)
    save(photos / "loose.png", picture(50))
    with pytest.raises(RecipeError, match=r"lies loose\.png"):
        prepare_folder(photos, out, resolution=16, labels_from_subfolders=True)


def test_a_zip_file_that_wraps_its_classes_in_a_folder(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.png"):
            archive.write(path, f"photos/{path.relative_to(photos)}")
    prepare_folder(tmp_path / "photos.zip", tmp_path / "out", resolution=16, labels_from_subfolders=True)
    assert read_provenance(tmp_path / "out").classes == ["day", "night"]


def test_labels_of_a_prepared_archive_are_kept(photos, tmp_path):
    prepare_folder(photos, tmp_path / "first", resolution=24, labels_from_subfolders=True)
    prepare_folder(tmp_path / "first" / "train.zip", tmp_path / "second", resolution=16)
    assert read_provenance(tmp_path / "second").classes == ["day", "night"]
    assert set(open_dataset(tmp_path / "second", "images", "train").labels) == {0, 1}


def test_what_cannot_be_used_is_left_out_and_listed(photos, tmp_path):
    (photos / "day" / "cut.png").write_bytes((photos / "day" / "p01.png").read_bytes()[:200])
    (photos / "day" / "copy of p01.png").write_bytes((photos / "day" / "p01.png").read_bytes())
    (photos / "empty.jpg").write_bytes(b"")
    save(photos / "tiny.png", picture(60, 12, 40))
    (photos / "holiday.heic").write_bytes(b"heic")
    frames = [Image.fromarray(picture(i)) for i in (70, 71)]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(picture(80)).convert("CMYK").save(photos / "print.jpg")
    told = []
    report = prepare_folder(
        photos, tmp_path / "out", resolution=16, held_out_share=0.3, progress=lambda *args: told.append(args)
    )
    assert sum(report.counts.values()) == 32
    assert told[-1] == ("reading images", 36, 36)
    cut, empty, tiny, same = sorted(report.left_out, key=lambda problem: (" same " in problem, problem))
    assert cut == "photos/day/cut.png is broken: image file is truncated"
    assert empty == "photos/empty.jpg is broken: no image format is recognised"
    assert tiny == "photos/tiny.png is 40×12, smaller than 16×16"
    assert set(same.split(" is the same file as ")) == {"photos/day/copy of p01.png", "photos/day/p01.png"}
    assert "holiday.heic" in report.notes[0]
    assert report.notes[1] == "only the first frame is used of photos/moving.gif"
    assert (tmp_path / "out" / "report.txt").read_text() == f"{report.text(None)}\n"
    assert "left out (4):" in report.text()
    assert "and 3 more, see" in report.text(1)


def test_files_that_differ_in_their_ending_alone_are_both_kept(photos, tmp_path):
    save(photos / "day" / "p01.bmp", picture(90))
    prepare_folder(photos, tmp_path / "out", resolution=16, labels_from_subfolders=True)
    names = [
        n for split in ("train", "heldout") for n in open_dataset(tmp_path / "out", "images", split).names
    ]
    assert len(names) == 31
    assert {"day/p01.png", "day/p01.png.png"} < set(names)


def test_small_pictures_are_enlarged_when_asked(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", picture(i, 10, 12))
    with pytest.raises(RecipeError, match=r"yields no image for train and heldout\n  in/.*smaller than 16"):
        prepare_folder(tmp_path / "in", tmp_path / "out", resolution=16)
    assert not (tmp_path / "out").exists()
    report = prepare_folder(tmp_path / "in", tmp_path / "out", resolution=16, enlarge=True)
    assert report.counts == {"train": 2, "heldout": 1}  # however small the share, each split has an image


def test_tiles_keep_detail_and_the_split_of_their_source(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = np.full((50, 70, 3), i, np.uint8)
        # The centred grid of 16-pixel tiles starts at (1, 3); detail fills its second and third column.
        pixels[1:33, 19:51, :2] = rng.integers(0, 256, (32, 32, 2))
        save(tmp_path / "in" / f"{i}.png", pixels)
    save(tmp_path / "in" / "sky.png", np.full((50, 70, 3), 99, np.uint8))
    report = prepare_folder(tmp_path / "in", tmp_path / "out", resolution=16, tiles=True, held_out_share=0.3)
    assert report.counts["train"] + report.counts["heldout"] == 12 * 4
    assert report.left_out == ["in/sky.png has no tile with enough detail"]
    sources = [{int(t[0, 0, 2]) for t in images(tmp_path / "out", split)} for split in ("train", "heldout")]
    assert not sources[0] & sources[1]
    assert sources[0] | sources[1] == set(range(12))
    assert "tiles of 16×16" in read_provenance(tmp_path / "out").processing


def test_mean_gradient_is_that_of_a_ramp():
    ramp = np.repeat((np.arange(16, dtype=np.uint8) * 3)[:, None], 16, axis=1)
    assert mean_gradient(np.stack([ramp] * 3, -1)) == pytest.approx(3, abs=1e-3)


def test_pairs_of_two_folders(tmp_path):
    for i in range(6):
        save(tmp_path / "in" / "A" / f"{i}.png", picture(i, 32, 48))
        save(tmp_path / "in" / "B" / f"{i}.bmp", picture(100 + i, 16, 24))  # of another scale
    save(tmp_path / "in" / "A" / "alone.png", picture(7))
    save(tmp_path / "in" / "B" / "lonely.png", picture(8))
    save(tmp_path / "in" / "A" / "odd.png", picture(9, 16, 30))
    save(tmp_path / "in" / "B" / "odd.png", picture(9, 16, 40))
    save(tmp_path / "in" / "B" / "5.png", picture(10))
    report = prepare_folder(
        tmp_path / "in", tmp_path / "out", resolution=16, layout="paired", held_out_share=0.3
    )
    assert sorted(report.left_out) == [
        "A/alone.png has no partner in B",
        "A/odd.png differs in shape from its partner: 30×16 and 40×16",
        "B/5.png has the same name as B/5.bmp",
        "B/lonely.png has no partner in A",
    ]
    names = set()
    for split in ("train", "heldout"):
        dataset = open_dataset(tmp_path / "out", "paired", split, resolution=16)
        for i, name in enumerate(dataset.names):
            number = int(Path(name).stem)
            names.add(number)
            sample = dataset.sample(i, RNG)
            assert np.array_equal(sample["A"], centre_square(picture(number, 32, 48), 16))
            assert np.array_equal(sample["B"], centre_square(picture(100 + number, 16, 24), 16))
    assert names == set(range(6))
    again = prepare_folder(
        tmp_path / "in" / "A", tmp_path / "two", resolution=16, layout="paired", second=tmp_path / "in" / "B"
    )
    assert sum(again.counts.values()) == 6


def test_pairs_side_by_side(tmp_path):
    for i in range(5):
        save(
            tmp_path / "in" / f"{i}.png",
            np.concatenate([picture(i, 16, 16), picture(50 + i, 16, 16)], axis=1),
        )
    save(tmp_path / "in" / "odd.png", picture(9, 16, 33))
    report = prepare_folder(tmp_path / "in", tmp_path / "out", resolution=16, layout="paired")
    assert report.left_out == ["in/odd.png is 33×16; with A and B side by side its width is even"]
    dataset = open_dataset(tmp_path / "out", "paired", "train", resolution=16)
    number = int(Path(dataset.names[0]).stem)
    assert np.array_equal(dataset.sample(0, RNG)["B"], picture(50 + number, 16, 16))


def test_tiles_of_pairs_match(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        a = rng.integers(0, 256, (32, 48, 3), np.uint8)
        save(tmp_path / "in" / "A" / f"{i}.png", a)
        save(tmp_path / "in" / "B" / f"{i}.png", a // 2)
    prepare_folder(tmp_path / "in", tmp_path / "out", resolution=16, layout="paired", tiles=True)
    dataset = open_dataset(tmp_path / "out", "paired", "train", resolution=16)
    assert len(dataset) % 6 == 0
    for i in range(len(dataset)):
        sample = dataset.sample(i, RNG)
        assert np.array_equal(sample["A"] // 2, sample["B"])


def test_unpaired_sets_keep_equal_names_together(tmp_path):
    for i in range(20):
        save(tmp_path / "in" / "A" / f"{i}.png", picture(i, 16, 16))
        save(tmp_path / "in" / "B" / f"{i}.png", picture(i, 16, 16))
    report = prepare_folder(
        tmp_path / "in", tmp_path / "out", resolution=16, layout="unpaired", held_out_share=0.3
    )
    assert sum(report.counts.values()) == 40
    assert set(report.counts) == {"trainA", "testA", "trainB", "testB"}
    held_out = open_dataset(tmp_path / "out", "unpaired", "heldout", resolution=16)
    assert held_out.pairs
    for i in range(len(held_out)):
        sample = held_out.sample(i, RNG)
        assert np.array_equal(sample["A"], sample["B"])
    with pytest.raises(RecipeError, match="name the folder of B"):
        prepare_folder(tmp_path / "in" / "A", tmp_path / "x", resolution=16, layout="unpaired")


def test_a_dataset_is_replaced_whole_and_nothing_else_is(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_folder(photos, out, resolution=16)
    before = (out / "train.zip").read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shaping, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_folder(photos, out, resolution=24)
    assert (out / "train.zip").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]
    prepare_folder(photos, out, resolution=24)
    assert read_provenance(out).resolution == 24
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.tex").touch()
    with pytest.raises(RecipeError, match="was not made from a folder"):
        prepare_folder(photos, tmp_path / "thesis", resolution=16)
    assert (tmp_path / "thesis" / "final.tex").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 4}, "at least 8"),
        ({"held_out_share": 0}, "between 0 and 1"),
        ({"second": "photos"}, "second folder"),
        ({"out": "photos/data"}, "lie in one another"),
        ({"source": "nowhere"}, "no folder or zip file"),
    ],
)
def test_options_that_do_not_fit(photos, tmp_path, options, message):
    paths = {"source": "photos", "out": "out", **options}
    arguments = {
        key: tmp_path / value if key in {"source", "out", "second"} else value for key, value in paths.items()
    }
    with pytest.raises(RecipeError, match=message):
        prepare_folder(**{"resolution": 16, **arguments})
