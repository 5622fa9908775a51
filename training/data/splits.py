"""Which source images are held out: decided by name, so that neither order nor company matters."""

from __future__ import annotations

import hashlib


def held_out(source: str, every: int) -> bool:
    """Whether a source belongs to the held-out split; about one in `every` does.

    Args:
        source: Name of the source; all images made from one source share it.
        every: The share's denominator.
    """
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") % every == 0
