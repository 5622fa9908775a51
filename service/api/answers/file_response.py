"""An image file that was written to disk, sent from there."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.answers.signatures import signed
from service.images.encode import MEDIA_TYPES, ImageFormat
from service.images.signing import Signer
from service.tile_inference import Drawn

_CHUNK: Final = 256 << 10


def file_response(made: Drawn, image_format: ImageFormat, signer: Signer | None) -> Response:
    """The answer that is one image.

    Args:
        made: The file; it is closed when it has been sent.
        image_format: Its format.
        signer: Signs the file, for which all of it is read; call in a thread then. None for none.

    Returns:
        The response, with `x-pixels-sha256` and `x-image-size`.

    Raises:
        ProblemError: If it cannot be signed.
    """
    file, media_type = made.file, MEDIA_TYPES[image_format]
    headers = {
        "x-pixels-sha256": file.pixels_sha256,
        "x-image-size": f"{made.width}x{made.height}",
        "vary": "accept",
        "cache-control": "no-store",
    }
    if signer is None:
        return _FileResponse(made, media_type, headers)
    with file.file as opened:
        data = signed(opened.read(), media_type, file.recipe, signer)
    return Response(data, media_type=media_type, headers=headers)


class _FileResponse(Response):
    """Sends a file in portions, as fast as the client takes them."""

    def __init__(self, made: Drawn, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(
            None, media_type=media_type, headers={**headers, "content-length": str(made.file.size)}
        )
        self._file = made.file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file.file as file:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            left = self._file.size
            while left > 0:
                # One portion is still in memory, where a thread costs more than it saves.
                chunk = file.read() if left <= _CHUNK else await asyncio.to_thread(file.read, _CHUNK)
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
