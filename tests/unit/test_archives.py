"""Zip archives: sound ones of every kind, and each way in which they are not."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import aclosing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.jobs import archives
from service.jobs.archives import open_archive, read_entry
from service.jobs.area import Area
from service.jobs.storage import open_area
from service.jobs.zip_records import ArchiveError, EntryError

LIMIT = 1 << 20


@pytest.fixture
def area(tmp_path) -> Area:
    return open_area(f"file://{tmp_path}")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return bytearray(data.getvalue())


def entries_of(
    area: Area, data: bytes, limit: int = LIMIT, start: int = 0, page: int = 1000, most: int = 20_000
):
    async def listed():
        await area.put("a.zip", bytes(data), settled=False)
        archive = await open_archive(area, "a.zip", most)
        async with aclosing(archive.pages(limit, start, page)) as pages:
            found = [entries async for entries in pages]
        assert all(len(entries) <= page for entries in found)
        return [entry for entries in found for entry in entries]

    return asyncio.run(listed())


def content(area: Area, entry, limit: int = LIMIT) -> bytes:
    return asyncio.run(read_entry(area, "a.zip", entry, limit))


def refused(area: Area, data: bytes, **options) -> str:
    with pytest.raises(ArchiveError) as raised:
        entries_of(area, data, **options)
    assert raised.value.detail
    return raised.value.kind


def unreadable(area: Area, entry, limit: int = LIMIT) -> str:
    with pytest.raises(EntryError) as raised:
        content(area, entry, limit)
    assert raised.value.detail
    return raised.value.kind


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_back_in_the_order_of_the_archive(area, method):
    files = {
        "b.jpg": random.Random(1).randbytes(30_000),
        "a/ü/日本.png": b"x" * 100_000,
        "empty": b"",
        "a/one.png": b"1",
    }
    entries = entries_of(area, zipped(files, method))
    assert [entry.name for entry in entries] == list(files)
    for entry in entries:
        assert entry.problem is None
        assert (entry.size, entry.crc) == (len(files[entry.name]), zlib.crc32(files[entry.name]))
        assert content(area, entry) == files[entry.name]


def test_folders_and_litter_are_passed_over(area):
    names = [
        "a/",
        "a/x.png",
        "__MACOSX/a/._x.png",
        "a/.DS_Store",
        "a/._y.png",
        "Thumbs.db",
        "a/b/desktop.ini",
        ".keep",
    ]
    assert [entry.name for entry in entries_of(area, zipped(dict.fromkeys(names, b"")))] == [
        "a/x.png",
        ".keep",
    ]


def test_an_empty_archive_has_no_files(area):
    assert entries_of(area, zipped({})) == []


def test_many_files_in_pages_and_from_any_of_them(area, monkeypatch):
    monkeypatch.setattr(archives, "_READ_BYTES", 5_000)  # headers cut anywhere
    files = {f"{n % 10}/{n:05}.png": b"%d" % n for n in range(12_000)}
    data = zipped(files, zipfile.ZIP_STORED)
    entries = entries_of(area, data)
    assert [entry.name for entry in entries] == list(files)
    assert entries_of(area, data, start=7_001, page=7) == entries[7_001:]
    assert content(area, entries[11_999]) == b"11999"
    assert refused(area, data, most=11_999) == "too-many-entries"


def test_archives_that_need_64_bits(area, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("in 64 bits", "w", force_zip64=True) as file:
            file.write(b"x" * 1000)
        for n in range(66_000):  # more than 16 bits count
            archive.writestr(f"{n}", b"")
    data = (tmp_path / "a.zip").read_bytes()
    entries = entries_of(area, data, most=100_000)
    assert len(entries) == 66_001
    assert content(area, entries[0]) == b"x" * 1000


def test_an_offset_beyond_32_bits(area, tmp_path):
    """A sparse file, as nobody waits for 4 GiB to be written."""
    first = zipped({"far": b"far away"}, zipfile.ZIP_STORED)
    local_length = first.index(b"PK\1\2")
    offset = 5 << 30
    central = bytearray(first[local_length : first.index(b"PK\5\6")])
    struct.pack_into("<I", central, 42, 0xFFFFFFFF)
    extra = struct.pack("<HHQ", 1, 8, offset)
    struct.pack_into("<H", central, 30, len(extra))
    central += extra
    start = offset + local_length
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), start)
    end += struct.pack("<4sIQI", b"PK\6\7", 0, start + len(central), 1)
    end += struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    with (tmp_path / "a.zip").open("wb") as file:
        file.seek(offset)
        file.write(first[:local_length] + central + end)

    async def read():
        archive = await open_archive(area, "a.zip", 10)
        pages = [page async for page in archive.pages(LIMIT)]
        return await read_entry(area, "a.zip", pages[0][0], LIMIT)

    assert asyncio.run(read()) == b"far away"


def test_streamed_archives_whose_sizes_follow_the_data(area):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"x" * 5000)
    (entry,) = entries_of(area, pipe.data)
    assert content(area, entry) == b"x" * 5000


def test_a_comment_and_long_extras_do_no_harm(area):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.extra = struct.pack("<HH", 0xCAFE, 2000) + bytes(2000)
        archive.writestr(info, b"content")
        archive.comment = b"PK\5\6" * 100
    (entry,) = entries_of(area, data.getvalue())
    assert content(area, entry) == b"content"


@pytest.mark.parametrize(
    ("raw", "flags", "expected"),
    [
        ("ü.png".encode(), 0, "ü.png"),
        ("ü.png".encode(), 1 << 11, "ü.png"),
        ("u\u0308.png".encode(), 0, "ü.png"),
        ("é.png".encode("cp437"), 0, "é.png"),
    ],
)
def test_names_in_the_spellings_that_are_met(area, raw, flags, expected):
    placeholder = "n" * len(raw)
    data = zipped({placeholder: b"content"}).replace(placeholder.encode(), raw)
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        struct.pack_into("<H", data, data.index(signature) + at, flags)
    (entry,) = entries_of(area, data)
    assert (entry.name, content(area, entry)) == (expected, b"content")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a\\..\\x", "a\n", "a//b", "C:\\x", "./x", "/"]
)
def test_names_that_lead_elsewhere_are_marked(area, name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
        archive.writestr("fine", b"fine")
    bad, *others = (
        entries_of(area, data.getvalue()) if name != "/" else (None, *entries_of(area, data.getvalue()))
    )
    assert [content(area, entry) for entry in others] == [b"fine"]
    if bad is not None:
        assert bad.problem == unreadable(area, bad) == "unsafe-name"


def test_entries_that_cannot_be_read_are_marked_and_the_others_not(area):
    data = zipped({"encrypted": b"1", "method": b"2", "large": b"3" * 50, "fine": b"4"}, zipfile.ZIP_STORED)
    for name, at, value in ((b"encrypted", 8, 1), (b"method", 10, 93)):
        struct.pack_into("<H", data, data.rindex(name) - 46 + at, value)
    entries = entries_of(area, data, limit=49)
    assert [entry.problem for entry in entries] == ["encrypted", "unsupported-method", "too-large", None]
    assert [unreadable(area, entry) for entry in entries[:3]] == [
        "encrypted",
        "unsupported-method",
        "too-large",
    ]
    assert content(area, entries[3]) == b"4"


def test_links_are_no_files(area):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, b"/etc/passwd")
    (entry,) = entries_of(area, data.getvalue())
    assert unreadable(area, entry) == "not-a-file"


def test_a_bomb_is_never_inflated_beyond_what_it_declares(area):
    data = zipped({"bomb": bytes(200 << 20)})
    (entry,) = entries_of(area, data)
    assert entry.problem == unreadable(area, entry) == "too-large"
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # lies about its size
        struct.pack_into("<I", data, data.index(signature) + at, 300_000)
    (entry,) = entries_of(area, data)
    assert entry.problem is None
    tracemalloc.start()
    try:
        assert unreadable(area, entry) == "corrupt"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_entries_that_share_bytes_refuse_the_archive(area):
    data = zipped({"aaaa": b"x" * 1000, "bbbb": b"x" * 1000})
    struct.pack_into("<I", data, data.rindex(b"bbbb") - 46 + 42, 0)
    assert refused(area, data) == "overlapping"


@pytest.mark.parametrize(
    "data", [b"", b"P", b"no zip at all" * 1000, b"PK\5\6", b"\x89PNG\r\n\x1a\n" + bytes(100)]
)
def test_what_is_no_zip_is_refused(area, data):
    assert refused(area, data) == "not-a-zip"


def test_an_archive_cut_anywhere_is_refused(area):
    data = zipped({"a": random.Random(1).randbytes(300), "b": b"2"})
    kinds = {length: refused(area, data[:length]) for length in range(len(data))}
    assert set(kinds.values()) == {"not-a-zip", "truncated"}
    assert kinds[len(data) - 1] == "truncated"


def test_data_that_was_changed_is_found_out(area):
    good = zipped({"a": random.Random(1).randbytes(300)})
    (entry,) = entries_of(area, good)
    for place in range(good.index(b"PK\1\2")):
        data = bytearray(good)
        data[place] ^= 0x10
        asyncio.run(area.put("a.zip", bytes(data), settled=False))
        with suppress(EntryError):  # dates, versions and sizes in the local header mean nothing
            assert content(area, entry) == random.Random(1).randbytes(300)


def test_an_archive_in_volumes_is_refused(area):
    data = zipped({"a": b"1"})
    struct.pack_into("<H", data, data.index(b"PK\5\6") + 4, 1)
    assert refused(area, data) == "split"


def test_a_count_that_is_wrong_is_refused(area):
    data = zipped({"a": b"1", "b": b"2"})
    struct.pack_into("<HH", data, data.index(b"PK\5\6") + 8, 1, 1)
    assert refused(area, data) == "corrupt"


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_does_more_than_an_error(tmp_path_factory, changes):
    data = zipped({"a/b.png": b"x" * 50, "ü": bytes(100), "c": b"1234"})
    for place, value in changes:
        data[place % len(data)] = value
    area = open_area(f"file://{tmp_path_factory.getbasetemp()}/damaged")
    try:
        entries = entries_of(area, data)
    except ArchiveError:
        return
    for entry in entries:
        with suppress(EntryError):
            assert zlib.crc32(content(area, entry)) == entry.crc
