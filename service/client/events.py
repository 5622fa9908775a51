"""Server-sent events, as they arrive (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Generic, TypeVar

from service.client.call import Stream
from service.client.errors import ProblemError, UnexpectedAnswerError, UnreachableError

Item = TypeVar("Item")


class EventReader(Generic[Item]):
    """Makes items of the bytes of a stream."""

    def __init__(self, stream: Stream[Item], url: str, model_digest: str) -> None:
        """Starts before the first byte.

        Args:
            stream: Says what its events mean.
            url: For messages.
            model_digest: As the answer's headers say.
        """
        self._stream = stream
        self._model_digest = model_digest
        self._url = url
        self._rest = bytearray()
        self._name = ""
        self._data: list[bytes] = []
        self._done = False

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """The items that are complete now.

        Args:
            chunk: The next bytes.

        Yields:
            None, one or several.

        Raises:
            ProblemError: The server could not go on.
            UnexpectedAnswerError: These are not the events of a ganserve.
        """
        start = len(self._rest)
        self._rest += chunk
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[:end]).rstrip(b"\r")
            del self._rest[: end + 1]
            start = 0
            yield from self._line(line)

    def finish(self) -> None:
        """Nothing more arrives.

        Raises:
            UnreachableError: If that is too early.
        """
        if not self._done:
            raise UnreachableError(f"{self._url} stopped answering: the stream ended early")

    def _line(self, line: bytes) -> list[Item]:
        if line:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                self._name = value.decode("utf-8", "replace")
            elif field == b"data":
                self._data.append(value)
            return []
        name, data = self._name, b"\n".join(self._data)
        self._name, self._data = "", []
        if not data:
            return []
        try:
            members = json.loads(data)
            if name == "done":
                self._done = True
            elif name == "error":
                raise ProblemError(int(members["status"]), members, "the stream ended with an error")
            elif name == self._stream.event:
                return [self._stream.item(members, self._model_digest)]
        except (LookupError, TypeError, ValueError) as error:
            raise UnexpectedAnswerError(
                f"{self._url} did not answer as a ganserve does: {type(error).__name__}: {error}"
            ) from error
        return []
