"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from service.client import generators, images, mixing
from service.client import models as model_calls
from service.client.call import Call, Stream, with_self
from service.client.endpoint import DEFAULT_URL, endpoint_of
from service.client.errors import broken
from service.client.events import EventReader
from service.client.retrying import Attempts

P = ParamSpec("P")
Result = TypeVar("Result")
Item = TypeVar("Item")


def _answered(
    build: Callable[P, Call[Result]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Result]]:
    @wraps(build)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self.send(build(*args, **kwargs))

    method.__signature__ = with_self(build)  # type: ignore[attr-defined]  # what `inspect` looks for
    return method


def _streamed(
    build: Callable[P, Stream[Item]],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[Item, None]]:
    @wraps(build)
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Item, None]:
        return self.stream(build(*args, **kwargs))

    method.__signature__ = with_self(build)  # type: ignore[attr-defined]  # what `inspect` looks for
    return method


class AsyncClient:
    """A connection to one ganserve, for any number of calls at a time; an asynchronous context manager.

    Its calls are those of `Client`, awaited; `interpolate_frames` is an asynchronous iterator; stop that
    early with `aclose()` (or `contextlib.aclosing`), so that the server stops at once too.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = 60,
        retry_seconds: float = 30,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            url: Where the gateway listens.
            key: API key, where one is needed; GANSERVE_API_KEY if left out.
            timeout: Longest wait for any one answer, in seconds; longer for calls with a longer `wait`.
            retry_seconds: Longest time spent on waiting to repeat one call; 0 never repeats.
            transport: Another way to send requests, as httpx has them.

        Raises:
            ValueError: The URL or the key cannot be one.
        """
        endpoint = endpoint_of(url, key)
        self.url = endpoint.url
        self._retry_seconds = retry_seconds
        self._has_answered = False
        self._http = httpx.AsyncClient(
            base_url=endpoint.url, headers=endpoint.headers, timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    models = _answered(model_calls.models)
    model = _answered(model_calls.model)
    load = _answered(model_calls.load)
    unload = _answered(model_calls.unload)
    generate = _answered(generators.generate)
    sheet = _answered(generators.sheet)
    image = _answered(generators.image)
    interpolate = _answered(mixing.interpolate)
    interpolate_frames = _streamed(mixing.interpolate_frames)
    style_mix = _answered(mixing.style_mix)
    style_mix_images = _answered(mixing.style_mix_images)
    latents = _answered(mixing.latents)
    translate = _answered(images.translate)
    upscale = _answered(images.upscale)
    verify = _answered(images.verify)

    async def send(self, call: Call[Result]) -> Result:
        """Carry out a call.

        Args:
            call: What is sent.

        Returns:
            What its answer holds.

        Raises:
            ClientError: There was no answer, or none that was asked for.
        """
        return call.result(await self._answer(call, stream=False))

    async def stream(self, stream: Stream[Item]) -> AsyncGenerator[Item, None]:
        """Carry out a call whose answer is read as it arrives.

        Args:
            stream: What is sent.

        Yields:
            Its items.

        Raises:
            ClientError: There was no answer, or none that was asked for.
        """
        answer = await self._answer(stream.call, stream=True)
        reader = EventReader(stream, self.url, answer.headers.get("x-model-digest", ""))
        try:
            async for chunk in answer.aiter_bytes():
                for item in reader.feed(chunk):
                    yield item
        except httpx.RequestError as error:
            raise broken(self.url, error) from error
        finally:
            await answer.aclose()
        reader.finish()

    async def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        image = await asyncio.to_thread(call.load)
        attempts = Attempts(self.url, self._retry_seconds, repeatable=call.repeatable)
        while True:
            try:
                answer = await self._http.send(call.request(self._http, image), stream=stream)
                if not answer.is_success:
                    await answer.aread()
            except httpx.RequestError as error:
                pause = attempts.after_error(error, answered_before=self._has_answered)
            else:
                self._has_answered = True
                if answer.is_success:
                    return answer
                pause = attempts.after_answer(answer)
            await asyncio.sleep(pause)
