from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.importers.hostile_pickles import (
    archive,
    call,
    name,
    pickled,
    refusal,
    safetensors,
    text,
    write,
)
from tests.training.importers.weight_files import TENSORS, write_ncnn
from training.importers.files.reading import read_weights


def zipped(change: Callable[[zipfile.ZipFile], None]) -> bytes:
    target = io.BytesIO(archive(pickled(b"}")))
    with zipfile.ZipFile(target, "a") as made:
        change(made)
    return target.getvalue()


def link(made: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("archive/data/0")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    made.writestr(entry, "/etc/passwd")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (link, "a link or a device"),
        (lambda made: made.writestr("archive/data/0", bytes(10**6), zipfile.ZIP_DEFLATED), "compressed"),
        (lambda made: made.writestr("../evil", "x"), "leads out of it"),
        (lambda made: made.writestr("archive/../../evil", "x"), "leads out of it"),
        (lambda made: made.writestr("/etc/evil", "x"), "leads out of it"),
        (lambda made: made.writestr("c:\\evil", "x"), "leads out of it"),
        (lambda made: made.writestr("other/data.pkl", "x"), "not of torch.save"),
        (lambda made: setattr(made, "comment", b"behind"), "behind its end"),
    ],
)  # fmt: skip
def test_archives_with_tricks_are_refused(
    tmp_path: Path, change: Callable[[zipfile.ZipFile], None], said: str
):
    assert said in refusal(write(tmp_path / "x", zipped(change)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_two_entries_of_one_name_are_refused(tmp_path: Path):
    content = zipped(
        lambda made: made.writestr("archive/data.pkl", pickled(call(name("os", "system"), text("true"))))
    )
    assert "two entries of the name" in refusal(write(tmp_path / "x", content))


def directory_of(content: bytes | bytearray) -> int:
    return int(struct.unpack_from("<I", content, len(content) - 6)[0])


def changed(at: int, layout: str, value: int) -> Callable[[bytearray], None]:
    """A change of the first entry in the list of entries."""
    return lambda content: struct.pack_into(layout, content, directory_of(content) + at, value)


def from_the_end(at: int, layout: str, value: int) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(layout, content, len(content) - at, value)


@pytest.mark.parametrize(
    "change",
    [
        changed(24, "<I", 2**31),
        changed(20, "<I", 2**31),
        changed(24, "<I", 0xFFFFFFFF),
        changed(42, "<I", 2**31),
        changed(42, "<I", 0xFFFFFFFF),
        changed(42, "<I", 1),
        changed(8, "<H", 1),
        changed(10, "<H", 8),
        changed(10, "<H", 99),
        changed(28, "<H", 0xFFFF),
        changed(34, "<H", 1),
        changed(46, "<B", 0xFF),
        changed(0, "<B", 0),
        from_the_end(12, "<H", 0xFFFF),
        from_the_end(14, "<H", 0xFFFF),
        from_the_end(10, "<I", 0xFFFFFFFF),
        from_the_end(6, "<I", 0xFFFFFFFF),
        from_the_end(6, "<I", 0),
        from_the_end(18, "<H", 1),
        from_the_end(2, "<H", 5),
        lambda content: content.extend(b"trailing"),
        lambda content: content.__setitem__(slice(0, 4), b"PK\3\3"),
        lambda content: content.__setitem__(30, 0),
    ],
)
def test_archives_that_contradict_themselves_are_refused(tmp_path: Path, change: Callable[[bytearray], None]):
    content = bytearray(archive(pickled(b"}")))
    read_weights(write(tmp_path / "good", bytes(content)))
    change(content)
    refusal(write(tmp_path / "x", bytes(content)))


def test_entries_inside_another_are_refused(tmp_path: Path):
    plain = archive(pickled(b"}"), {"1": b"same"})
    inner = plain[plain.index(b"archive/data/1") - 30 :][: 30 + len("archive/data/1same")]
    content = bytearray(archive(pickled(b"}"), {"0": inner, "1": b"same"}))
    read_weights(write(tmp_path / "good", bytes(content)))
    # The list of entries says of the second that it is where the first one's content is.
    listed = content.index(b"archive/data/1", directory_of(content)) - 46
    struct.pack_into("<I", content, listed + 42, content.index(inner))
    assert "overlaps another" in refusal(write(tmp_path / "x", bytes(content)))


def test_nothing_may_stand_before_an_archive(tmp_path: Path):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("first", "x")
        made.writestr("archive/data.pkl", pickled(b"}"))
        del made.filelist[0]  # As another reader would find it, who begins at the front.
    assert "before its first entry" in refusal(write(tmp_path / "x", target.getvalue()))


def test_two_ends_of_an_archive_have_to_agree(tmp_path: Path):
    path = tmp_path / "x"
    torch.save(TENSORS, path)
    content = bytearray(path.read_bytes())
    at = len(content) - 22 - 20 - 56
    assert content[at : at + 4] == b"PK\x06\x06"
    for place, layout in ((24, "<Q"), (32, "<Q"), (40, "<Q"), (48, "<Q"), (4, "<Q"), (16, "<I")):
        broken = bytearray(content)
        struct.pack_into(layout, broken, at + place, struct.unpack_from(layout, content, at + place)[0] + 1)
        refusal(write(path, bytes(broken)))


def test_links_in_a_tar_are_refused(tmp_path: Path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "x", "w:") as made:
            entry = tarfile.TarInfo("storages")
            entry.type, entry.linkname = kind, "/etc/passwd"
            made.addfile(entry)
        assert "a link or a device" in refusal(tmp_path / "x")
    with tarfile.open(tmp_path / "x", "w:") as made:
        made.addfile(tarfile.TarInfo("../storages"))
    assert "leads out of it" in refusal(tmp_path / "x")


# Paths.


def test_links_pipes_and_devices_are_refused_without_waiting(tmp_path: Path):
    torch.save(TENSORS, tmp_path / "good.pth")
    (tmp_path / "link.pth").symlink_to(tmp_path / "good.pth")
    assert f"name the file itself, {tmp_path / 'good.pth'}" in refusal(tmp_path / "link.pth")
    (tmp_path / "dangling.pth").symlink_to(tmp_path / "nothing")
    assert "symbolic link" in refusal(tmp_path / "dangling.pth")
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")
    assert "no regular file" in refusal(Path("/dev/zero"))
    pair = write_ncnn(tmp_path)
    pair.with_suffix(".bin").rename(tmp_path / "elsewhere")
    pair.with_suffix(".bin").symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refusal(pair)


def test_a_file_of_holes_is_refused_for_its_size(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(2**40)
    assert "at most" in refusal(path)


# Headers of safetensors.


@pytest.mark.parametrize(
    "header",
    [
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 17]}}',
        '{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}',
        '{"a": {"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16, 3]}}',
        '{"a": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}}',
        '{"a": {"dtype": 4, "shape": [4], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], "more": 1}}',
        '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
        ' "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
        ' "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}',
        '{"__metadata__": {"a": 3}, "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}',
        '{"__metadata__": []}',
        '{"a": NaN}',
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": ' + "[" * 100_000 + "}",
        "{",
    ],
)
def test_headers_of_safetensors_that_lie_are_refused(tmp_path: Path, header: str):
    refusal(write(tmp_path / "x", safetensors(header)))


def test_a_header_longer_than_its_file_is_no_safetensors(tmp_path: Path):
    refusal(write(tmp_path / "x", struct.pack("<Q", 2**62) + b"{}"))
