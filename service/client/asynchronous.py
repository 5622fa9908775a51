"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from service.client import generators, images, mixing
from service.client import jobs as job_calls
from service.client import models as model_calls
from service.client.call import Call, Download, Follow, Pages, Poll, Stream, with_self
from service.client.endpoint import DEFAULT_URL, endpoint_of
from service.client.errors import broken
from service.client.events import EventReader, Follower
from service.client.job_results import SavedFile
from service.client.retrying import Attempts
from service.files import writing_atomically

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


def _paged(
    build: Callable[P, Pages[Item]],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[Item, None]]:
    @wraps(build)
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Item, None]:
        return self.pages(build(*args, **kwargs))

    method.__signature__ = with_self(build)  # type: ignore[attr-defined]  # what `inspect` looks for
    return method


def _followed(
    build: Callable[P, Follow[Item]],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[Item, None]]:
    @wraps(build)
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Item, None]:
        return self.follow(build(*args, **kwargs))

    method.__signature__ = with_self(build)  # type: ignore[attr-defined]  # what `inspect` looks for
    return method


def _saved(
    build: Callable[P, Download],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, SavedFile]]:
    @wraps(build)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> SavedFile:
        return await self.save(build(*args, **kwargs))

    method.__signature__ = with_self(build)  # type: ignore[attr-defined]  # what `inspect` looks for
    return method


def _awaited(
    build: Callable[P, Poll[Result]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Result]]:
    @wraps(build)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self.poll(build(*args, **kwargs))

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
            timeout: Longest wait for any one answer, in seconds; longer for calls with a longer `wait`,
                and 10 minutes for those with an image and no `wait`, since the server gives large ones time.
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
    create_job = _answered(job_calls.create_job)
    job = _answered(job_calls.job)
    jobs = _paged(job_calls.jobs)
    job_items = _paged(job_calls.job_items)
    job_item = _answered(job_calls.job_item)
    job_output = _saved(job_calls.job_output)
    job_archive = _saved(job_calls.job_archive)
    job_events = _followed(job_calls.job_events)
    wait_for_job = _awaited(job_calls.wait_for_job)
    cancel_job = _answered(job_calls.cancel_job)
    retry_job = _answered(job_calls.retry_job)
    delete_job = _answered(job_calls.delete_job)

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

    async def pages(self, pages: Pages[Item]) -> AsyncGenerator[Item, None]:
        """Carry out the calls for a list, each page when it is wanted.

        Args:
            pages: What is sent.

        Yields:
            Its items.

        Raises:
            ClientError: There was no answer, or none that was asked for.
        """
        cursor: str | None = None
        while True:
            page = await self.send(pages.call(cursor))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def follow(self, follow: Follow[Item]) -> AsyncGenerator[Item, None]:
        """Follow events to their end; a connection that breaks is made anew.

        Args:
            follow: What is sent.

        Yields:
            Its items.

        Raises:
            ClientError: There was no answer for too long, or none that was asked for.
        """
        follower = Follower(follow, self.url)
        attempts = Attempts(self.url, self._retry_seconds, repeatable=True)
        while True:
            answer = await self._answer(follow.call(follower.last_id), stream=True)
            follower.reconnected()
            try:
                async for chunk in answer.aiter_bytes():
                    for item in follower.feed(chunk):
                        yield item
                    attempts = Attempts(self.url, self._retry_seconds, repeatable=True)
                    if follower.ended:
                        return
            except httpx.RequestError:
                pass
            finally:
                await answer.aclose()
            await asyncio.sleep(attempts.after_break())

    async def save(self, download: Download) -> SavedFile:
        """Carry out a call whose answer becomes a file: whole, or not at all.

        Args:
            download: What is sent.

        Returns:
            Where it is.

        Raises:
            ClientError: There was no answer, or none that was asked for.
            OSError: The file cannot be written.
        """
        attempts = Attempts(self.url, self._retry_seconds, repeatable=True)
        while True:
            answer = await self._answer(download.call, stream=True)
            try:
                size = 0
                with writing_atomically(download.path, staging=download.staging) as file:
                    async for block in answer.aiter_bytes():
                        await asyncio.to_thread(file.write, block)
                        size += len(block)
                return SavedFile(download.path, size, answer.headers.get("content-type", ""))
            except httpx.RequestError as error:
                pause = attempts.after_error(error, answered_before=True)
            finally:
                await answer.aclose()
            await asyncio.sleep(pause)

    async def poll(self, poll: Poll[Result]) -> Result:
        """Make a call again and again, until its result is the one that is waited for.

        Args:
            poll: What is sent.

        Returns:
            That result.

        Raises:
            ClientError: There was no answer, or none that was asked for.
            TimeoutError: It took longer than was to be waited.
        """
        pauses = poll.pauses()
        while True:
            result = await self.send(poll.call)
            if poll.reached(result):
                return result
            await asyncio.sleep(next(pauses))

    async def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        loaded = await asyncio.to_thread(call.load)
        attempts = Attempts(self.url, self._retry_seconds, repeatable=call.repeatable)
        while True:
            try:
                answer = await self._http.send(call.request(self._http, loaded), stream=stream)
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
