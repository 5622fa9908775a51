"""What can be told from a file alone, and the verdict once everything is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.api.schemas.generate import GenerateRequest
from service.api.schemas.mixing import FASTEST, SLOWEST
from service.api.schemas.verify import (
    C2paFindings,
    Reproduction,
    Verdict,
    VerifiedImage,
    VerifiedModel,
    VerifiedPixels,
    VerifyResponse,
)
from service.images.animation_reading import FORMATS, AnimationFile
from service.images.c2pa_reading import ManifestReading, Trust, read_manifest
from service.images.decode import MEDIA_TYPES, DecodeLimits, ImageHeader, decode, inspect
from service.images.metadata import FileMetadata, read_metadata
from service.images.provenance import Provenance, provenance_in

# What a recipe holds besides the fields of a generate call.
_ABOUT = frozenset(("digest", "pixels_sha256", "ws_sha256"))
_FIELDS = frozenset(
    (
        *("model", "seed", "seeds", "ws", "captions"),
        *("truncation", "truncation_cutoff", "noise", "label", "edits", "rotation", "translation"),
    )
)


@dataclass(frozen=True, eq=False)
class Examined:
    """A file, taken apart.

    Attributes:
        header: Format and size.
        metadata: None for formats that carry no recipes.
        pixels: uint8 [height, width, 3 or 4]; None for animations.
        animation: The frames, if the recipe is that of an animation, and it is no larger than they are here.
        sha256: Of the pixels, or of those of all frames.
        provenance: What the file itself claims.
        manifest: What its C2PA manifest says; None if it has none.
    """

    data: bytes
    header: ImageHeader
    metadata: FileMetadata | None
    pixels: NDArray[np.uint8] | None
    sha256: str | None
    provenance: Provenance
    manifest: ManifestReading | None
    animation: AnimationFile | None = None

    @property
    def trusted(self) -> bool:
        """Whether somebody vouches for the file whose word counts here."""
        return self.manifest is not None and self.manifest.state == "Trusted"

    @property
    def recipe_source(self) -> str | None:
        """Where the recipe is taken from: a manifest that holds before the file's own claim."""
        intact = self.manifest is not None and self.manifest.state in ("Trusted", "Valid")
        if intact and self.manifest is not None and self.manifest.recipe is not None:
            return "manifest"
        return None if self.provenance.recipe is None else "file"

    @property
    def recipe(self) -> dict[str, Any] | None:
        """The recipe, from there."""
        if self.recipe_source == "manifest" and self.manifest is not None:
            return self.manifest.recipe
        return self.provenance.recipe


def examine(data: bytes, limits: DecodeLimits, trust: Trust, animation_pixels: int) -> Examined:
    """Takes a file apart; belongs into a thread.

    Args:
        data: The file.
        limits: Of the decoder.
        trust: Whose signatures count.
        animation_pixels: How many pixels all frames of an animation may have.

    Returns:
        What is in it.

    Raises:
        ImageError: If it is not an image that is read.
    """
    header = inspect(data)
    try:
        metadata: FileMetadata | None = read_metadata(data)
    except ValueError:
        metadata = None
    pixels, sha256 = None, None
    if header.frames == 1:
        decoded = decode(data, limits)
        pixels = decoded.pixels
        if decoded.alpha is not None:
            pixels = np.dstack((decoded.pixels, decoded.alpha))
        pixels = np.ascontiguousarray(pixels)
        sha256 = hashlib.sha256(pixels.data).hexdigest()
    manifest = None
    if metadata is not None and metadata.c2pa:
        manifest = read_manifest(data, MEDIA_TYPES[header.format], trust)
    provenance = Provenance(None, None) if metadata is None else provenance_in(metadata)
    examined = Examined(data, header, metadata, pixels, sha256, provenance, manifest)
    animation = _animation(examined, limits)
    if animation is None or not animation.within(animation_pixels):
        return examined
    return replace(examined, animation=animation, sha256=animation.sha256())


def _animation(examined: Examined, limits: DecodeLimits) -> AnimationFile | None:
    """The file as the animation that its recipe says it is; of equal frames it may hold a single one."""
    recipe, header = examined.recipe or {}, examined.header
    frames, fps = recipe.get("frames"), recipe.get("fps")
    if recipe.get("operation") != "interpolate" or header.format not in FORMATS:
        return None
    if not isinstance(frames, int) or frames < 2:
        return None
    if not isinstance(fps, (int, float)) or not SLOWEST <= fps <= FASTEST:
        return None
    return AnimationFile(examined.data, header, limits, frames, fps)


class NotReproducibleError(Exception):
    """Why a recipe cannot be carried out; a sentence."""


