"""What calls return, and the latents they take."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from service.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Styles:
    """Styles `ws` of one latent, to be given back instead of a seed.

    Attributes:
        data: num_ws × w_dim little-endian float32 values, layer by layer.
        shape: (num_ws, w_dim).
        seed: What they were mapped from, where that is one seed.
    """

    data: bytes = field(repr=False)
    shape: tuple[int, int]
    seed: int | None = None

    @classmethod
    def from_array(cls, array: NDArray[np.floating[Any]]) -> Styles:
        """Styles out of numpy.

        Args:
            array: [num_ws, w_dim].

        Raises:
            ValueError: If it has another number of axes.
        """
        if array.ndim != 2:
            raise ValueError(f"styles are an array [num_ws, w_dim], not one of shape {array.shape}")
        return cls(array.astype("<f4").tobytes(), (array.shape[0], array.shape[1]))

    def array(self) -> NDArray[np.float32]:
        """float32 [num_ws, w_dim]."""
        import numpy as np

        return np.frombuffer(self.data, "<f4").reshape(self.shape)

    def base64(self) -> str:
        """As calls take them."""
        return base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True)
class Latent:
    """A seed or styles, with what differs from the call's own parameters.

    Attributes:
        seed: Either a seed,
        ws: or styles, which nothing else goes with but a transform.
        truncation: As for `Client.generate`; like the others left to the call if None.
        truncation_cutoff: How many layers, coarsest first, are truncated.
        label: Class of a conditional model.
        edits: Amount by name of the model's directions.
        rotation: Of keyframes, like the next, and for models whose card names it in `transforms`: in degrees.
        translation: To the right and down, as fractions of the image's side.
    """

    seed: int | None = None
    ws: Styles | None = None
    truncation: float | None = None
    truncation_cutoff: int | None = None
    label: int | str | None = None
    edits: Mapping[str, float] | None = None
    rotation: float | None = None
    translation: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as the server made it.

    Attributes:
        bytes: All of it.
        media_type: What kind of file that is, such as `image/png`.
        model_digest: Identifies the weights.
        pixels_sha256: sha256 of the raw pixels: the same for the same recipe, in any lossless format.
        width: In pixels; None where the server does not say.
        height: In pixels; None where the server does not say.
    """

    bytes: bytes = field(repr=False)
    media_type: str
    model_digest: str
    pixels_sha256: str
    width: int | None = None
    height: int | None = None

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Args:
            path: Where to; its folder must be there.

        Raises:
            OSError: It cannot be written.
        """
        write_atomically(Path(path), self.bytes)


@dataclass(frozen=True, kw_only=True)
class GeneratedImage(File):
    """An image of a generator.

    Attributes:
        seed: What it was made from; None for styles.
        ws: Its styles, where they were asked for.
    """

    seed: int | None = None
    ws: Styles | None = None


@dataclass(frozen=True, kw_only=True)
class MixedImage(File):
    """One image of a style mix.

    Attributes:
        row: Index of the row, whose structure it has.
        column: Index of the column, whose layers it has.
        row_seed: Seed of the row; None unless row and column are both seeds.
        column_seed: Seed of the column; likewise.
    """

    row: int
    column: int
    row_seed: int | None = None
    column_seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Frame(File):
    """One frame of an animation, sent as soon as it was made.

    Attributes:
        index: From 0.
        frames: How many there are.
    """

    index: int
    frames: int


@dataclass(frozen=True)
class ModelCard:
    """What is known about a model.

    Attributes:
        name: As calls take it.
        kind: `generator`, `translator` or `upscaler`.
        version: Triton's.
        digest: Identifies the weights.
        state: READY takes traffic.
        reason: Why it takes none.
        family: Of GANs.
        resolution: Side of its images in pixels, or of what it learnt from.
        card: Everything the server says, as plain JSON values.
    """

    name: str
    kind: str
    version: str
    digest: str
    state: str
    reason: str | None
    family: str | None
    resolution: int | None
    card: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Verification:
    """What a file says about its making, and what of that holds.

    Attributes:
        verdict: `authentic`, `altered`, `unsigned-claim`, `other-provenance` or `no-provenance`.
        explanation: One sentence on it.
        recipe: What the file says made it; None if it says nothing.
        report: Everything the server says, as plain JSON values.
    """

    verdict: str
    explanation: str
    recipe: Mapping[str, Any] | None
    report: Mapping[str, Any] = field(repr=False)


def file_members(item: Mapping[str, Any], model_digest: str) -> dict[str, Any]:
    """Members of `File` from an object of a JSON answer.

    Args:
        item: One of `data`.
        model_digest: Said once for all of them.

    Returns:
        Keyword arguments.
    """
    return {
        "bytes": base64.b64decode(item["b64_json"]),
        "media_type": item["media_type"],
        "model_digest": model_digest,
        "pixels_sha256": item["pixels_sha256"],
        "width": item["width"],
        "height": item["height"],
    }


def file_of(response: httpx.Response) -> File:
    """The file that an answer is.

    Args:
        response: A success.
    """
    headers = response.headers
    width, _, height = headers.get("x-image-size", "").partition("x")
    return File(
        bytes=response.content,
        media_type=headers["content-type"],
        model_digest=headers["x-model-digest"],
        pixels_sha256=headers.get("x-pixels-sha256", ""),
        width=int(width) if width else None,
        height=int(height) if height else None,
    )


def card_of(card: Mapping[str, Any]) -> ModelCard:
    """A model's card from a JSON answer.

    Args:
        card: One object.
    """
    return ModelCard(
        name=card["name"],
        kind=card["kind"],
        version=card["version"],
        digest=card["digest"],
        state=card["state"],
        reason=card.get("reason"),
        family=card.get("family"),
        resolution=card.get("resolution"),
        card=card,
    )


def styles_of(text: str, shape: list[int], seed: int | None = None) -> Styles:
    """Styles from a JSON answer.

    Args:
        text: Base64.
        shape: [num_ws, w_dim].
        seed: What they are of, if the answer says so.
    """
    return Styles(base64.b64decode(text), (shape[0], shape[1]), seed)


def verification_of(report: Mapping[str, Any]) -> Verification:
    """A verdict from a JSON answer.

    Args:
        report: All of it.
    """
    return Verification(report["verdict"], report["explanation"], report["recipe"], report)
