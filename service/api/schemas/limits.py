"""What is said of how much one call may ask for."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.images.animation import AnimationFormat


class Limits(BaseModel):
    """Settings of the server that decide whether it refuses a call for its size; fields have their names."""

    max_images_per_request: int = Field(description="Images of one generate call.", examples=[64])
    max_output_pixels: int = Field(description="Pixels of all images of one call.", examples=[64_000_000])
    max_webp_pixels: int = Field(
        description="The same for a WebP that translation or super-resolution makes.", examples=[32_000_000]
    )
    max_animation_frames: int = Field(description="Frames of one animation.", examples=[600])
    max_animation_pixels: int = Field(
        description="Pixels of all frames of one animation; a stream of frames is not held to it.",
        examples=[67_108_864],
    )
    animation_formats: list[AnimationFormat] = Field(
        description="In which animations can be written; MP4 needs a video encoder on the server.",
        examples=[["webp", "gif", "apng", "mp4"]],
    )
    max_body_bytes: int = Field(description="Bytes of a body without files.", examples=[1_048_576])
    max_upload_bytes: int = Field(description="Bytes of a call with an image file.", examples=[33_554_432])
    max_image_pixels: int = Field(description="Pixels of an image sent in.", examples=[16_777_216])
    max_job_files: int = Field(description="Files sent with one batch job.", examples=[10_000])
    max_job_upload_bytes: int = Field(
        description="Bytes of one batch job with its files; each image file has `max_upload_bytes`.",
        examples=[8_589_934_592],
    )
    max_job_items: int = Field(description="Items of one batch job.", examples=[1_000_000])
    max_deadline_seconds: float = Field(
        description="Longest `Prefer: wait=SECONDS` that is honoured.", examples=[600]
    )
