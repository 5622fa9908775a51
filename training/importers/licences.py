"""The terms of weights: of well-known files by their digest, of others as the user says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from training.errors import GantrainError

_REAL_ESRGAN: Final = "https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE"
_NVIDIA_STYLEGAN2: Final = "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html"
_NVIDIA_STYLEGAN3: Final = "https://github.com/NVlabs/stylegan3/blob/main/LICENSE.txt"

_COMMERCIAL: Final = frozenset(
    {
        "0BSD",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ISC",
        "MIT",
        "Unlicense",
    }
)
"""SPDX identifiers of terms that allow commercial use, whatever else they ask."""

_NON_COMMERCIAL: Final = re.compile(r"\b(NC|non-?commercial)\b", re.IGNORECASE)


class LicenceError(GantrainError):
    """Nobody said what the terms of weights are, and they are not well known."""


@dataclass(frozen=True)
class Licence:
    """Under what terms weights may be used.

    Attributes:
        name: SPDX identifier, or the name of the terms.
        url: Where they are to be read, if known.
        commercial_use: Whether they allow commercial use; None if that is not known.
        file: What the well-known file is called, if the terms were found by its digest.
    """

    name: str
    url: str | None = None
    commercial_use: bool | None = None
    file: str | None = None

    def card(self) -> dict[str, str | bool | None]:
        """Its lines of the model card."""
        return {"licence": self.name, "licence_url": self.url, "commercial_use": self.commercial_use}

    def text(self) -> str:
        """In a few words."""
        uses = {True: "commercial use allowed", False: "no commercial use", None: "commercial use unknown"}
        return f"{self.name} ({uses[self.commercial_use]})" + (f", {self.url}" if self.url else "")


_REAL_ESRGAN_FILES: Final = {
    "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1": "RealESRGAN_x4plus.pth",
    "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb": "RealESRGAN_x2plus.pth",
    "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da": "RealESRGAN_x4plus_anime_6B.pth",
    "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292": "realesr-general-x4v3.pth",
    "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca": "realesr-general-wdn-x4v3.pth",
    "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d": "realesr-animevideov3.pth",
    # The `.bin` of those that come with ncnn's build of it.
    "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf": "realesrgan-x4plus.bin",
    "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc": "realesrgan-x4plus-anime.bin",
    "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d": "realesr-animevideov3-x*.bin",
}
_NVIDIA_FILES: Final = {
    "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c": ("ffhq.pkl", _NVIDIA_STYLEGAN2),
    "efd9fa1f967a11b5390399a8ed512dc32e341c245fa2d4dafa6d94e96222085b": (
        "stylegan3-t-ffhq-1024x1024.pkl",
        _NVIDIA_STYLEGAN3,
    ),
}

WELL_KNOWN: Final[dict[str, Licence]] = {
    digest: Licence("BSD-3-Clause", _REAL_ESRGAN, True, file) for digest, file in _REAL_ESRGAN_FILES.items()
} | {
    # For research and evaluation only.
    digest: Licence("LicenseRef-NVIDIA-Source-Code", url, False, file)
    for digest, (file, url) in _NVIDIA_FILES.items()
}
"""Terms of published files by sha256; of an ncnn pair, that of the `.bin`."""


def given(name: str, url: str | None = None, commercial_use: bool | None = None) -> Licence:
    """Terms that the user names.

    Args:
        name: SPDX identifier, or whatever they are called.
        url: Where they are to be read.
        commercial_use: What they say of it; None takes it from an identifier that is known.

    Returns:
        The terms.

    Raises:
        LicenceError: If the name is empty.
    """
    name = name.strip()
    if not name:
        raise LicenceError("a licence needs a name; an SPDX identifier is best, such as MIT or CC-BY-NC-4.0")
    if commercial_use is None:
        if _NON_COMMERCIAL.search(name):
            commercial_use = False
        elif name in _COMMERCIAL:
            commercial_use = True
    return Licence(name, url, commercial_use)
