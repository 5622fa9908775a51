"""The photographs that super-resolution is measured on, which no recipe trains on."""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterator
from pathlib import PurePosixPath

from training.data.photo_sources import Photo
from training.data.recipe import RecipeError

BENCHMARK = {
    "astronaut.png": (
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "LicenseRef-public-domain",
        "NASA",
    ),
    "chelsea.png": (
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "CC0-1.0",
        "Stéfan van der Walt",
    ),
    "coffee.png": (
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "CC0-1.0",
        "Rachel Michetti",
    ),
    "rocket.jpg": (
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "LicenseRef-public-domain",
        "SpaceX",
    ),
}
"""Colour photographs that scikit-image installs: digest, licence and author of each file."""


def benchmark_photos() -> Iterator[Photo]:
    """Reads the photographs out of the installed scikit-image.

    Yields:
        Photographs named by their file without its ending.

    Raises:
        RecipeError: If scikit-image is not installed, or has other files.
    """
    try:
        folder = importlib.resources.files("skimage.data")
    except ModuleNotFoundError as error:
        raise RecipeError("the benchmark's photographs come with scikit-image: install that") from error
    for name, (sha256, licence, attribution) in BENCHMARK.items():
        file = folder / name
        data = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RecipeError(f"{file} is not the photograph that scikit-image 0.26 has: install that")
        yield Photo(PurePosixPath(name).stem, data, licence, attribution)
