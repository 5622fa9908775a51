"""Both clients against a real gateway: every call, the same answers."""

from __future__ import annotations

import asyncio
import hashlib
import io
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.client import AsyncClient, Client, Latent, ProblemError, Styles
from tests.gateway_process import GatewayProcess

PICTURE = Image.radial_gradient("L").convert("RGB").resize((24, 20))


class Both:
    """Makes each call with both clients, and has them agree."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            async def awaited() -> Any:
                async with AsyncClient(self._url) as client:
                    return await getattr(client, name)(*arguments, **options)

            with Client(self._url) as client:
                result = getattr(client, name)(*arguments, **options)
            assert asyncio.run(awaited()) == result
            return result

        return call


@pytest.fixture
def both(gateway: GatewayProcess) -> Both:
    return Both(gateway.url)


def sha256(file: bytes) -> str:
    with Image.open(io.BytesIO(file)) as image:
        return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def test_models(both: Both) -> None:
    card = both.model("terrain")
    assert (card.kind, card.state, card.resolution) == ("generator", "READY", 64)
    assert card in both.models()
    assert "directions" in card.card


def test_images_of_seeds_and_of_their_styles(both: Both) -> None:
    digest = both.model("terrain").digest
    images = both.generate("terrain", [7, 8], truncation=0.7, edits={"direction-01": 2.5}, return_ws=True)
    assert [(image.seed, image.model_digest, image.width) for image in images] == [
        (7, digest, 64),
        (8, digest, 64),
    ]
    assert all(sha256(image.bytes) == image.pixels_sha256 for image in images)
    styles = [image.ws for image in images]
    assert styles == both.latents("terrain", [7, 8], truncation=0.7, edits={"direction-01": 2.5})
    again = both.generate("terrain", ws=[Styles.from_array(one.array()) for one in styles])
    assert [image.pixels_sha256 for image in again] == [image.pixels_sha256 for image in images]
    assert again[0].seed is None
    one = both.image("terrain", 7, truncation=0.7, edits={"direction-01": 2.5}, digest=digest, format="webp")
    assert (one.pixels_sha256, one.media_type) == (images[0].pixels_sha256, "image/webp")
    assert both.sheet("terrain", [7, 8], captions=True).media_type == "image/png"


def test_paths_and_mixtures(both: Both) -> None:
    (average,) = both.latents("terrain", [1, 5], operation="average", weights=[1, 3])
    keyframes = [1, Latent(seed=5, truncation=0.5), average]
    animation = both.interpolate("terrain", keyframes, frames=5, format="gif", fps=10)
    assert animation.media_type == "image/gif"
    assert both.interpolate("terrain", [1, 5], frames=3, format="zip").bytes.startswith(b"PK")
    crossed = both.style_mix_images("terrain", [1, 2], [average, 3], layers=["coarse", 9])
    assert [(image.row_seed, image.column_seed) for image in crossed] == [
        (None, None),
        (1, 3),
        (None, None),
        (2, 3),
    ]
    assert both.style_mix("terrain", [1, 2], [3], headers=False).media_type == "image/png"


def test_pictures_that_turn_and_move(both: Both) -> None:
    moved: dict[str, Any] = {"rotation": 30, "translation": (0.25, -0.5)}
    (image,) = both.generate("my-stylegan3", [7], **moved)
    assert both.image("my-stylegan3", 7, **moved).pixels_sha256 == image.pixels_sha256
    assert both.sheet("my-stylegan3", [7], **moved).pixels_sha256 == image.pixels_sha256
    (crossed,) = both.style_mix_images("my-stylegan3", [7], [7], **moved)
    assert crossed.pixels_sha256 == image.pixels_sha256
    keyframes = [7, Latent(seed=7, rotation=90, translation=[0, 0])]
    strip = both.interpolate("my-stylegan3", keyframes, frames=2, format="sheet", **moved)
    with Image.open(io.BytesIO(strip.bytes)) as pictures:
        last = np.asarray(pictures)[:, -16:]
    expected = both.image("my-stylegan3", 7, rotation=90).pixels_sha256
    assert hashlib.sha256(last.tobytes()).hexdigest() == expected


def test_frames_as_they_are_made(gateway: GatewayProcess) -> None:
    async def frames() -> list:
        async with (
            AsyncClient(gateway.url) as client,
            aclosing(client.interpolate_frames("terrain", [1, 5], frames=4)) as stream,
        ):
            return [frame async for frame in stream]

    with Client(gateway.url) as client:
        made = list(client.interpolate_frames("terrain", [1, 5], frames=4))
        first = client.image("terrain", 1)
        assert asyncio.run(frames()) == made
        assert [frame.index for frame in made] == [0, 1, 2, 3]
        assert (made[0].pixels_sha256, made[0].model_digest) == (first.pixels_sha256, first.model_digest)
        for frame in client.interpolate_frames("terrain", [1, 5], frames=400):
            assert frame.frames == 400
            break  # which stops the server too
        with pytest.raises(ProblemError) as caught:
            next(client.interpolate_frames("terrain", [1, 5], frames=100_000))
        assert caught.value.type == "/problems/too-many-frames"


def test_images_sent_in(both: Both) -> None:
    large = both.upscale("photo-x4", PICTURE, scale=2.5)
    assert (large.width, large.height) == (60, 50)
    assert sha256(large.bytes) == large.pixels_sha256
    emoji = both.translate("sketch-to-emoji", PICTURE, fit="pad", restore=True, format="webp", wait=60)
    assert (emoji.width, emoji.height, emoji.media_type) == (24, 20, "image/webp")
    with pytest.raises(ProblemError, match="jpeg has no transparency"):
        both.translate("sketch-to-emoji", PICTURE, alpha="keep", format="jpeg")


def test_what_made_a_file(both: Both) -> None:
    image = both.image("terrain", 7)
    found = both.verify(image.bytes, reproduce=True)
    assert (found.verdict, found.recipe["seed"]) == ("authentic", 7)
    assert found.report["pixels"]["sha256"] == image.pixels_sha256
    assert both.verify(PICTURE).verdict == "no-provenance"
    large = both.upscale("photo-x4", PICTURE, scale=2)
    assert both.verify(large.bytes, reproduce=True).verdict == "unsigned-claim"
    assert both.verify(large.bytes, reproduce=True, source=PICTURE).verdict == "authentic"


def test_the_deadline_is_the_callers(gateway: GatewayProcess) -> None:
    with Client(gateway.url) as client, pytest.raises(ProblemError) as caught:
        client.upscale("photo-x4", Image.new("RGB", (1500, 1500)), wait=1)
    assert caught.value.type == "/problems/deadline-exceeded"
    assert caught.value.status == 504


def test_models_are_loaded_and_unloaded(toy_repository, start_triton, start_gateway) -> None:
    triton = start_triton(toy_repository)
    gateway = start_gateway(triton.grpc_url)
    gateway.wait_ready()
    with Client(gateway.url) as client:
        assert client.unload("toy") is None
        with pytest.raises(ProblemError) as caught:
            client.generate("toy", [1])
        assert caught.value.status == 404
        assert client.load("toy").state == "READY"
        assert len(client.generate("toy", [1])) == 1
