"""Calls as values: what is sent, and how the answer is read. The clients only differ in how they send."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import httpx

from service.client.errors import UnexpectedAnswerError
from service.client.multipart import Multipart, Parts
from service.client.results import Latent, Styles

ImageFormat = Literal["png", "jpeg", "webp"]
Noise = Literal["const", "none"] | int
Source = int | Styles | Latent
"""A seed, styles, or either with parameters of its own."""

Result = TypeVar("Result")
Item = TypeVar("Item")

# The server is to say that the time is over; whoever hangs up just before never learns why.
_GRACE_SECONDS = 5.0
_FIRST_POLL_SECONDS = 0.2
_LONGEST_POLL_SECONDS = 3.0
# What servers give large images by default, at most: deadlines grow with the size, which is not known here.
_LONGEST_UPLOAD_SECONDS = 600.0


@runtime_checkable
class SavesItself(Protocol):
    """An image of Pillow."""

    def save(self, fp: IO[bytes], format: str) -> None:
        """Writes a file."""


ImageSource = bytes | str | PathLike[str] | IO[bytes] | SavesItself
"""An image to send: the file's bytes, its path, an opened file, or an image of Pillow (sent as PNG)."""


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One call.

    Attributes:
        method: Of HTTP.
        path: Escaped.
        read: Makes the result of a successful answer.
        query: Without what is None.
        body: JSON; without what is None.
        form: Text fields that go beside an image.
        image: Sent with `form`.
        source: What the image was made of, sent with it.
        parts: Sent instead, read from disk while they are.
        headers: Besides those of every call.
        accept: Which kind of answer.
        wait: Longest time that the server may take, in seconds.
        repeatable: Whether a call that got no answer may be sent again.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    form: Mapping[str, Any] | None = None
    image: ImageSource | None = None
    source: ImageSource | None = None
    parts: Parts | None = None
    headers: Mapping[str, str] | None = None
    accept: str | None = None
    wait: float | None = None
    repeatable: bool = True

    def load(self) -> Mapping[str, bytes] | Multipart | None:
        """What is sent from disk: images by the names of their parts, or files not read yet.

        Raises:
            OSError: A file cannot be read.
        """
        if self.parts is not None:
            return Multipart(self.parts)
        if self.image is None:
            return None
        return {
            name: _read(file) for name, file in given({"image": self.image, "source": self.source}).items()
        }

    def request(
        self, client: httpx.Client | httpx.AsyncClient, loaded: Mapping[str, bytes] | Multipart | None
    ) -> httpx.Request:
        """What is sent.

        Args:
            client: Who sends it.
            loaded: What `load` returned.

        Returns:
            The request.
        """
        headers = dict(self.headers or {})
        if self.accept is not None:
            headers["accept"] = self.accept
        timeout = client.timeout
        seconds = None if self.image is None else _LONGEST_UPLOAD_SECONDS
        if self.wait is not None:
            seconds = max(1, math.ceil(self.wait))
            headers["prefer"] = f"wait={seconds}"
        if seconds is not None:
            read = None if timeout.read is None else max(timeout.read, seconds + _GRACE_SECONDS)
            timeout = httpx.Timeout(
                connect=timeout.connect, read=read, write=timeout.write, pool=timeout.pool
            )
        sent: dict[str, Any] = {}
        if self.body is not None:
            sent["json"] = given(self.body)
        if isinstance(loaded, Multipart):
            headers |= loaded.headers
            sent["content"] = loaded.blocks() if isinstance(client, httpx.Client) else loaded.async_blocks()
        elif loaded is not None:
            sent["files"] = loaded
            sent["data"] = {name: _text(value) for name, value in given(self.form or {}).items()}
        if self.query is not None:
            sent["params"] = given(self.query)
        return client.build_request(self.method, self.path, headers=headers, timeout=timeout, **sent)

    def result(self, response: httpx.Response) -> Result:
        """What the call returns.

        Args:
            response: A success, read.

        Returns:
            The result.

        Raises:
            UnexpectedAnswerError: If it is not what a ganserve answers.
        """
        try:
            return self.read(response)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UnexpectedAnswerError(
                f"{response.url} did not answer as a ganserve does: {type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True)
class Stream(Generic[Item]):
    """One call that is answered with events.

    Attributes:
        call: What is sent; its answer is read event by event instead.
        event: The name of the events that carry an item; `error` and `done` end every stream.
        item: Makes an item of such an event's data and the model's digest.
    """

    call: Call[None]
    event: str
    item: Callable[[Mapping[str, Any], str], Item]


@dataclass(frozen=True)
class Pages(Generic[Item]):
    """Calls for a list that is answered in pages.

    Attributes:
        call: For the page at a cursor; None is the first.
    """

    call: Callable[[str | None], Call[Page[Item]]]


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list.

    Attributes:
        items: In the list's order.
        next: Cursor of the next page; None for the last.
    """

    items: Sequence[Item]
    next: str | None


@dataclass(frozen=True)
class Download:
    """One call whose answer is written to a file while it arrives.

    Attributes:
        call: What is sent.
        path: The file.
        staging: Folder for the unfinished file; None for that of `path`.
    """

    call: Call[None]
    path: Path
    staging: Path | None = None


@dataclass(frozen=True)
class Follow(Generic[Item]):
    """Events that are followed to their end, over as many connections as that takes.

    Attributes:
        call: For what comes after an event's id; None is everything.
        items: Makes an item of an event's name, id and data; events of other names are passed over.
        after: The id to begin after.
    """

    call: Callable[[str | None], Call[None]]
    items: Mapping[str, Callable[[str, Mapping[str, Any]], Item]]
    after: str | None = None


@dataclass(frozen=True)
class Poll(Generic[Result]):
    """A call that is made again until its result is the one that is waited for.

    Attributes:
        call: What is sent.
        reached: Whether this is it.
        seconds: How long to wait at most; None for as long as it takes.
        what: What is waited for, in words.
    """

    call: Call[Result]
    reached: Callable[[Result], bool]
    seconds: float | None
    what: str

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further call.

        Raises:
            TimeoutError: The time is over.
        """
        deadline = math.inf if self.seconds is None else time.monotonic() + self.seconds
        pause = _FIRST_POLL_SECONDS
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.what} has not come about within {self.seconds:g} s")
            yield min(pause, left)
            pause = min(1.5 * pause, _LONGEST_POLL_SECONDS)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not None: the rest is left to the server.

    Args:
        values: By name.
    """
    return {name: value for name, value in values.items() if value is not None}


def quoted(name: str) -> str:
    """A name as one segment of a path.

    Args:
        name: Any text.
    """
    return httpx.URL(path=f"/{name}").raw_path.decode("ascii")[1:].replace("/", "%2F").replace("?", "%3F")


def source_json(source: Source) -> int | dict[str, Any]:
    """A latent as the calls take it.

    Args:
        source: A seed, styles, or either with parameters.
    """
    if isinstance(source, Styles):
        return {"ws": source.base64()}
    if isinstance(source, Latent):
        return given(
            {
                "seed": source.seed,
                "ws": None if source.ws is None else source.ws.base64(),
                "truncation": source.truncation,
                "truncation_cutoff": source.truncation_cutoff,
                "label": source.label,
                "edits": None if source.edits is None else dict(source.edits),
                **transform(source.rotation, source.translation),
            }
        )
    return int(source)


def styling(
    truncation: float | None,
    truncation_cutoff: int | None,
    noise: Noise | None,
    label: int | str | None,
    edits: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Fields that say how a latent becomes an image.

    Args:
        truncation: None, like the others, leaves it to the server.
        truncation_cutoff: How many layers are truncated.
        noise: As calls take it.
        label: Class.
        edits: Amount by name of a direction.
    """
    return {
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "noise": None if noise == "const" else noise,
        "label": label,
        "edits": dict(edits) if edits else None,
    }


def transform(rotation: float | None, translation: Sequence[float] | None) -> dict[str, Any]:
    """Fields that say how a picture is turned and moved.

    Args:
        rotation: In degrees; None, like the other, leaves the picture as it is.
        translation: To the right and down, as fractions of the image's side.
    """
    return {"rotation": rotation, "translation": None if translation is None else list(translation)}


def with_self(build: Callable[..., Any]) -> inspect.Signature:
    """The signature of a method that is made of a function; for `help()`.

    Args:
        build: The function.
    """
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[this, *signature.parameters.values()])


def _read(image: ImageSource) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, PathLike)):
        return Path(image).read_bytes()
    if isinstance(image, SavesItself):
        file = BytesIO()
        image.save(file, "PNG")
        return file.getvalue()
    return image.read()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
