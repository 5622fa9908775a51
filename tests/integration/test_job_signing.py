"""Items of jobs are signed as answers are: on request, or always, and refused where nothing can sign."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.api.errors.problems import ProblemError
from service.images.provenance import read_provenance
from service.images.signing import load_signer
from service.jobs.operations import check_operation, read_operation
from service.jobs.produced import Produced
from service.jobs.runtime import Runtime
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.certificates import make_authority, write_credentials
from tests.image_files import saved
from tests.integration.test_gateway_signing import trusted
from tests.integration.test_super_resolution import picture
from tests.triton_process import TritonProcess


async def both(runtime: Runtime, **parameters: Any) -> list[Produced]:
    """An image of each way to make one."""
    file = saved(Image.fromarray(picture(20, 30)), "PNG")
    image = await runtime.run_image(read_operation("super-resolution", "photo-x4", parameters), file)
    seeds = runtime.run_seeds(read_operation("generate", "toy", parameters), [3])
    async with aclosing(seeds) as made:
        return [image, await anext(made)]


async def ready(runtime: Runtime) -> None:
    for _ in range(200):
        if {"photo-x4", "toy"} <= set(runtime.engine.catalog.names):
            return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("always", [False, True])
def test_signed_where_it_is_asked_for(triton: TritonProcess, tmp_path: Path, always: bool) -> None:
    authority = make_authority()
    credentials = write_credentials(tmp_path, authority)
    settings = Settings(
        triton_url=triton.grpc_url, c2pa_sign="always" if always else "on-request", **credentials
    )

    async def work() -> None:
        async with Runtime(settings, Metrics(), load_signer(settings, "1")) as runtime:
            await ready(runtime)
            for sign in (True, False):
                for made in await both(runtime, sign=sign):
                    data = made.file.read()
                    assert made.size == len(data)
                    recipe = trusted(data, made.media_type, authority)
                    assert (recipe is not None) == (sign or always)
                    assert read_provenance(data).recipe == made.recipe == (recipe or made.recipe)
                    made.file.close()

    asyncio.run(work())


def test_no_certificate_nothing_signed(triton: TritonProcess) -> None:
    settings = Settings(triton_url=triton.grpc_url)

    async def work() -> None:
        async with Runtime(settings, Metrics()) as runtime:
            await ready(runtime)
            with pytest.raises(ProblemError) as caught:
                await both(runtime, sign=True)
            assert caught.value.problem.slug == "signing-not-configured"
            with pytest.raises(ProblemError) as refused:
                check_operation(runtime.engine, read_operation("generate", "toy", {"sign": True}))
            assert refused.value.members["field"] == "parameters.sign"

    asyncio.run(work())
