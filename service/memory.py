"""The C library's allocator, told what this process does: megabytes come and go with every image."""

from __future__ import annotations

import contextlib
import ctypes

# From glibc's malloc.h. Images up to 32 MiB come from the heap (no larger threshold is accepted), and
# up to 256 MiB of what was freed stay there.
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 256 << 20
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 32 << 20


def keep_freed_memory() -> bool:
    """Has malloc keep pages it would give back to the kernel, only to fault them in again for the next image.

    For a 1024² image those page faults cost two thirds of the CPU time of receiving it from Triton.

    Returns:
        False where the C library has no `mallopt`, or takes no such advice.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) and mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))
    return False
