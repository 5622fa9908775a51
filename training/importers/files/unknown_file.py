"""What a file is that is none of weights, as far as its first bytes tell."""

from __future__ import annotations

from training.errors import GantrainError
from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError

_LINK_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "is a file of HDF5, as Keras writes: convert it to PyTorch where it came from"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it, and import what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it, and import what is in it"),
    (b"Rar!", "is a RAR archive: unpack it, and import what is in it"),
    (b"BZh", "is compressed by bzip2: unpack it, and import what is in it"),
    (b"\xfd7zXZ", "is compressed by xz: unpack it, and import what is in it"),
    (b"\x89PNG", "is a picture, not weights"),
    (b"\xff\xd8\xff", "is a picture, not weights"),
    (b"\x93NUMPY", "is an array of NumPy: a state_dict of torch.save is needed"),
    (b"GGUF", "is a file of GGUF, which holds no GAN that is known"),
)  # fmt: skip


def unknown_file(head: bytes) -> GantrainError:
    """The error for a file whose beginning is of no container.

    Args:
        head: Its first bytes.

    Returns:
        What to raise, which says what the file is, if that can be seen, and what to do.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return UnreadableWeightsError(
            "is a pointer of Git LFS, not the weights themselves: run `git lfs pull`, or download the file"
        )
    if start.startswith(_LINK_PAGES):
        return UnreadableWeightsError(
            "is a web page, not weights: the download asked for a login or a confirmation; use a browser"
        )
    for mark, message in _FOREIGN:
        if head.startswith(mark):
            return UnsupportedWeightsError(message)
    if not any(head):
        return UnreadableWeightsError("begins with zeros alone: it was not downloaded whole; fetch it again")
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return UnreadableWeightsError("is text, not weights")
    return UnreadableWeightsError(
        "is no file of weights that is known: those of torch.save, NVIDIA's .pkl, safetensors and ncnn are"
    )
