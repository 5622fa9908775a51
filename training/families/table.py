"""The families there are, by the name that configurations call them."""

from __future__ import annotations

from typing import Any

from training.families.base import Family
from training.families.cyclegan import CycleGAN
from training.families.dcgan import DCGAN
from training.families.pix2pix import Pix2Pix
from training.families.srgan import SRGAN
from training.families.stylegan import StyleGAN2

FAMILIES: dict[str, type[Family[Any]]] = {
    "stylegan2": StyleGAN2,
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "srgan": SRGAN,
    "dcgan": DCGAN,
}
