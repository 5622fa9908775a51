"""An image that is drawn in tiles, as events: how far it is, and then the file."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from io import BytesIO
from typing import IO, Any, Final

from fastapi import Request

from service.admission import AdmissionQueue
from service.api.answers.signatures import signed
from service.api.calls.streaming import StreamedTask, event
from service.images.encode import MEDIA_TYPES, ImageFormat
from service.images.signing import Signer
from service.operations.work import Task
from service.telemetry.records import record_of
from service.tile_inference import Drawn, Told

_PAUSE_SECONDS: Final = 0.1
_PART_BYTES: Final = 768 << 10  # divisible by three: the parts' Base64 is that of the file, cut


def drawn_in_events(
    request: Request,
    make_task: Callable[[Told], Task[Drawn]],
    image_format: ImageFormat,
    signer: Signer | None,
) -> StreamedTask:
    """Events `progress` while tiles are computed, ten a second at most, then `part`s of the file, and `done`.

    Args:
        request: Of the call.
        make_task: Makes the task, which tells of its tiles.
        image_format: Of the file.
        signer: Signs it, for which all of it is read; None for none.

    Returns:
        For `service.api.calls.streaming.stream`.
    """
    news = _News()
    task = make_task(news.told)

    async def events(queue: AdmissionQueue, deadline: float) -> AsyncGenerator[bytes, None]:
        drawing = asyncio.ensure_future(task.run(queue, deadline))
        drawing.add_done_callback(lambda _: news.there.set())
        try:
            while not drawing.done():
                await news.there.wait()
                news.there.clear()
                if not drawing.done():
                    yield event("progress", {"tiles": news.done, "of": news.of})
                    await asyncio.wait((drawing,), timeout=_PAUSE_SECONDS)
            made = drawing.result()
            record = record_of(request.scope)
            record.queue, record.infer = made.queue_seconds, made.infer_seconds
            data, total = made.file.file, made.file.size
            if signer is not None:
                data, total = await asyncio.to_thread(_signed, made, MEDIA_TYPES[image_format], signer)
            parts = 0
            while part := await asyncio.to_thread(data.read, _PART_BYTES):
                text = b64encode(part).decode("ascii")
                yield event("part", {"index": parts, "bytes": total, "b64_json": text})
                parts += 1
            about = {"width": made.width, "height": made.height, "media_type": MEDIA_TYPES[image_format]}
            about |= {"pixels_sha256": made.file.pixels_sha256, "bytes": total, "parts": parts}
            said = {"model": task.model.name, "model_digest": task.model.digest}
            yield event("done", {**about, **said, "milliseconds": record.milliseconds()})
        finally:
            await _ended(drawing)

    return StreamedTask(task.model, task.units, events)


class _News:
    """The latest of how far it is; what was not told in time is passed over."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.done = 0
        self.of = 0

    def told(self, done: int, of: int) -> None:
        """As `service.tile_inference.Told`."""
        self.done, self.of = done, of
        self.there.set()


def _signed(made: Drawn, media_type: str, signer: Signer) -> tuple[IO[bytes], int]:
    data = signed(made.file.file.read(), media_type, made.file.recipe, signer)
    return BytesIO(data), len(data)


async def _ended(drawing: asyncio.Future[Any]) -> None:
    """Calls it off if it is under way, and gives its file back."""
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    if not drawing.cancelled() and drawing.exception() is None:
        drawing.result().file.file.close()
