"""Server-sent events, as they arrive (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.client.call import Follow, Stream
from service.client.errors import ProblemError, UnexpectedAnswerError, UnreachableError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Event:
    """One event with data.

    Attributes:
        name: Its type.
        id: The last one that was said.
        data: Not decoded.
    """

    name: str
    id: str
    data: bytes


class EventParser:
    """Takes the bytes of a stream apart."""

    def __init__(self) -> None:
        """Starts before the first byte."""
        self._rest = bytearray()
        self._name = ""
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete now.

        Args:
            chunk: The next bytes.

        Yields:
            None, one or several.
        """
        start = len(self._rest)
        self._rest += chunk
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[:end]).rstrip(b"\r")
            del self._rest[: end + 1]
            start = 0
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: bytes) -> Event | None:
        if line:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                self._name = value.decode("utf-8", "replace")
            elif field == b"id":
                self._id = value.decode("utf-8", "replace")
            elif field == b"data":
                self._data.append(value)
            return None
        name, data = self._name, b"\n".join(self._data)
        self._name, self._data = "", []
        return Event(name, self._id, data) if data else None


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
        self._parser = EventParser()
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
        for event in self._parser.feed(chunk):
            yield from self._items(event)

    def finish(self) -> None:
        """Nothing more arrives.

        Raises:
            UnreachableError: If that is too early.
        """
        if not self._done:
            raise UnreachableError(f"{self._url} stopped answering: the stream ended early")

    def _items(self, event: Event) -> list[Item]:
        try:
            members = json.loads(event.data)
            if event.name == "done":
                self._done = True
            elif event.name == "error":
                raise ProblemError(int(members["status"]), members, "the stream ended with an error")
            elif event.name == self._stream.event:
                return [self._stream.item(members, self._model_digest)]
        except (LookupError, TypeError, ValueError) as error:
            raise _unexpected(self._url, error) from error
        return []


class Follower(Generic[Item]):
    """Makes items of streams that go on where the one before broke off."""

    def __init__(self, follow: Follow[Item], url: str) -> None:
        """Starts before the first stream.

        Args:
            follow: Says what its events mean.
            url: For messages.
        """
        self._follow = follow
        self._url = url
        self._parser = EventParser()
        self.last_id = follow.after
        """Of the last event; the next stream is asked for what comes after it."""
        self.ended = False
        """Whether there is nothing more to come."""

    def reconnected(self) -> None:
        """A new stream begins; half an event of the last one is forgotten."""
        self._parser = EventParser()

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
        for event in self._parser.feed(chunk):
            if event.name == "end":
                self.ended = True
                return
            try:
                members = json.loads(event.data)
                if event.name == "error":
                    raise ProblemError(int(members["status"]), members, "the stream ended with an error")
                make = self._follow.items.get(event.name)
                item = None if make is None else make(event.id, members)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise _unexpected(self._url, error) from error
            if item is not None:
                yield item
            # After it was dealt with: what is not is sent again.
            self.last_id = event.id or self.last_id


def _unexpected(url: str, error: Exception) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(f"{url} did not answer as a ganserve does: {type(error).__name__}: {error}")