def request_for(recipe: dict[str, Any]) -> GenerateRequest:
    """The generate call that makes the image of a recipe, as strictly validated as one from a client.

    Args:
        recipe: From a file.

    Returns:
        The request; whether its model is served, and takes it, is not known yet.

    Raises:
        NotReproducibleError: If there is no such call.
    """
    if "source_sha256" in recipe:
        raise NotReproducibleError(
            "The image was made of another one, of which the recipe holds the sha256 alone; send it as "
            "`source`. What is compared is the hash of the pixels that the recipe records, "
            "where the file is lossless."
        )
    if unknown := sorted(set(recipe) - _FIELDS - _ABOUT):
        names = ", ".join(repr(key[:40]) for key in unknown[:5])
        raise NotReproducibleError(f"The recipe is not that of a generate call: it has {names}.")
    if "ws_sha256" in recipe and "ws" not in recipe:
        raise NotReproducibleError(
            "The recipe holds the sha256 of its styles alone; they were too large for it."
        )
    if not {"seed", "seeds", "ws"} & set(recipe):
        raise NotReproducibleError("The recipe names neither seeds nor styles.")
    try:
        return GenerateRequest.model_validate({key: recipe[key] for key in set(recipe) & _FIELDS})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise NotReproducibleError(f"No generate call takes the recipe: {where}: {first['msg']}.") from None


def report(examined: Examined, model: VerifiedModel | None, reproduced: Reproduction) -> VerifyResponse:
    """Everything that was found, and what it comes to.

    Args:
        examined: The file.
        model: What is served under the recipe's name.
        reproduced: The image made again.

    Returns:
        The answer.
    """
    recipe, manifest = examined.recipe, examined.manifest
    recorded = recipe.get("pixels_sha256") if recipe else None
    pixels = VerifiedPixels(
        sha256=examined.sha256, recorded_sha256=recorded if isinstance(recorded, str) else None, match=None
    )
    if pixels.recorded_sha256 is not None and pixels.sha256 is not None:
        if pixels.sha256 == pixels.recorded_sha256:
            pixels.match = True
        elif examined.metadata is not None and examined.metadata.lossless:
            pixels.match = False
    c2pa = C2paFindings(present=manifest is not None)
    if manifest is not None:
        c2pa = C2paFindings(
            present=True,
            valid=None if manifest.state is None else manifest.state != "Invalid",
            trusted=examined.trusted,
            validation_state=manifest.state,
            issuer=manifest.issuer,
            common_name=manifest.common_name,
            signed_at=manifest.signed_at,
            problems=list(manifest.problems),
        )
    source_type = examined.provenance.digital_source_type
    if manifest is not None and manifest.state in ("Trusted", "Valid"):
        source_type = manifest.digital_source_type or source_type
    verdict, explanation = _verdict(examined, model, pixels, reproduced, c2pa, source_type)
    source = examined.recipe_source
    return VerifyResponse(
        verdict=verdict,
        explanation=explanation,
        found=recipe is not None,
        recipe=recipe,
        recipe_source="manifest" if source == "manifest" else "file" if source else None,
        digital_source_type=source_type,
        image=VerifiedImage(
            format=examined.header.format,
            width=examined.header.width,
            height=examined.header.height,
            frames=examined.header.frames,
        ),
        model=model,
        pixels=pixels,
        reproduced=reproduced,
        c2pa=c2pa,
        problems=[examined.provenance.problem] if examined.provenance.problem else [],
    )


def _verdict(
    examined: Examined,
    model: VerifiedModel | None,
    pixels: VerifiedPixels,
    reproduced: Reproduction,
    c2pa: C2paFindings,
    source_type: str | None,
) -> tuple[Verdict, str]:
    """Signatures first, then the image made again, then what the file records of itself."""
    if c2pa.valid is False and any("mismatch" in problem.lower() for problem in c2pa.problems):
        return "altered", "The file has changed since it was signed."
    if examined.recipe is None:
        if c2pa.present or source_type is not None:
            return "other-provenance", "The file is marked with where it comes from, but has no recipe."
        return "no-provenance", "The file says nothing about what made it."
    if c2pa.trusted:
        again = " The model as served now makes other pixels." if reproduced.match == "different" else ""
        return (
            "authentic",
            f"A signature that is trusted here vouches for pixels and recipe ({c2pa.issuer}).{again}",
        )
    made_again = (
        f"The {'image' if examined.animation is None else 'animation'} was made again from its recipe"
    )
    if reproduced.match == "exact":
        return "authentic", f"{made_again}, and every pixel is the same."
    if pixels.match is False:
        return "altered", "The pixels are not those that the file was written with."
    if reproduced.match == "close":
        cause = "rounding" if examined.metadata and examined.metadata.lossless else "lossy compression"
        return "authentic", f"{made_again}; {cause} explains the differences."
    if reproduced.match == "different":
        return "altered", f"{made_again}, and {_difference(examined, reproduced)}."
    return "unsigned-claim", _claim(model, pixels, reproduced)


def _difference(examined: Examined, reproduced: Reproduction) -> str:
    if reproduced.different_frames:
        first, *others = reproduced.different_frames
        return f"frame {first} is another one" + (f", as are {len(others)} more" if others else "")
    if examined.animation is not None and examined.header.frames != examined.animation.frames_made:
        return f"{examined.header.frames} frames are not its {examined.animation.frames_made}"
    return "it is another one"


def _claim(model: VerifiedModel | None, pixels: VerifiedPixels, reproduced: Reproduction) -> str:
    said = (
        "The pixels match the hash that the file records" if pixels.match else "The file names what made it"
    )
    if reproduced.reason is not None:
        return f"{said}, which proves nothing alone, and it could not be made again: {reproduced.reason}"
    if model is not None and model.same_digest:
        return f"{said}, which proves nothing alone; `reproduce` makes the image again and compares."
    return f"{said}, which proves nothing alone, and the model that it names is not served here as it was."
