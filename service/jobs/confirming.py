"""Whose weights an answer was made with: asked of Triton after the answer, once for all that ended before."""

from __future__ import annotations

import asyncio
from typing import Final

from service.cards import ServedModel
from service.catalog import Catalog
from service.triton import TritonChangedError

_MOST_REMEMBERED: Final = 64


class Confirming:
    """Questions about one catalog's models, shared by items that end at about the same time.

    A question asked after an answer was there tells whether the weights were still those that the answer is
    named after. So whoever waits for a question that began after it came needs none of its own.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._asked = 0
        self._lock = asyncio.Lock()
        self._found: dict[str, tuple[int, TritonChangedError | None]] = {}

    async def confirm(self, model: ServedModel) -> None:
        """Makes sure, after an answer, that it was this model's.

        Args:
            model: As the catalog gave it.

        Raises:
            TritonChangedError: If Triton has, or may have, other weights under its name by now, or is away.
        """
        came = self._asked
        async with self._lock:
            number, found = self._found.get(model.digest, (0, None))
            if number > came:  # asked after this one came
                if found is not None:
                    raise TritonChangedError(str(found)) from found
                return
            self._asked += 1
            number, found = self._asked, None
            try:
                await self._catalog.verify(model)
            except TritonChangedError as error:
                found = error
                raise
            except BaseException:
                number = 0  # nothing was found out
                raise
            finally:
                if len(self._found) > _MOST_REMEMBERED:
                    self._found.clear()
                self._found[model.digest] = number, found
