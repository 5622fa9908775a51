"""What `/v1/verify` is asked and answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.models import EXAMPLE_DIGEST

Verdict = Literal["authentic", "altered", "unsigned-claim", "other-provenance", "no-provenance"]
_SHA256 = "2937130b2ea91f0a21d2a106ab102e37677a322887c05c606d30b8a929551f87"


def _with_image(schema: dict[str, Any]) -> None:
    """The file is a part beside the fields, which only the documentation needs to know."""
    image = {"type": "string", "format": "binary", "description": "the image file, as it is"}
    source = {
        "type": "string",
        "format": "binary",
        "description": "with `reproduce`, for what translation or super-resolution made: the image file it "
        "was made of, which the recipe names by its sha256",
    }
    schema["properties"] = {"image": image, "source": source, **schema["properties"]}
    schema["required"] = ["image"]


class VerifyRequest(BaseModel):
    """A file, and how thoroughly to look at it."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_with_image)

    reproduce: bool = Field(
        False,
        description="true to make the image again from its recipe and compare, if its model is still served",
    )


class VerifiedImage(BaseModel):
    """The file itself."""

    format: str = Field(examples=["PNG"])
    width: int = Field(examples=[64])
    height: int = Field(examples=[64])
    frames: int = Field(examples=[1])


class VerifiedModel(BaseModel):
    """The model that the recipe names."""

    name: str = Field(examples=["terrain"])
    digest: str | None = Field(description="As the recipe says.", examples=[EXAMPLE_DIGEST])
    served: bool | None = Field(description="Whether a model of that name is served; null if Triton is away.")
    same_digest: bool | None = Field(description="Whether the served one has the recipe's digest.")


class VerifiedPixels(BaseModel):
    """The pixels against the hash that the recipe records."""

    sha256: str | None = Field(
        description="Of the raw RGB (or RGBA) bytes, of an animation those of all its frames one after the "
        "other; null for animations without a recipe, and for larger ones than are made here."
    )
    recorded_sha256: str | None = Field(description="As the recipe says.")
    match: bool | None = Field(
        description="null where nothing is recorded, and for lossy files that differ, as all of them do"
    )


class Reproduction(BaseModel):
    """The image made again, against the one in the file."""

    performed: bool
    match: Literal["exact", "close", "different"] | None = Field(
        None,
        description="`close`: lossy compression, or another processor's rounding, explains the difference",
    )
    max_difference: int | None = Field(None, description="Largest difference of a channel, of 255.")
    psnr: float | None = Field(None, description="In dB; null if the pixels are equal or sizes differ.")
    different_frames: list[int] | None = Field(
        None,
        description="Frames of an animation, from 0, that make it different; null for other images, and "
        "where the size or the number of frames differs.",
    )
    reason: str | None = Field(None, description="Why it was not performed.")


class C2paFindings(BaseModel):
    """The C2PA manifest in the file."""

    present: bool
    valid: bool | None = Field(
        None, description="Whether signature and content are intact; null if that was not checked."
    )
    trusted: bool = Field(
        False,
        description="Whether this service's certificate, or an authority its operator trusts, signed it.",
    )
    validation_state: str | None = Field(None, description="`Trusted`, `Valid` or `Invalid`.")
    issuer: str | None = Field(None, description="Organisation that the certificate names.")
    common_name: str | None = Field(None, description="Holder that the certificate names.")
    signed_at: str | None = Field(None, description="By a timestamp authority, if there was one.")
    problems: list[str] = Field(
        default_factory=list, description="Status codes of C2PA, or sentences.", examples=[[]]
    )


class VerifyResponse(BaseModel):
    """What a file says about its making, and what of that holds."""

    verdict: Verdict = Field(
        description="`authentic`: a trusted signature, or the image made again, shows it; `altered`: the "
        "pixels are not those of its recipe; `unsigned-claim`: a recipe that nothing contradicts and nothing "
        "proves; `other-provenance`: marked, but not by a recipe; `no-provenance`: nothing in it."
    )
    explanation: str = Field(description="One sentence on the verdict.")
    found: bool = Field(description="Whether there is a recipe.")
    recipe: dict[str, Any] | None = Field(description="As the file, or its manifest, says; not checked.")
    recipe_source: Literal["file", "manifest"] | None
    digital_source_type: str | None = Field(description="IPTC's URI of how the image came about.")
    image: VerifiedImage
    model: VerifiedModel | None
    pixels: VerifiedPixels
    reproduced: Reproduction
    c2pa: C2paFindings
    problems: list[str] = Field(description="What is odd about the file's metadata.")


EXAMPLE = {
    "verdict": "authentic",
    "explanation": "The image was made again from its recipe, and every pixel is the same.",
    "found": True,
    "recipe": {
        "digest": EXAMPLE_DIGEST,
        "label": None,
        "model": "terrain",
        "noise": "const",
        "pixels_sha256": _SHA256,
        "seed": 42,
        "truncation": 1.0,
        "truncation_cutoff": None,
    },
    "recipe_source": "file",
    "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "image": {"format": "PNG", "width": 64, "height": 64, "frames": 1},
    "model": {"name": "terrain", "digest": EXAMPLE_DIGEST, "served": True, "same_digest": True},
    "pixels": {"sha256": _SHA256, "recorded_sha256": _SHA256, "match": True},
    "reproduced": {
        "performed": True,
        "match": "exact",
        "max_difference": 0,
        "psnr": None,
        "different_frames": None,
        "reason": None,
    },
    "c2pa": {
        "present": False,
        "valid": None,
        "trusted": False,
        "validation_state": None,
        "issuer": None,
        "common_name": None,
        "signed_at": None,
        "problems": [],
    },
    "problems": [],
}
