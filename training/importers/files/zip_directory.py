"""The entries of a zip archive as PyTorch writes it: stored, not compressed, one behind another.

It is read by a reader of ours that knows only such archives, so that there are no two opinions of where an
entry lies, and nothing is ever inflated.
"""

from __future__ import annotations

import struct

from training.importers.base import UnreadableWeightsError
from training.importers.files.inert import shown
from training.importers.files.window import Window

MAX_ENTRIES = 65_536
MAX_DIRECTORY = 16 * 2**20

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UNKNOWN = 0xFFFFFFFF
_FILE_TYPE, _REGULAR = 0o170000, (0, 0o100000)
_UNIX = 3


def read_directory(archive: Window) -> dict[str, Window | None]:
    """Finds the entries of an archive.

    Args:
        archive: The file.

    Returns:
        The content of each entry, by its name; None if it is compressed.

    Raises:
        UnreadableWeightsError: If it is damaged; or has encrypted, overlapping, linked or doubled entries,
            names that lead out of it, or anything before, between directory and end, or behind.
    """
    start, size, count = _end(archive)
    if count > MAX_ENTRIES or size > MAX_DIRECTORY:
        raise UnreadableWeightsError(f"is an archive of {count:,} entries; at most {MAX_ENTRIES:,} are read")
    directory, at = archive.read(start, size), 0
    entries: dict[str, Window | None] = {}
    places: list[tuple[int, int, str]] = []
    for _ in range(count):
        if directory[at : at + 4] != _CENTRAL or at + 46 > size:
            raise _damaged("its list of entries is damaged")
        made_by, flags, method = struct.unpack_from("<HxxHH", directory, at + 4)
        packed, plain, name_size, extra_size, note_size, disk = struct.unpack_from(
            "<IIHHHH", directory, at + 20
        )
        attributes, offset = struct.unpack_from("<II", directory, at + 38)
        tail = at + 46 + name_size
        raw, extra = directory[at + 46 : tail], directory[tail : tail + extra_size]
        at = tail + extra_size + note_size
        if at > size:
            raise _damaged("its list of entries is damaged")
        plain, packed, offset = _wide(extra, plain, packed, offset)
        name = _checked_name(raw)
        if name in entries:
            raise _damaged(f"it has two entries of the name {shown(name)}")
        if flags & _ENCRYPTED or disk:
            raise _damaged(f"its entry {shown(name)} is encrypted, or on another disk")
        if made_by >> 8 == _UNIX and attributes >> 16 & _FILE_TYPE not in _REGULAR:
            raise _damaged(f"its entry {shown(name)} is a link or a device, no file")
        if method == 0 and packed != plain:
            raise _damaged(f"its entry {shown(name)} has two sizes")
        begin = _content_begin(archive, offset, raw, method)
        if begin + packed > start:
            raise _damaged(f"its entry {shown(name)} is larger than the file")
        places.append((offset, begin + packed, name))
        entries[name] = None if method else archive.part(begin, packed)
    if at != size:
        raise _damaged("its list of entries is longer than it says")
    _refuse_overlaps(places)
    return entries


def _end(archive: Window) -> tuple[int, int, int]:
    """Where the list of entries is, how long, and of how many."""
    if archive.size < 22:
        raise _damaged("it is cut off")
    end_at = archive.size - 22
    end = archive.read(end_at, 22)
    disk, first_disk, here, count, size, start, note = struct.unpack("<4xHHHHIIH", end)
    if end[:4] != _END or note:
        raise _damaged("it is cut off, or something stands behind its end; fetch it again")
    if disk or first_disk or here != count:
        raise _damaged("it is a part of several")
    if end_at >= 20 and archive.read(end_at - 20, 4) == _LOCATOR64:
        at = struct.unpack("<8xQ4x", archive.read(end_at - 20, 20))[0]
        if at != end_at - 76:
            raise _damaged("its end is not where it says")
        record = archive.read(at, 56)
        length, disk, first_disk, here, wide_count, wide_size, wide_start = struct.unpack(
            "<4xQ4xIIQQQQ", record
        )
        if record[:4] != _END64 or length != 44 or disk or first_disk or here != wide_count:
            raise _damaged("its end is damaged")
        # What both say has to be the same, or readers may differ in what the archive holds.
        narrow = ((count, 0xFFFF, wide_count), (size, _UNKNOWN, wide_size), (start, _UNKNOWN, wide_start))
        if any(short not in (unknown, wide) for short, unknown, wide in narrow):
            raise _damaged("its two ends contradict each other")
        end_at, count, size, start = at, wide_count, wide_size, wide_start
    if start + size != end_at:
        raise _damaged("its list of entries is not where it says")
    return start, size, count


def _wide(extra: bytes, plain: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes and the position of an entry, from its ZIP64 field where they do not fit."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + size]
        at += 4 + size
    values, used = [plain, packed, offset], 0
    for index, value in enumerate(values):
        if value == _UNKNOWN:
            if used + 8 > len(wide):
                raise _damaged("an entry has no size")
            values[index] = struct.unpack_from("<Q", wide, used)[0]
            used += 8
    return values[0], values[1], values[2]


def _checked_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise _damaged("it has an entry whose name is no text") from error
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or ":" in name or name.startswith("/") or ".." in parts:
        raise _damaged(f"it has an entry of the name {shown(name)}, which leads out of it")
    return name


def _content_begin(archive: Window, offset: int, raw: bytes, method: int) -> int:
    """Where an entry's content begins, from the header before it, which has to say the same as the list."""
    header = archive.read(offset, 30)
    flags_method = struct.unpack_from("<HH", header, 6)
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    if (
        header[:4] != _LOCAL
        or flags_method[0] & _ENCRYPTED
        or flags_method[1] != method
        or archive.read(offset + 30, name_size) != raw
    ):
        raise _damaged("an entry is not what its list of entries says")
    return int(offset + 30 + name_size + extra_size)


def _refuse_overlaps(places: list[tuple[int, int, str]]) -> None:
    behind = 0
    for begin, end, name in sorted(places):
        if begin < behind:
            raise _damaged(f"its entry {shown(name)} overlaps another")
        behind = end
    if places and min(places)[0] != 0:
        raise _damaged("something stands before its first entry")


def _damaged(what: str) -> UnreadableWeightsError:
    return UnreadableWeightsError(f"is no archive of torch.save, or a damaged one: {what}")
