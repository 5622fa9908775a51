"""What a batch consists of, and what of it is left after earlier runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from service.cli.batch_jobs.resuming import remaining
from service.cli.batch_jobs.state import (
    Done,
    Failed,
    OtherBatchError,
    Part,
    State,
    alone,
    read_state,
    state_path,
)
from service.cli.batch_jobs.units import LARGEST_PART, LARGEST_PART_BYTES, Unit, file_units, parts, seed_units

SETTINGS = {"model": "photo-x4", "parameters": {"scale": 2}}


def found(folder: Path, out: Path | None = None, **options: object) -> list[Unit]:
    defaults = {"recursive": True, "pattern": None, "naming": None, "model": "m", "scale": None}
    return file_units(folder, out, ".png", **{**defaults, **options})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b/a.png", "b/a.jpg", "b/c d.webp", ".hidden.png", "notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    return tmp_path / "photos"


def units(count: int, size: int = 10) -> list[Unit]:
    return [Unit(f"{n}.jpg", Path(f"/in/{n}.jpg"), f"{n}.png", size, 1000 + n) for n in range(count)]


def names(units: Sequence[Unit | None]) -> list[str | None]:
    return [None if unit is None else unit.name for unit in units]


def test_files_keep_their_folders_and_get_names_of_their_own(photos: Path, tmp_path: Path) -> None:
    one = found(photos, tmp_path / "out")
    assert [(unit.name, unit.output) for unit in one] == [
        ("a.jpg", "a.png"),
        ("b/a.jpg", "b/a.jpg.png"),
        ("b/a.png", "b/a.png"),
        ("b/c d.webp", "b/c d.png"),
    ]
    assert one[0].size == 5
    assert one[0].mtime_ns == (photos / "a.jpg").stat().st_mtime_ns
    out = tmp_path / "out"
    assert names(found(photos, out, recursive=False)) == ["a.jpg"]
    assert names(found(photos, out, pattern="*.jpg")) == ["a.jpg", "b/a.jpg"]
    assert names(found(photos, out, pattern="b/*")) == ["b/a.jpg", "b/a.png", "b/c d.webp"]


def test_a_file_s_result_does_not_depend_on_which_others_are_chosen(photos: Path) -> None:
    (only,) = found(photos, photos / "out", pattern="b/a.jpg")
    assert only.output == "b/a.jpg.png"


def test_names_by_a_pattern(photos: Path) -> None:
    outputs = [
        unit.output
        for unit in found(photos, photos / "out", naming="{path}/{stem}-x{scale}.{ext}", scale=2.5)
    ]
    assert outputs == ["a-x2.5.png", "b/a-x2.5.png", "b/a-x2.5~2.png", "b/c d-x2.5.png"]
    with pytest.raises(ValueError, match="there is no field"):
        found(photos, photos / "out", naming="{stem}-{seed}.{ext}")
    with pytest.raises(ValueError, match=r"ends in \.jpg"):
        found(photos, photos / "out", naming="{stem}.jpg")


def test_names_that_the_server_gives_do_not_depend_on_the_job(photos: Path) -> None:
    """It numbers what has one name within a job, and a batch is many jobs."""
    with pytest.raises(ValueError, match=r"results of b/a\.jpg and b/a\.png would both be called b/a\.png"):
        found(photos)
    assert names(found(photos, photos / "out")) == ["a.jpg", "b/a.jpg", "b/a.png", "b/c d.webp"]
    with pytest.raises(ValueError, match=r"there is no field \{n\}"):
        found(photos, naming="{n:06}.{ext}")
    assert names(found(photos, pattern="*.jpg", naming="{path}/{stem}-x{scale}.{ext}")) == [
        "a.jpg",
        "b/a.jpg",
    ]
    seeds = range(3)
    with pytest.raises(ValueError, match="would both be called"):
        seed_units(seeds, ".png", naming="{model}.{ext}", model="m", by_server=True)
    with pytest.raises(ValueError, match=r"there is no field \{n\}"):
        seed_units(seeds, ".png", naming="{n}.{ext}", model="m", by_server=True)


def test_results_of_an_earlier_run_are_no_inputs_and_replace_none(photos: Path) -> None:
    (photos / "out").mkdir()
    (photos / "out/a.png").write_bytes(b"result")
    assert "out/a.png" not in names(found(photos, photos / "out"))
    with pytest.raises(ValueError, match="would be replaced"):
        found(photos, photos)
    with pytest.raises(ValueError, match="would be replaced"):
        found(photos, photos, naming="{path}/{stem}.png")


@pytest.mark.parametrize("pattern", [None, "*.tiff"])
def test_no_images_are_said_to_be_none(pattern: str | None, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image"):
        found(tmp_path / "empty" if pattern is None else photos, tmp_path / "out", pattern=pattern)


def test_seeds_are_named_by_a_pattern() -> None:
    made = seed_units([7, 70_000], ".webp", naming="{model}-seed{seed:04}.{ext}", model="terrain")
    assert [(unit.name, unit.output) for unit in made] == [
        ("7", "terrain-seed0007.webp"),
        ("70000", "terrain-seed70000.webp"),
    ]


def test_parts_are_small_at_first_and_bounded_in_number_and_bytes() -> None:
    sizes = [len(part) for part in parts(units(2000))]
    assert sizes == [25, 50, 100, 200, 400, LARGEST_PART, LARGEST_PART, 225]
    assert [unit for part in parts(units(2000)) for unit in part] == units(2000)
    half = LARGEST_PART_BYTES // 2 + 1
    assert [len(part) for part in parts(units(3, half))] == [1, 1, 1]
    assert [len(part) for part in parts(units(2, 2 * LARGEST_PART_BYTES))] == [1, 1]
    assert list(parts([])) == []


def written(state: State, folder: Path, *chosen: Unit) -> None:
    for unit in chosen:
        (folder / unit.output).write_bytes(b"123")
        state.done[unit.name] = Done(unit.stamp, 3)


def test_what_is_done_is_kept_and_what_is_missing_or_changed_is_done_again(tmp_path: Path) -> None:
    all_units = units(6)
    state = State(tmp_path / "state", SETTINGS)
    written(state, tmp_path, *all_units[:4])
    (tmp_path / all_units[1].output).unlink()
    (tmp_path / all_units[2].output).write_bytes(b"other")
    all_units[3] = Unit("3.jpg", Path("/in/3.jpg"), "3.png", 10, 99)
    state.failed["4.jpg"] = Failed(all_units[4].stamp, {"title": "No image"})
    left = remaining(all_units, state, tmp_path, retry_failed=False)
    assert (left.kept, names(left.pending), left.count) == (1, ["1.jpg", "2.jpg", "3.jpg", "5.jpg"], 4)
    assert [(failure.name, failure.reason) for failure in left.failures] == [("4.jpg", "No image")]
    left = remaining(all_units, state, tmp_path, retry_failed=True)
    assert names(left.pending) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert not left.failures
    changed = [Unit("4.jpg", Path("/in/4.jpg"), "4.png", 11, 1004)]
    state.failed["4.jpg"] = Failed(all_units[4].stamp, {})
    assert names(remaining(changed, state, tmp_path, retry_failed=False).pending) == ["4.jpg"]


def test_jobs_under_way_are_taken_up_for_what_has_not_changed(tmp_path: Path) -> None:
    all_units = units(8)
    state = State(tmp_path / "state", SETTINGS)
    written(state, tmp_path, all_units[0])
    running, unsent, spoilt, over = (Part.of(all_units[n : n + 2]) for n in (0, 2, 4, 0))
    running.id = "job_1"
    over.id = "job_0"
    over.units = [("0.jpg", all_units[0].stamp), ("gone.jpg", (1, 1))]
    state.parts = [running, unsent, spoilt, over]
    all_units[5] = Unit("5.jpg", Path("/in/5.jpg"), "5.png", 10, 99)
    left = remaining(all_units, state, tmp_path, retry_failed=False)
    assert [(part, names(wanted)) for part, wanted in left.begun] == [
        (running, [None, "1.jpg"]),
        (unsent, ["2.jpg", "3.jpg"]),
    ]
    assert state.parts == [running, unsent]
    assert names(left.pending) == ["4.jpg", "5.jpg", "6.jpg", "7.jpg"]
    assert (left.kept, left.count) == (1, 7)


def test_no_image_is_in_two_jobs(tmp_path: Path) -> None:
    all_units = units(4)
    state = State(tmp_path / "state", SETTINGS)
    state.parts = [Part.of(all_units[:3]), Part.of(all_units[1:])]
    state.parts[0].id = state.parts[1].id = "job"
    left = remaining(all_units, state, tmp_path, retry_failed=False)
    assert [names(wanted) for _, wanted in left.begun] == [["0.jpg", "1.jpg", "2.jpg"], [None, None, "3.jpg"]]


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path, SETTINGS).parts == []
    state = State(path, SETTINGS)
    odd = Unit("b\udcffé\n.jpg", Path("/in/x"), "x.png", 5, 1 << 62)
    state.parts = [Part.of([odd]), Part.of(None)]
    state.parts[0].id = "job_1"
    state.done["a"] = Done((1, 2), 3)
    state.failed["b"] = Failed((4, 5), {"title": "é"})
    state.save()
    assert read_state(path, SETTINGS) == state
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1}', '{"version": 99}'])
def test_a_damaged_state_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(OtherBatchError, match=r"s\.json is .*--overwrite"):
        read_state(tmp_path / "s.json", SETTINGS)


def test_another_batch_s_results_are_not_mixed_with(tmp_path: Path) -> None:
    State(tmp_path / "s.json", SETTINGS).save()
    with pytest.raises(OtherBatchError, match=r"with other settings \(parameters\)"):
        read_state(tmp_path / "s.json", {**SETTINGS, "parameters": {"scale": 3}})


def test_two_commands_do_not_work_on_one_batch(tmp_path: Path) -> None:
    path = state_path("in", str(tmp_path / "out"), tmp_path / "out")
    with alone(path) as staging:
        (staging / "left").write_text("of a run that was killed")
        with pytest.raises(OtherBatchError, match="another `ganserve batch` is at work"), alone(path):
            pass
    assert staging.exists()
    with alone(path) as staging:
        assert list(staging.iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == []


def test_the_state_of_a_bucket_is_in_the_user_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = state_path("in", "s3://bucket/out/", None)
    assert path.parent == tmp_path / "ganserve/batches"
    assert path != state_path("in", "s3://bucket/other/", None)
    with alone(path):
        State(path, SETTINGS).save()
    assert json.loads(path.read_text())["settings"] == SETTINGS


def batch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "batch", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_dry_run_needs_no_server(tmp_path: Path) -> None:
    for n in range(30):
        path = tmp_path / "in" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    done = batch(tmp_path, "upscale", "in", "out", "--model", "photo-x4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "30 images (0.0 MB) would be sent in 2 jobs.\n"
    assert not (tmp_path / "out").exists()
    seeds = batch(tmp_path, "generate", "out", "--model", "terrain", "--seeds", "0-9999", "--dry-run")
    assert seeds.stdout == "10,000 images would be sent in 24 jobs.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "nothing", "out", "--model", "m"], "there is no folder nothing"),
        (["upscale", "empty", "out", "--model", "m"], "there are no images in"),
        (["upscale", "http://x/", "out", "--model", "m"], "neither a folder nor an s3:// or file:// URL"),
        (["upscale", "empty", "file", "--model", "m"], "file is a file"),
        (["generate", "out", "--model", "m", "--seeds", "9-3"], "write 3-9"),
        (["generate", "out", "--model", "m", "--seeds", "1", "--naming", "{stem}"], "there is no field"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    done = batch(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", "").split())
