"""Pictures with transparency, laid on white and brought to size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.data.archive import Pixels


def on_white(image: Image.Image, side: int) -> Pixels:
    """Lays a picture on white and makes it square.

    Args:
        image: Any mode; what is transparent becomes white.
        side: Height and width of the result; the picture keeps its proportions and is centred.

    Returns:
        UINT8 pixels, [side, side, 3].
    """
    # First onto white, then to size: colours hidden under full transparency would bleed into the edges.
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    flat = Image.alpha_composite(white, rgba).convert("RGB")
    if flat.size != (side, side):
        scale = side / max(flat.size)
        width, height = (max(1, round(length * scale)) for length in flat.size)
        small = flat.resize((width, height), Image.Resampling.LANCZOS)
        flat = Image.new("RGB", (side, side), "white")
        flat.paste(small, ((side - width) // 2, (side - height) // 2))
    return np.asarray(flat)
