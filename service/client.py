"""The Python client of ganserve's HTTP interface; needs only the base dependencies.

from service.client import Client

with Client("http://localhost:8080") as client:
    for image in client.generate("terrain", seeds=[7, 8], truncation=0.7):
        Path(f"{image.seed}.png").write_bytes(image.bytes)
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import httpx

ImageFormat = Literal["png", "jpeg", "webp"]
Noise = Literal["const", "none"] | int

DEFAULT_URL = "http://localhost:8080"

_RETRIED = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
# When an answer asks to be retried without saying when.
_FIRST_PAUSE_SECONDS = 0.5
_EXTENSIONS: dict[ImageFormat, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}


class ClientError(Exception):
    """Base class of everything the client raises."""


class UnreachableError(ClientError):
    """No answer: nothing listens at the URL, or the connection broke or timed out."""


class ProblemError(ClientError):
    """The server's RFC 9457 problem.

    Attributes:
        status: The HTTP status.
        type: The problem's stable identifier.
        title: What kind of problem it is.
        detail: What it is this time.
        body: The whole problem document; empty when the answer was not one.
    """

    def __init__(self, status: int, body: Mapping[str, Any], reason: str) -> None:
        self.status = status
        self.body = dict(body)
        self.type = str(body.get("type", "about:blank"))
        self.title = str(body.get("title") or reason or "unexpected answer")
        self.detail = str(body.get("detail", ""))
        fields = [
            f"{error.get('field')}: {error.get('detail')}"
            for error in body.get("errors") or []
            if isinstance(error, Mapping)
        ]
        super().__init__(". ".join(part.rstrip(".") for part in (self.title, self.detail, *fields) if part))


@dataclass(frozen=True)
class GeneratedImage:
    """One image as the server encoded it.

    Attributes:
        seed: What it was made from.
        bytes: The encoded file.
        media_type: What kind of file that is, such as `image/png`.
        pixels_sha256: sha256 of the raw RGB pixels: the same for the same recipe, in any lossless format.
        model_digest: Identifies the weights.
        width: In pixels; None where the server does not say.
        height: In pixels; None where the server does not say.
    """

    seed: int
    bytes: bytes
    media_type: str
    pixels_sha256: str
    model_digest: str
    width: int | None = None
    height: int | None = None


class Client:
    """A connection to one ganserve. A context manager; not to be shared between threads.

    Calls answered with 503 or 429 are repeated after the time that the answer's Retry-After asks for.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = 60,
        retry_seconds: float = 30,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            url: Where the gateway listens.
            key: API key, where one is needed.
            timeout: Longest wait for any one answer, in seconds.
            retry_seconds: Longest time spent on waiting to repeat one call; 0 never repeats.
            transport: Another way to send requests, as httpx has them.
        """
        self.url = url.rstrip("/")
        self._retry_seconds = retry_seconds
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """The cards of all models that are served.

        Raises:
            UnreachableError: There was no answer.
            ProblemError: The server refused.
        """
        cards: list[dict[str, Any]] = self._request("GET", "/v1/models").json()["data"]
        return cards

    def model(self, name: str) -> dict[str, Any]:
        """The card of one model.

        Raises:
            UnreachableError: There was no answer.
            ProblemError: The server refused; 404 when no such model is served.
        """
        card: dict[str, Any] = self._request("GET", f"/v1/models/{_quoted(name)}").json()
        return card

    def generate(
        self,
        model: str,
        seeds: Sequence[int],
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
        label: int | str | None = None,
        format: ImageFormat = "png",
        quality: int | None = None,
    ) -> list[GeneratedImage]:
        """One image for each of `seeds`, in their order.

        Args:
            model: Name of a generator.
            seeds: Integers from 0 to 2³²-1; at most as many as the server takes in one call.
            truncation: 1 leaves the model as trained, 0 is its average image.
            truncation_cutoff: How many layers, coarsest first, are truncated; None for all.
            noise: The model's constant noise, none, or a seed for fresh noise.
            label: Class of a conditional model.
            format: Of the files.
            quality: 1 to 100, for lossy formats.

        Raises:
            UnreachableError: There was no answer.
            ProblemError: The server refused.
        """
        body = _recipe(model, seeds, truncation, truncation_cutoff, noise, label, format, quality)
        answer = self._request("POST", "/v1/generate", json=body).json()
        return [
            GeneratedImage(
                seed=item["seed"],
                bytes=base64.b64decode(item["b64_json"]),
                media_type=item["media_type"],
                pixels_sha256=item["pixels_sha256"],
                model_digest=answer["model_digest"],
                width=item["width"],
                height=item["height"],
            )
            for item in answer["data"]
        ]

    def sheet(
        self,
        model: str,
        seeds: Sequence[int],
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
        label: int | str | None = None,
        format: ImageFormat = "png",
        quality: int | None = None,
    ) -> bytes:
        """One contact sheet of all the images, as an encoded file; arguments as for `generate`.

        Raises:
            UnreachableError: There was no answer.
            ProblemError: The server refused.
        """
        body = _recipe(model, seeds, truncation, truncation_cutoff, noise, label, format, quality)
        headers = {"accept": f"image/{format}"}
        return self._request("POST", "/v1/generate", json=body, headers=headers).content

    def image(
        self,
        model: str,
        seed: int,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
        label: int | str | None = None,
        format: ImageFormat = "png",
        quality: int | None = None,
        digest: str | None = None,
    ) -> GeneratedImage:
        """One image, through the call whose answers caches may keep.

        Other arguments are those of `generate`. A `digest` pins the weights: the server refuses if it has
        others, and otherwise answers with what may be cached for ever.

        Raises:
            UnreachableError: There was no answer.
            ProblemError: The server refused.
        """
        query = {
            "truncation": truncation,
            "truncation_cutoff": truncation_cutoff,
            "noise": noise,
            "label": label,
            "quality": quality,
            "digest": digest,
        }
        response = self._request(
            "GET",
            f"/v1/models/{_quoted(model)}/images/{seed}.{_EXTENSIONS[format]}",
            params={name: value for name, value in query.items() if value is not None},
        )
        return GeneratedImage(
            seed=seed,
            bytes=response.content,
            media_type=response.headers["content-type"],
            pixels_sha256=response.headers["x-pixels-sha256"],
            model_digest=response.headers["x-model-digest"],
        )

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        deadline = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                raise UnreachableError(
                    f"no answer from {self.url}: {error or type(error).__name__}"
                ) from error
            if response.is_success:
                return response
            problem = _problem(response)
            if response.status_code not in _RETRIED:
                raise problem
            asked = _retry_after(response)
            # Everyone who was refused at once must not come back at once.
            wait = (pause if asked is None else asked) + random.uniform(0, 0.1)  # noqa: S311 - not a secret
            if time.monotonic() + wait > deadline:
                raise problem
            time.sleep(wait)
            pause *= 2


def _recipe(
    model: str,
    seeds: Sequence[int],
    truncation: float,
    truncation_cutoff: int | None,
    noise: Noise,
    label: int | str | None,
    format: ImageFormat,
    quality: int | None,
) -> dict[str, Any]:
    """The body of `POST /v1/generate`; what is left to the server is not named."""
    body = {
        "model": model,
        "seeds": list(seeds),
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "noise": noise,
        "label": label,
        "format": format,
        "quality": quality,
    }
    return {name: value for name, value in body.items() if value is not None}


def _quoted(name: str) -> str:
    return httpx.URL(path=f"/{name}").raw_path.decode("ascii")[1:].replace("/", "%2F")


def _problem(response: httpx.Response) -> ProblemError:
    try:
        body = response.json()
    except ValueError:
        body = None
    return ProblemError(
        response.status_code,
        body if isinstance(body, dict) else {},
        f"HTTP {response.status_code} {response.reason_phrase}".strip(),
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; None when the header is missing or, being a date, says more than is needed."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
