"""Archives made while they are sent, read by others' programs."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from service.jobs.zip_stream import ZipStream

MODIFIED = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def archive(entries: dict[str, list[bytes]]) -> bytes:
    made = ZipStream()
    parts = []
    for name, chunks in entries.items():
        parts.append(made.begin(name, MODIFIED))
        parts += [made.data(chunk) for chunk in chunks]
        parts.append(made.end())
    parts += made.finish()
    made.close()
    return b"".join(parts)


ENTRIES = {
    "a.png": [b"some", b" bytes"],
    "folder/empty.png": [],
    "folder/Grüße 日本語 🏔.png": [b"x" * 100_000],
    "manifest.json": [b"{}"],
}


def test_read_by_pythons_zipfile() -> None:
    with zipfile.ZipFile(io.BytesIO(archive(ENTRIES))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {
            name: b"".join(chunks) for name, chunks in ENTRIES.items()
        }
        assert read.infolist()[0].date_time == (2023, 11, 14, 22, 13, 20)
        assert read.infolist()[0].external_attr >> 16 == 0o100644


@pytest.mark.parametrize("command", [["unzip", "-q", "-t"], ["jar", "tf"]])
def test_read_by_other_programs(command: list[str], tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        command = ["python3", "-m", "zipfile", "-t"]
    (tmp_path / "a.zip").write_bytes(archive(ENTRIES))
    subprocess.run([*command, str(tmp_path / "a.zip")], check=True, capture_output=True)


def test_no_entries() -> None:
    with zipfile.ZipFile(io.BytesIO(archive({}))) as read:
        assert read.namelist() == []


def test_more_entries_than_16_bits_hold_in_little_memory() -> None:
    made, out = ZipStream(), io.BytesIO()
    tracemalloc.start()
    for n in range(70_000):
        out.write(made.begin(f"{n:06}.png", MODIFIED))
        out.write(made.data(b"%d" % n))
        out.write(made.end())
    # What is kept of the archive itself, which `out` holds, is a few megabytes at most.
    kept = tracemalloc.get_traced_memory()[0] - out.getbuffer().nbytes
    tracemalloc.stop()
    assert kept < 4 << 20
    for part in made.finish():
        out.write(part)
    made.close()
    with zipfile.ZipFile(out) as read:
        assert len(read.namelist()) == 70_000
        assert read.read("069999.png") == b"69999"


def test_beyond_4_gigabytes() -> None:
    """The file itself is not made: what stands behind it says how large it would be."""
    made = ZipStream()
    made.begin("large", MODIFIED)
    made._size = made._offset = 5 << 30
    descriptor = made.end()
    assert struct.unpack("<IIQQ", descriptor)[2:] == (5 << 30, 5 << 30)
    made.begin("after", MODIFIED)
    made.end()
    tail = b"".join(made.finish())
    made.close()
    offset = struct.unpack("<Q", tail[tail.rindex(b"after") + 5 + 20 :][:8])[0]
    assert offset > 5 << 30
    began = struct.unpack("<IQHHIIQQQQ", tail[tail.index(b"PK\x06\x06") :][:56])[-1]
    assert began > 5 << 30
    assert struct.unpack("<IHHHHIIH", tail[-22:])[6] == 0xFFFFFFFF


@pytest.mark.parametrize("name", ["", "x" * 70_000])
def test_names_that_are_none(name: str) -> None:
    with closing(ZipStream()) as made, pytest.raises(ValueError, match="name"):
        made.begin(name, MODIFIED)


def test_entries_do_not_overlap() -> None:
    made = ZipStream()
    made.begin("a", MODIFIED)
    with pytest.raises(ValueError, match="under way"):
        made.begin("b", MODIFIED)
    with pytest.raises(ValueError, match="under way"):
        list(made.finish())
    made.end()
    with pytest.raises(ValueError, match="no entry"):
        made.end()
    made.close()
