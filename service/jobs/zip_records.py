"""The headers of a zip archive as bytes: what they say of its files, and what is wrong with them."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import Final, Literal

from service.jobs.safe_names import UnsafeNameError, safe_name

ArchiveProblem = Literal["not-a-zip", "truncated", "corrupt", "split", "overlapping", "too-many-entries"]
EntryProblem = Literal["encrypted", "unsupported-method", "unsafe-name", "not-a-file", "too-large", "corrupt"]

STORED: Final = 0
DEFLATED: Final = 8

# PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16
LOCAL: Final = struct.Struct("<4s5HIIIHH")
CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
END: Final = struct.Struct("<4s4HIIH")
END_64: Final = struct.Struct("<4sQ2H2I4Q")
LOCATOR_64: Final = struct.Struct("<4sIQI")
LOCAL_SIGNATURE: Final = b"PK\3\4"
CENTRAL_SIGNATURE: Final = b"PK\1\2"
END_SIGNATURE: Final = b"PK\5\6"
END_64_SIGNATURE: Final = b"PK\6\6"
LOCATOR_64_SIGNATURE: Final = b"PK\6\7"

ENCRYPTED: Final = 1 | 1 << 6 | 1 << 13
_UTF_8: Final = 1 << 11
_UNIX: Final = 3
_MAX_OFFSET: Final = 1 << 60
_IN_64: Final = 0xFFFFFFFF
_LITTER: Final = {".DS_Store", "Thumbs.db", "desktop.ini"}


class ArchiveError(Exception):
    """An archive of which nothing is used.

    Attributes:
        kind: What is wrong with it.
        detail: In a sentence.
    """

    def __init__(self, kind: ArchiveProblem | EntryProblem, detail: str) -> None:
        super().__init__(detail)
        self.kind: ArchiveProblem | EntryProblem = kind
        self.detail = detail


class EntryError(ArchiveError):
    """One entry that cannot be read, though others can."""

    def __init__(self, kind: EntryProblem, detail: str = "") -> None:
        super().__init__(kind, detail or _DETAILS[kind])


_DETAILS: Final[dict[EntryProblem, str]] = {
    "encrypted": "The entry is encrypted.",
    "unsupported-method": "The entry is compressed in another way than deflate.",
    "unsafe-name": "The name of the entry is absolute, leads upwards or has characters that cannot be seen.",
    "not-a-file": "The entry is a link or a device.",
    "too-large": "The entry is larger than files that are read.",
    "corrupt": "The entry is not what the archive says of it.",
}


@dataclass(frozen=True)
class ZipEntry:
    """A file in an archive.

    Attributes:
        name: With folders, in Unicode form NFC.
        offset: Of its local header in the archive.
        compressed_size: In bytes.
        size: In bytes, as declared.
        method: 0 stored, 8 deflated.
        crc: CRC-32 of the content.
        problem: Why it cannot be read, if so.
    """

    name: str
    offset: int
    compressed_size: int
    size: int
    method: int
    crc: int
    problem: EntryProblem | None = None

    @property
    def detail(self) -> str:
        """The problem in a sentence; empty if there is none."""
        return "" if self.problem is None else _DETAILS[self.problem]


@dataclass(frozen=True)
class Record:
    """One header of the list of files.

    Attributes:
        entry: What it says.
        end: How far the file's data reaches at least.
        is_item: Whether it is a file that somebody put there: no folder, nothing that systems leave.
    """

    entry: ZipEntry
    end: int
    is_item: bool


def parsed_records(data: bytes, limit_bytes: int | None) -> tuple[list[Record], bytes]:
    """Reads headers of the list of files.

    Args:
        data: Bytes from the beginning of a header.
        limit_bytes: Files that declare more are marked `too-large`; None for no limit.

    Returns:
        What the whole headers say, and the bytes that follow the last of them.

    Raises:
        ArchiveError: If it is no list of files.
    """
    records: list[Record] = []
    place = 0
    while place + CENTRAL.size <= len(data):
        fields = CENTRAL.unpack_from(data, place)
        if fields[0] != CENTRAL_SIGNATURE:
            raise ArchiveError("corrupt", "The list of files is damaged.")
        name_length, extra_length, comment_length = fields[10:13]
        name_at = place + CENTRAL.size
        extra_at = name_at + name_length
        end = extra_at + extra_length + comment_length
        if end > len(data):
            break
        records.append(
            _record(fields, data[name_at:extra_at], data[extra_at : extra_at + extra_length], limit_bytes)
        )
        place = end
    return records, data[place:]


def _record(fields: tuple[int, ...], raw_name: bytes, extra: bytes, limit_bytes: int | None) -> Record:
    made_by, flags, method, crc, compressed, size = fields[1], *fields[3:5], *fields[7:10]
    disk, attributes, offset = fields[13], fields[15], fields[16]
    try:
        size, compressed, offset, disk = _in_64_bits(extra, size, compressed, offset, disk)
    except struct.error:
        raise ArchiveError("corrupt", "The list of files lacks a size in 64 bits.") from None
    if disk:
        raise ArchiveError("split", "The archive is one of several volumes.")
    if offset + compressed > _MAX_OFFSET:
        raise ArchiveError("truncated", "An entry lies outside the archive.")
    name = text_of(raw_name, flags)
    problem = _problem(name, flags, method, compressed, size)
    kind = stat.S_IFMT(attributes >> 16)
    if problem is None and made_by >> 8 == _UNIX and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "not-a-file"
    if problem is None and limit_bytes is not None and size > limit_bytes:
        problem = "too-large"
    last = name.rpartition("/")[2]
    litter = last in _LITTER or last.startswith("._") or name.startswith("__MACOSX/")
    entry = ZipEntry(name, offset, compressed, size, method, crc, problem)
    return Record(entry, offset + LOCAL.size + len(raw_name) + compressed, bool(last) and not litter)


def _in_64_bits(extra: bytes, *values: int) -> list[int]:
    """Values that are too large for their fields; raises `struct.error` if they are nowhere."""
    larger = list(values)
    limits = (_IN_64, _IN_64, _IN_64, 0xFFFF)
    wanted = [place for place, limit in enumerate(limits) if larger[place] == limit]
    if not wanted:
        return larger
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            field, at = extra[at + 4 : at + 4 + length], 0
            for place in wanted:
                form = "<Q" if place < 3 else "<I"
                (larger[place],) = struct.unpack_from(form, field, at)
                at += struct.calcsize(form)
            return larger
        at += 4 + length
    raise struct.error("no field in 64 bits")


def text_of(raw: bytes, flags: int) -> str:
    """The name in a header; tools forget to say that it is UTF-8."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "replace") if flags & _UTF_8 else raw.decode("cp437")
    try:
        return safe_name(name)
    except UnsafeNameError:
        return name


def _problem(name: str, flags: int, method: int, compressed: int, size: int) -> EntryProblem | None:
    try:
        safe_name(name.removesuffix("/"))
    except UnsafeNameError:
        return "unsafe-name"
    if flags & ENCRYPTED:
        return "encrypted"
    if method not in (STORED, DEFLATED):
        return "unsupported-method"
    # Deflate makes nothing longer than by 5 bytes a block of at most 64 KiB, with room for small blocks.
    if (method == STORED and compressed != size) or compressed > size + size // 64 + 1024:
        return "corrupt"
    return None
