"""A zip archive made while it is sent: files as they are, their checksums after them, any number of them.

Libraries for this keep a record of every entry in memory until the end, and some each file too. Here only the
central directory is kept, of about 100 bytes an entry, and beyond a megabyte on disk. PKWARE's APPNOTE 6.3.10
names the fields.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Final

_DESCRIPTOR: Final = struct.Struct("<IIQQ")
_CENTRAL_EXTRA: Final = struct.Struct("<HHQQQ")
_LOCAL_EXTRA: Final = struct.Struct("<HHQQ")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_END: Final = struct.Struct("<IHHHHIIH")

_VERSION: Final = 45  # the first with 64-bit sizes
_UNIX: Final = 3 << 8
_FLAGS: Final = 0x0808  # sizes and checksum follow the data; names are UTF-8
_STORED: Final = 0
_MODE: Final = 0o100644 << 16
_LONGEST_NAME: Final = 0xFFFF
_IN_16_BITS: Final = 0xFFFF
_IN_32_BITS: Final = 0xFFFFFFFF
_KEPT_IN_MEMORY: Final = 1 << 20
_COPIED_AT_ONCE: Final = 256 << 10


class ZipStream:
    """Makes the bytes of an archive, in order; whoever calls it sends them. Entries are not compressed.

    Every entry has 64-bit sizes, as its size need not be known when it begins. Close it in the end.
    """

    def __init__(self) -> None:
        """An empty archive."""
        # Closed by `close`; a with statement would not span the calls that make the archive.
        self._directory = SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115
        self._entries = 0
        self._offset = 0
        self._name: bytes | None = None
        self._head = b""
        self._began = 0
        self._size = 0
        self._crc = 0

    def close(self) -> None:
        """Gives up what is kept of the directory."""
        self._directory.close()

    def begin(self, name: str, modified: float) -> bytes:
        """Begins an entry.

        Args:
            name: With slashes between folders.
            modified: Seconds since 1970; zip has years from 1980 to 2107, and even seconds.

        Returns:
            What comes next in the archive.

        Raises:
            ValueError: The name is empty or too long, or the entry before has not ended.
        """
        encoded = name.encode()
        if self._name is not None or not 1 <= len(encoded) <= _LONGEST_NAME:
            raise ValueError("an entry is under way, or this is no name for one")
        year, month, day, hour, minute, second = time.gmtime(modified)[:6]
        date = (min(max(year, 1980), 2107) - 1980) << 9 | month << 5 | day
        clock = hour << 11 | minute << 5 | second // 2
        self._name = encoded
        self._head = struct.pack("<HHHHH", _VERSION, _FLAGS, _STORED, clock, date)
        self._began, self._size, self._crc = self._offset, 0, 0
        extra = _LOCAL_EXTRA.pack(1, 16, 0, 0)
        head = struct.pack("<I", 0x04034B50) + self._head
        head += struct.pack("<IIIHH", 0, _IN_32_BITS, _IN_32_BITS, len(encoded), len(extra))
        return self._sent(head + encoded + extra)

    def data(self, chunk: bytes) -> bytes:
        """Goes on with the entry; about a millisecond of work for a megabyte.

        Args:
            chunk: Of the file.

        Returns:
            What comes next in the archive: the same.
        """
        self._crc = zlib.crc32(chunk, self._crc)
        self._size += len(chunk)
        return self._sent(chunk)

    def end(self) -> bytes:
        """Ends the entry.

        Returns:
            What comes next in the archive.

        Raises:
            ValueError: None has begun.
        """
        if self._name is None:
            raise ValueError("no entry is under way")
        extra = _CENTRAL_EXTRA.pack(1, 24, self._size, self._size, self._began)
        self._directory.write(
            struct.pack("<IH", 0x02014B50, _UNIX | _VERSION)
            + self._head
            + struct.pack("<III", self._crc, _IN_32_BITS, _IN_32_BITS)
            + struct.pack("<HHHHHII", len(self._name), len(extra), 0, 0, 0, _MODE, _IN_32_BITS)
            + self._name
            + extra
        )
        self._entries += 1
        self._name = None
        return self._sent(_DESCRIPTOR.pack(0x08074B50, self._crc, self._size, self._size))

    def finish(self) -> Iterator[bytes]:
        """Ends the archive.

        Yields:
            The rest of it: the directory and where it is.

        Raises:
            ValueError: An entry has not ended.
        """
        if self._name is not None:
            raise ValueError("an entry is under way")
        began = self._offset
        size = self._directory.tell()
        self._directory.seek(0)
        while chunk := self._directory.read(_COPIED_AT_ONCE):
            yield self._sent(chunk)
        entries = self._entries
        end = self._offset
        yield (
            _END_64.pack(0x06064B50, 44, _UNIX | _VERSION, _VERSION, 0, 0, entries, entries, size, began)
            + _LOCATOR_64.pack(0x07064B50, 0, end, 1)
            + _END.pack(
                0x06054B50,
                0,
                0,
                min(entries, _IN_16_BITS),
                min(entries, _IN_16_BITS),
                min(size, _IN_32_BITS),
                min(began, _IN_32_BITS),
                0,
            )
        )

    def _sent(self, data: bytes) -> bytes:
        self._offset += len(data)
        return data
