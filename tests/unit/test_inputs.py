"""Which files are meant, and what their results are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.cli.inputs import plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`a/x.png`, `b/x.jpg`, `b/deep/y.webp` and things that are no images, as the current folder."""
    for name in ("a/x.png", "b/x.jpg", "b/deep/y.webp", "b/notes.txt", "b/.hidden.png", "b/.tmp/z.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(
    *arguments: str, out: str = "out", extension: str = ".png", recursive: bool = False
) -> dict[str, str]:
    found = plan(arguments, Path(out), extension, recursive=recursive)
    return {str(one.source.relative_to(Path.cwd())): str(one.output) for one in found}


@pytest.mark.usefixtures("folder")
def test_files_of_one_name_keep_their_folders() -> None:
    assert planned("a/x.png", "b/x.jpg") == {"a/x.png": "out/a/x.png", "b/x.jpg": "out/b/x.png"}
    assert planned("b/x.jpg") == {"b/x.jpg": "out/x.png"}
    assert planned("b/x.jpg", extension=".webp") == {"b/x.jpg": "out/x.webp"}


@pytest.mark.usefixtures("folder")
def test_folders_are_looked_through() -> None:
    assert planned("b") == {"b/x.jpg": "out/x.png"}
    assert planned("b", recursive=True) == {"b/deep/y.webp": "out/deep/y.png", "b/x.jpg": "out/x.png"}
    assert planned(".", recursive=True) == {
        "a/x.png": "out/a/x.png",
        "b/deep/y.webp": "out/b/deep/y.png",
        "b/x.jpg": "out/b/x.png",
    }
    assert planned("a", "b") == {"a/x.png": "out/a/x.png", "b/x.jpg": "out/b/x.png"}


@pytest.mark.usefixtures("folder")
def test_globs_are_expanded_where_the_shell_did_not() -> None:
    assert planned("b/*") == {"b/x.jpg": "out/x.png"}
    assert planned("**/*.*g") == {"a/x.png": "out/a/x.png", "b/x.jpg": "out/b/x.png"}
    assert planned("b/**/*.webp") == {"b/deep/y.webp": "out/deep/y.png"}


@pytest.mark.usefixtures("folder")
def test_what_is_named_twice_is_sent_once() -> None:
    assert planned("b", "b/x.jpg", "./b/../b/x.jpg") == {"b/x.jpg": "out/x.png"}


def test_a_file_that_is_named_is_sent_whatever_it_is_called(folder: Path) -> None:
    assert planned("b/notes.txt") == {"b/notes.txt": "out/notes.png"}
    (folder / "odd[1].png").write_bytes(b"")
    assert planned("odd[1].png") == {"odd[1].png": "out/odd[1].png"}


def test_names_that_differ_in_the_suffix_only(folder: Path) -> None:
    for suffix in (".png", ".webp"):
        (folder / f"b/x{suffix}").write_bytes(b"")
    assert planned("b") == {
        "b/x.jpg": "out/x.jpg.png",
        "b/x.png": "out/x.png",
        "b/x.webp": "out/x.webp.png",
    }


def test_results_are_no_inputs_of_the_next_run(folder: Path) -> None:
    (folder / "b/out").mkdir()
    (folder / "b/out/x.png").write_bytes(b"")
    assert planned("b", out="b/out", recursive=True).keys() == {"b/x.jpg", "b/deep/y.webp"}


@pytest.mark.parametrize(
    ("arguments", "out", "sentence"),
    [
        (["nothing.png"], "out", "there is no nothing.png"),
        (["*.gif"], "out", "no image matches *.gif"),
        (["empty"], "out", "there are no images in empty; --recursive"),
        (["a"], "a", "a/x.png would be replaced by a result"),
        (["a/x.png", "b/x.jpg"], ".", "a/x.png would be replaced by a result"),
    ],
)
def test_what_cannot_be_meant_is_said(folder: Path, arguments: list[str], out: str, sentence: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        planned(*arguments, out=out)
