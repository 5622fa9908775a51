"""Reads a file of weights, whatever it is, without executing anything in it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from training.errors import GantrainError
from training.importers.base import Container, StoredFile, UnreadableWeightsError
from training.importers.files.ncnn_file import MAGIC as NCNN_MAGIC
from training.importers.files.ncnn_file import read_ncnn
from training.importers.files.nvidia_pickle import read_pickle
from training.importers.files.safe_pickle import Budget
from training.importers.files.safetensors_file import looks_like_safetensors, read_safetensors
from training.importers.files.stored_content import settle
from training.importers.files.torch_file import MAGIC, read_archive, read_row
from training.importers.files.torch_tar import looks_like_tar, read_tar
from training.importers.files.unknown_file import unknown_file
from training.importers.files.window import Window

MAX_BYTES = 8 * 2**30
"""Of a file; the largest published checkpoints of these networks are a quarter of it."""

_CHUNK = 2**20
_ROW = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."


def read_weights(path: Path) -> StoredFile:
    """Reads a file of weights.

    What it is, is seen from its first bytes. Nothing in it is executed, imported or looked up, and the memory
    that it takes is at most a small multiple of its size.

    Args:
        path: Of torch.save, NVIDIA's StyleGAN or safetensors; or either file of an ncnn pair.

    Returns:
        What it holds.

    Raises:
        UnreadableWeightsError: If it is broken, hostile, or no file of weights.
        UnsupportedWeightsError: If it is known, but cannot be imported.
    """
    try:
        with open_regular(path) as file:
            before = os.fstat(file.fileno())
            size = before.st_size
            window = Window(file, 0, size)
            head = window.read(0, min(window.size, 512))
            if _is_ncnn(path, head):
                return _read_pair(path)
            if looks_like_safetensors(head, size):
                tensors, metadata = read_safetensors(window)
                return StoredFile(path, _digest(file, before), size, "safetensors", tensors, metadata)
            container, read = _pickled(head, window.read(size - 1, 1))
            content = settle(read(window, Budget()), size)
            return StoredFile(path, _digest(file, before), size, container, content)
    except GantrainError as error:
        raise type(error)(f"{path} {error}") from error
    except OSError as error:
        raise UnreadableWeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (MemoryError, RecursionError) as error:
        raise UnreadableWeightsError(
            f"{path} takes more memory than there is; nothing in it was executed"
        ) from error


def open_regular(path: Path) -> BinaryIO:
    """Opens a file that is one: no link, no device, no pipe, and of a size that can be held.

    Raises:
        UnreadableWeightsError: If it is something else.
        OSError: If it cannot be opened.
    """
    if path.is_symlink():
        raise UnreadableWeightsError(f"is a symbolic link: name the file itself, {path.readlink()}")
    # Not blocking, as opening a pipe would wait for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableWeightsError("is a directory: name a file of weights in it")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableWeightsError("is no regular file")
        if status.st_size == 0:
            raise UnreadableWeightsError("is empty: fetch it again")
        most = min(MAX_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
        if status.st_size > most:
            raise UnreadableWeightsError(f"has {status.st_size:,} bytes; here at most {most:,} are read")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _pickled(head: bytes, last: bytes) -> tuple[Container, Callable[[Window, Budget], Any]]:
    """What a file that begins and ends so is, and what reads it."""
    if head.startswith(b"PK\x03\x04"):
        return "torch", read_archive
    if head.startswith(_ROW):
        return "torch-legacy", read_row
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "nvidia-pickle", read_pickle
    if head[:1] in (b"(", b"c", b"]", b"}") and last == b".":  # Of protocol 0, which has no mark.
        return "nvidia-pickle", read_pickle
    if looks_like_tar(head):
        return "torch-legacy", read_tar
    raise unknown_file(head)


def _is_ncnn(path: Path, head: bytes) -> bool:
    """Whether a file is one of a pair of ncnn; a `.bin` has no mark of its own, so its `.param` tells."""
    if head.startswith(NCNN_MAGIC):
        return True
    if path.suffix != ".bin" or head.startswith((b"PK", b"\x80")):
        return False
    text = path.with_suffix(".param")
    if not text.exists():
        return False
    with open_regular(text) as file:
        return file.read(len(NCNN_MAGIC)) == NCNN_MAGIC


def _read_pair(path: Path) -> StoredFile:
    """Reads the files of an ncnn network, whichever of them was named."""
    text, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    if path not in (text, weights):
        raise UnreadableWeightsError("is a network of ncnn: give it the ending .param, and its weights .bin")
    for other in (text, weights):
        if not other.exists():
            raise UnreadableWeightsError(f"is half of a network of ncnn: {other} is missing")
    with open_regular(text) as first, open_regular(weights) as second:
        before = os.fstat(second.fileno())
        size = before.st_size
        window = Window(second, 0, size)
        content = read_ncnn(Window(first, 0, os.fstat(first.fileno()).st_size), window)
        return StoredFile(path, _digest(second, before), size, "ncnn", content)


def _digest(file: BinaryIO, before: os.stat_result) -> str:
    """Sha256 of a file that was read, in hexadecimal.

    Raises:
        UnreadableWeightsError: If it was written to since: the digest would be of other weights.
    """
    window, digest = Window(file, 0, before.st_size), hashlib.sha256()
    for at in range(0, window.size, _CHUNK):
        digest.update(window.read(at, min(_CHUNK, window.size - at)))
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UnreadableWeightsError("was written to while it was read: try again when it is complete")
    return digest.hexdigest()
