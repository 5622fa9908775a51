"""Zip archives that stay where they are: entries are listed and read by ranges, never unpacked to disk."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from service.jobs.area import Area
from service.jobs.zip_records import (
    ENCRYPTED,
    END,
    END_64,
    END_64_SIGNATURE,
    END_SIGNATURE,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR_64,
    LOCATOR_64_SIGNATURE,
    STORED,
    ArchiveError,
    EntryError,
    EntryProblem,
    Record,
    ZipEntry,
    parsed_records,
)

_READ_BYTES: Final = 1 << 20  # of the central directory at a time
_NAME_AND_EXTRA: Final = 400  # bytes of a local header that are read along in the hope that they suffice


class Archive:
    """A zip whose central directory was found sound. See `open_archive`."""

    def __init__(self, area: Area, name: str, start: int, size: int, count: int) -> None:
        self._area = area
        self._name = name
        self._start = start
        self._size = size
        self.count = count

    async def pages(
        self, limit_bytes: int | None = None, start: int = 0, page: int = 1000
    ) -> AsyncGenerator[list[ZipEntry], None]:
        """The files in the archive, in its order; folders and what macOS and Windows leave are passed over.

        Args:
            limit_bytes: Files that declare more are marked `too-large`; None for no limit.
            start: How many files to pass over, as an earlier run had them.
            page: Most files in a page.

        Raises:
            ArchiveError: If the archive is not the one any more that was opened.
            StorageError: If it cannot be read.
        """
        found: list[ZipEntry] = []
        async with aclosing(self._records(limit_bytes)) as batches:
            async for records in batches:
                for record in records:
                    if not record.is_item:
                        continue
                    if start:
                        start -= 1
                        continue
                    found.append(record.entry)
                    if len(found) == page:
                        yield found
                        found = []
        if found:
            yield found

    async def _records(self, limit_bytes: int | None) -> AsyncGenerator[list[Record], None]:
        rest, position, seen = b"", self._start, 0
        end = self._start + self._size
        while position < end:
            piece = await self._area.get_range(self._name, position, min(_READ_BYTES, end - position))
            if not piece:
                raise ArchiveError("truncated", "The archive ends within its list of files.")
            position += len(piece)
            records, rest = await asyncio.to_thread(parsed_records, rest + piece, limit_bytes)
            seen += len(records)
            yield records
        if rest or seen != self.count:
            raise ArchiveError(
                "corrupt",
                f"The list of files has {seen} entries and {len(rest)} odd bytes; {self.count} are due.",
            )

    async def check(self) -> None:
        """Reads all of the list of files once; raises `ArchiveError`."""
        starts: list[NDArray[np.int64]] = []
        ends: list[NDArray[np.int64]] = []
        async with aclosing(self._records(None)) as batches:
            async for records in batches:
                starts.append(np.array([record.entry.offset for record in records], np.int64))
                ends.append(np.array([record.end for record in records], np.int64))
        await asyncio.to_thread(_check_overlaps, starts, ends, self._start)


async def open_archive(area: Area, name: str, max_entries: int) -> Archive:
    """Finds the list of files of a zip and reads it once.

    Args:
        area: Where the archive is.
        name: Its name there.
        max_entries: Most entries it may list, folders included.

    Returns:
        The archive, from which entries can be listed and read as often as needed.

    Raises:
        ArchiveError: If nothing of it is to be used: it is no zip, incomplete, damaged, in several volumes,
            has entries that share bytes (as bombs do), or too many.
        StorageError: If it cannot be read.
    """
    size = (await area.head(name)).size
    tail_size = min(size, END.size + 0xFFFF + LOCATOR_64.size)
    tail = await area.get_range(name, size - tail_size, tail_size) if size else b""
    place = _end_of(tail)
    if place is None:
        if (await area.get_range(name, 0, 4) if size else b"") == LOCAL_SIGNATURE:
            raise ArchiveError("truncated", "The archive ends before its list of files.")
        raise ArchiveError("not-a-zip", "The file is no zip archive.")
    _, disk, start_disk, here, count, length, start, _ = END.unpack_from(tail, place)
    end = size - tail_size + place
    if place >= LOCATOR_64.size and tail[place - LOCATOR_64.size :][:4] == LOCATOR_64_SIGNATURE:
        _, disk, end, disks = LOCATOR_64.unpack_from(tail, place - LOCATOR_64.size)
        record = await area.get_range(name, end, END_64.size) if end < size else b""
        if len(record) < END_64.size or record[:4] != END_64_SIGNATURE or disks > 1:
            raise ArchiveError("corrupt", "The end of the archive is damaged.")
        *_, disk, start_disk, here, count, length, start = END_64.unpack(record)
    if disk or start_disk or here != count:
        raise ArchiveError("split", "The archive is one of several volumes.")
    if start + length > end:
        raise ArchiveError("truncated", "The list of files lies outside the archive.")
    if start + length != end:
        raise ArchiveError("corrupt", "The list of files is not where the archive says.")
    if count > max_entries:
        raise ArchiveError(
            "too-many-entries", f"The archive has {count} entries; {max_entries} are accepted."
        )
    archive = Archive(area, name, start, length, count)
    await archive.check()
    return archive


async def list_entries(
    area: Area,
    name: str,
    *,
    skip: int = 0,
    page: int = 1000,
    max_entries: int = 1_000_000,
    limit_bytes: int | None = None,
) -> AsyncGenerator[list[ZipEntry], None]:
    """Opens a zip and lists its files: `open_archive` and `Archive.pages` in one.

    Args:
        area: Where the archive is.
        name: Its name there.
        skip: How many files to pass over, as an earlier run had them.
        page: Most files in a page.
        max_entries: See `open_archive`.
        limit_bytes: See `Archive.pages`.

    Raises:
        ArchiveError: If nothing of it is to be used.
        StorageError: If it cannot be read.
    """
    archive = await open_archive(area, name, max_entries)
    async with aclosing(archive.pages(limit_bytes, skip, page)) as pages:
        async for entries in pages:
            yield entries


class EntryPlace(Protocol):
    """What has to be known of an entry to read it; a `ZipEntry`, or what was noted of one."""

    @property
    def offset(self) -> int:
        """Of its local header in the archive."""

    @property
    def compressed_size(self) -> int:
        """In bytes."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def method(self) -> int:
        """0 stored, 8 deflated."""

    @property
    def crc(self) -> int:
        """CRC-32 of the content."""


