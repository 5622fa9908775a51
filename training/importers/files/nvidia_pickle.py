"""Plain pickles, as NVIDIA's StyleGAN writes: modules with their source code in text, which stays text."""

from __future__ import annotations

import io
from typing import Any

from training.importers.base import UnreadableWeightsError
from training.importers.files.inert import Known, bytes_of
from training.importers.files.pickle_names import NAMES
from training.importers.files.safe_pickle import Budget, PickleReader
from training.importers.files.stored_tensors import Storage
from training.importers.files.torch_file import read_archive, read_row
from training.importers.files.window import Window

STORAGE_STEPS = 100
"""What opening a file inside the pickle costs beside its own steps."""
_ARCHIVE = b"PK\x03\x04"


def read_pickle(window: Window, budget: Budget) -> Any:
    """A file that is one pickle.

    Args:
        window: The file.
        budget: What reading may cost.

    Returns:
        What it holds, as `PickleReader.read` says.

    Raises:
        UnreadableWeightsError: If it is damaged or hostile.
        UnsupportedWeightsError: If it is of TensorFlow's StyleGAN.
    """

    def storage(content: object) -> Storage:
        """The numbers of one storage: a file of `torch.save` inside the pickle, which has no further ones."""
        budget.steps -= STORAGE_STEPS
        budget.check()
        inside = _window(content)
        read = read_archive if inside.read(0, min(4, inside.size)) == _ARCHIVE else read_row
        found = read(inside, budget)
        if not isinstance(found, Storage):
            raise UnreadableWeightsError("has a storage that is none")
        return found

    names = {**NAMES, "torch.storage._load_from_bytes": Known("torch.storage._load_from_bytes", storage)}
    reader = PickleReader(window, names, budget)
    content = reader.read()
    if reader.at != window.size:
        raise UnreadableWeightsError("has something behind the end of its pickle")
    return content


def _window(content: object) -> Window:
    value = bytes_of(content)
    return value if isinstance(value, Window) else Window(io.BytesIO(value), 0, len(value))
