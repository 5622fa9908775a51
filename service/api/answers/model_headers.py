"""What every image answer says of the model that made it."""

from __future__ import annotations

import re
from typing import Final

from service.cards import ServedModel

# What may stand between the angle brackets of a Link header as it is (RFC 8288, section 3).
_WEB_ADDRESS: Final = re.compile(r"https?://[\x21\x23-\x3b\x3d\x3f-\x7e]{1,1000}")


def headers_of(model: ServedModel) -> dict[str, str]:
    """Name, digest, and where the licence of the weights stands if the card knows that.

    Args:
        model: What made the image.

    Returns:
        Headers by name.
    """
    headers = {"x-model": model.name, "x-model-digest": model.digest}
    url = model.card.get("licence_url")
    if isinstance(url, str) and _WEB_ADDRESS.fullmatch(url):
        headers["link"] = f'<{url}>; rel="license"'
    return headers
