"""Writes datasets that are folders of PNG files: paired `A|B` images, and the folders of the unpaired layout.

The third layout, an archive in NVIDIA's form, is written by `training.data.archive`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from training.data.archive import Pixels
from training.errors import GantrainError


class LayoutError(GantrainError):
    """Images cannot be written as they are named or shaped; the message says which and why."""


def write_images(folder: Path, images: Iterable[tuple[str, Pixels]]) -> int:
    """Fills a folder such as `trainA` with PNG files, whole or not at all.

    Args:
        folder: The folder to make; an older one of this name is replaced once the new one is complete.
        images: Names without an ending, each used once, and UINT8 pixels, [H, W, 3].

    Returns:
        How many images were written.

    Raises:
        LayoutError: If a name leads out of the folder or comes twice.
    """
    seen: set[str] = set()
    with atomic_folder(folder) as part:
        for name, pixels in images:
            relative = PurePosixPath(name)
            if not relative.name or relative.is_absolute() or ".." in relative.parts:
                raise LayoutError(f"{name!r} is no name for a file inside {folder}")
            if name in seen:
                raise LayoutError(f"two images of {folder} are called {name}")
            seen.add(name)
            path = part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, "PNG")
    return len(seen)


def write_pairs(folder: Path, pairs: Iterable[tuple[str, Pixels, Pixels]]) -> int:
    """Fills a folder such as `train` with images that show A on the left and B on the right, as in pix2pix.

    Args:
        folder: The folder to make; an older one of this name is replaced once the new one is complete.
        pairs: Names without an ending, A and B: UINT8 pixels of equal shape, [H, W, 3].

    Returns:
        How many pairs were written.

    Raises:
        LayoutError: If A and B of a pair differ in size, or a name leads out of the folder or comes twice.
    """
    return write_images(folder, _side_by_side(pairs))


def _side_by_side(pairs: Iterable[tuple[str, Pixels, Pixels]]) -> Iterator[tuple[str, Pixels]]:
    for name, a, b in pairs:
        if a.shape != b.shape:
            raise LayoutError(f"A and B of {name} differ in size: {a.shape[:2]} and {b.shape[:2]}")
        yield name, np.concatenate([a, b], axis=1)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder whole or not at all.

    Args:
        folder: Where it will be; an older one stays untouched until then.

    Yields:
        An empty folder beside `folder` that takes its place when the block ends without an error.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield part
        part.chmod(0o755)  # mkdtemp makes folders that only their owner reads
        if folder.exists():
            # A folder cannot be renamed over a full one; the old one steps aside under a hidden name.
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            folder.rename(old)
            part.rename(folder)
            shutil.rmtree(old)
        else:
            part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
