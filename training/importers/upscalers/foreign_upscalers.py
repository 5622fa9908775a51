"""Upscalers that have no network here: told apart by their keys, to be refused by name."""

from __future__ import annotations

import re

from training.importers.base import Recognised, StoredFile, UnsupportedWeightsError, WeightFormat
from training.importers.state_dicts import parts_of, state_dict_of
from training.importers.upscalers.upscaler_weights import PARTS

_NEAREST_LARGE = "Real-ESRGAN's RRDB networks, such as RealESRGAN_x4plus.pth"
_NEAREST_SMALL = "Real-ESRGAN's compact networks, such as realesr-general-x4v3.pth"

KNOWN: tuple[tuple[str, str, str], ...] = (
    ("HAT", r"\.(conv_block\.cab|overlap_attn)\.", _NEAREST_LARGE),
    ("DAT", r"^layers\.\d+\.blocks\.\d+\.attn\.(attns\.|channel_interaction)", _NEAREST_LARGE),
    ("SRFormer", r"\.aligned_relative_position_index$", _NEAREST_LARGE),
    ("Swin2SR", r"^layers\.\d+\.residual_group\.blocks\.\d+\.attn\.(logit_scale|cpb_mlp)", _NEAREST_LARGE),
    ("SwinIR", r"^layers\.\d+\.residual_group\.blocks\.\d+\.attn\.", _NEAREST_LARGE),
    ("OmniSR", r"^residual_layer\.\d+\.residual_layer\.", _NEAREST_LARGE),
    ("RCAN or SAN", r"\.(conv_du\.\d+|soca\.)", _NEAREST_LARGE),
    ("EDSR", r"^(conv_after_body|body\.\d+\.body\.\d+)\.(weight|bias)$", "BasicSR's MSRResNet"),
    ("SRResNet of the first ESRGAN repository", r"^model\.1\.sub\.\d+\.res\.\d+\.", "BasicSR's MSRResNet"),
    ("SPAN", r"^block_1\.c1_r\.(sk|conv)", _NEAREST_SMALL),
    ("Real-CUGAN", r"^unet1\.conv1\.conv\.\d+\.", _NEAREST_SMALL),
    ("BasicVSR", r"^spynet\.basic_module\.", _NEAREST_SMALL),
    ("EDVR", r"^pcd_align\.", _NEAREST_SMALL),
    ("GFPGAN", r"^stylegan_decoder\.", _NEAREST_LARGE),
    ("Real-ESRGAN discriminator", r"^conv1\.weight_orig$", "the generator that was trained with it"),
)
"""What it is, a pattern that only its keys match, and what comes nearest among what can be imported."""


class ForeignUpscalers(WeightFormat):
    """Imports nothing; says what a file is that the formats before it do not know."""

    name = "foreign-upscaler"
    title = "upscalers that cannot be imported"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """None, or an error that names the architecture.

        Raises:
            UnsupportedWeightsError: If the keys are those of a known upscaler.
        """
        found = state_dict_of(stored, (*PARTS, *parts_of(stored)), part)
        for key in () if found is None else found[1]:
            for title, pattern, nearest in KNOWN:
                if re.search(pattern, key):
                    raise UnsupportedWeightsError(
                        f"{stored.path} is of {title} ({key!r}), which has no network here; what comes "
                        f"nearest: {nearest}"
                    )
        return None