async def read_entry(area: Area, name: str, entry: EntryPlace, limit_bytes: int) -> bytes:
    """The content of one file of an archive, checked against its CRC.

    Takes one request to the storage, and memory for the compressed and the plain bytes.

    Args:
        area: Where the archive is.
        name: Its name there.
        entry: As listed.
        limit_bytes: Largest content.

    Raises:
        EntryError: If it cannot be read, now or ever.
        StorageError: If the storage fails.
    """
    problem: EntryProblem | None = getattr(entry, "problem", None)
    if problem is not None:
        raise EntryError(problem)
    if entry.size > limit_bytes:
        raise EntryError("too-large", f"The entry has {entry.size} bytes; {limit_bytes} are read.")
    wanted = LOCAL.size + _NAME_AND_EXTRA + entry.compressed_size
    data = await area.get_range(name, entry.offset, wanted)
    if len(data) < LOCAL.size or data[:4] != LOCAL_SIGNATURE:
        raise EntryError("corrupt", "There is no file where the archive says.")
    _, _, flags, method, _, _, _, _, _, name_length, extra_length = LOCAL.unpack_from(data)
    begin = LOCAL.size + name_length + extra_length
    missing = begin + entry.compressed_size - len(data)
    if missing > 0:
        data += await area.get_range(name, entry.offset + len(data), missing)
    if len(data) < begin + entry.compressed_size:
        raise EntryError("corrupt", "The archive ends within the entry.")
    if method != entry.method or flags & ENCRYPTED:
        raise EntryError("corrupt", "The entry's own header says something else than the list of files.")
    return await asyncio.to_thread(_content, memoryview(data)[begin : begin + entry.compressed_size], entry)


def _content(data: memoryview, entry: EntryPlace) -> bytes:
    if entry.method == STORED:
        content = bytes(data)
    else:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflating.decompress(data, entry.size + 1)  # one more shows that there is more
        except zlib.error as error:
            raise EntryError("corrupt", f"The entry does not inflate: {error}.") from None
        if len(content) == entry.size and not inflating.eof:
            raise EntryError("corrupt", "The entry is incomplete.")
    if len(content) != entry.size:
        raise EntryError("corrupt", f"The entry has not the {entry.size} bytes that it should have.")
    if zlib.crc32(content) != entry.crc:
        raise EntryError("corrupt", "The entry's checksum is wrong.")
    return content


def _check_overlaps(starts: list[NDArray[np.int64]], ends: list[NDArray[np.int64]], limit: int) -> None:
    """Every byte of a sound archive belongs to one entry; those of a bomb to many."""
    if not starts:
        return
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    if (end[-1:] > limit).any():
        raise ArchiveError("truncated", "An entry lies outside the archive.")
    if (end[:-1] > start[1:]).any():
        raise ArchiveError("overlapping", "Entries of the archive share the same bytes.")


def _end_of(tail: bytes) -> int | None:
    """Where the end record begins: the last one whose comment reaches just to the end of the file."""
    place = len(tail)
    while (place := tail.rfind(END_SIGNATURE, 0, place)) >= 0:
        if len(tail) - place >= END.size:
            (comment,) = struct.unpack_from("<H", tail, place + END.size - 2)
            if place + END.size + comment == len(tail):
                return place
    return None
