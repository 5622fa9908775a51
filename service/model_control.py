"""Loading, reloading and unloading models while calls go on, by Triton's explicit model control."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from service.catalog import Catalog, TritonAwayError, UnknownModelError
from service.triton import Triton, TritonChangedError, TritonLoadError

_ASK_TIMEOUT: Final = 5.0

log = structlog.get_logger(__name__)


class LoadError(Exception):
    """The model cannot be loaded, or does not make the pixels its card says; the text says why."""


class ModelControl:
    """Has Triton load and unload models, one change of a model at a time."""

    def __init__(
        self,
        triton: Triton,
        catalog: Catalog,
        drained: Callable[[str], Awaitable[object]],
        timeout: float,
        drain: float,
    ) -> None:
        """Nothing happens yet.

        Args:
            triton: Who loads.
            catalog: Told what changes.
            drained: Returns when a model has no work in flight.
            timeout: Of Triton, in seconds.
            drain: Seconds that calls in flight have at most before their model is unloaded.
        """
        self._triton = triton
        self._catalog = catalog
        self._drained = drained
        self._timeout = timeout
        self._drain = drain
        self._locks: dict[str, asyncio.Lock] = {}

    async def load(self, name: str) -> dict[str, Any]:
        """Loads a model, or loads it anew; calls go on meanwhile with what is loaded.

        Args:
            name: Public name.

        Returns:
            The model's card, once it takes traffic.

        Raises:
            LoadError: If it cannot be loaded, or does not pass the gate.
            UnknownModelError: If Triton's repository has no such model.
            TritonAwayError: If Triton does not answer.
        """
        parts = await self._parts(name)
        async with self._lock_of(name):
            with self._catalog.loading(name):
                if self._catalog.is_failing(name):
                    # Triton would leave files that have not changed as they are, and a dead process too.
                    unloads = (self._triton.unload(part, self._timeout) for part in parts)
                    await asyncio.gather(*unloads, return_exceptions=True)
                results = await asyncio.gather(
                    *(self._triton.load(part, self._timeout) for part in parts), return_exceptions=True
                )
                verdict = await self._catalog.judge(name)
            for result in results:
                if isinstance(result, TritonLoadError):
                    log.warning("model was not loaded", model=name, reason=str(result))
                    raise LoadError(str(result))
                if isinstance(result, TritonChangedError):
                    raise TritonAwayError(str(result))
                if isinstance(result, BaseException):
                    raise result
            if verdict is None:
                self._catalog.card(name)  # says what is the matter, if it is known
                raise LoadError("Triton has loaded the model and does not serve it.")
            if verdict.state != "READY":
                raise LoadError(verdict.reason)
            return self._catalog.card(name)

    async def unload(self, name: str) -> None:
        """Unloads a model: new calls are refused at once, those in flight finish first.

        Args:
            name: Public name.

        Raises:
            LoadError: If Triton refuses.
            UnknownModelError: If the model is not loaded.
            TritonAwayError: If Triton does not answer.
        """
        self._catalog.card(name)
        async with self._lock_of(name):
            self._catalog.card(name)  # raises unless it is there
            parts = self._catalog.triton_names(name)
            with self._catalog.unloading(name):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._drained(name), self._drain)
                try:
                    for part in parts:
                        await self._triton.unload(part, self._timeout)
                except TritonLoadError as error:
                    raise LoadError(str(error)) from error
                except TritonChangedError as error:
                    raise TritonAwayError(str(error)) from error
                finally:
                    await self._catalog.refresh()

    async def _parts(self, name: str) -> tuple[str, ...]:
        """The Triton models behind a public name, loaded or not."""
        try:
            there = await self._triton.repository(_ASK_TIMEOUT)
        except TritonChangedError as error:
            raise TritonAwayError(str(error)) from error
        halves = (f"{name}-mapping", f"{name}-synthesis")  # as an export names them
        for parts in (self._catalog.triton_names(name), halves, (name,)):
            if parts and there.issuperset(parts):
                return parts
        raise UnknownModelError(name)

    def _lock_of(self, name: str) -> asyncio.Lock:
        """One for each name in the repository, so there are few."""
        return self._locks.setdefault(name, asyncio.Lock())
