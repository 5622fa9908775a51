import asyncio

import numpy as np
import pytest

from service.catalog import Catalog, TritonAwayError, UnknownModelError
from service.telemetry.metrics import Metrics
from service.triton import TritonChangedError, TritonDeadlineError
from tests.unit.test_cards import config, image_config


class ScriptedTriton:
    """Says what a test wants it to say, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.away_for_configs = False
        self.slow_with = ""
        self.ready = {"toy-mapping": ["1"], "toy-synthesis": ["1"]}
        self.answering = asyncio.Event()  # until then it thinks
        self.answering.set()
        self.was_asked = asyncio.Event()

    async def ready_models(self, timeout: float) -> dict[str, list[str]]:
        self.asked += 1
        self.was_asked.set()
        await asyncio.sleep(0)
        await self.answering.wait()
        if self.away:
            raise TritonChangedError("away")
        return dict(self.ready)

    async def model_config(self, name: str, version: str, timeout: float):
        if self.away_for_configs:
            raise TritonChangedError("away")
        if name == self.slow_with:
            raise TritonDeadlineError("Deadline Exceeded")
        if name == "larger":
            return image_config("upscaler", scale=None)
        return config(name.removeprefix("toy-"))

    async def infer(self, model, inputs, output: str, timeout: float):
        batch = len(next(iter(inputs.values())))
        return np.zeros((batch, *model.outputs[output]), np.float32 if output == "ws" else np.uint8)

    async def is_live(self, timeout: float) -> bool:
        return not (self.away or self.away_for_configs)


def run(scenario) -> None:
    async def main() -> None:
        triton = ScriptedTriton()
        await scenario(triton, Catalog(triton, 60, Metrics()))

    asyncio.run(main())


def test_nothing_is_known_before_the_first_answer() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        with pytest.raises(TritonAwayError):
            catalog.get("toy")
        with pytest.raises(TritonAwayError):
            catalog.models()
        await catalog.refresh()
        assert catalog.get("toy").name == "toy"
        with pytest.raises(UnknownModelError):
            catalog.get("other")

    run(scenario)


def test_a_model_is_what_it_was_while_triton_is_too_busy_to_say() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        triton.slow_with = "toy-synthesis"
        await catalog.refresh()
        with pytest.raises(UnknownModelError):  # nobody knows yet what it is
            catalog.get("toy")
        triton.slow_with = ""
        await catalog.refresh()
        known = catalog.get("toy")
        triton.slow_with = "toy-synthesis"
        await catalog.refresh()
        assert catalog.get("toy") is known
        triton.ready["toy-synthesis"] = ["2"]  # of another version nothing is known
        await catalog.refresh()
        with pytest.raises(UnknownModelError):
            catalog.get("toy")

    run(scenario)


def test_callers_share_a_question_but_never_an_old_answer() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        triton.answering.clear()
        early = asyncio.ensure_future(catalog.refresh())
        await triton.was_asked.wait()
        triton.ready = {}
        late = [asyncio.ensure_future(catalog.refresh()) for _ in range(50)]
        await asyncio.sleep(0.005)
        triton.answering.set()
        await early
        await asyncio.gather(*late)
        assert triton.asked == 2
        assert catalog.names == []

    run(scenario)


def test_away_and_back() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        await catalog.refresh()
        triton.away = True
        await catalog.refresh()
        assert not catalog.up
        with pytest.raises(TritonAwayError):
            catalog.get("toy")
        triton.away = False
        await catalog.refresh()
        assert catalog.get("toy").name == "toy"

    run(scenario)


def test_dying_between_two_answers_is_away_and_not_a_catalog_without_models() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        await catalog.refresh()
        triton.away_for_configs = True
        await catalog.refresh()
        with pytest.raises(TritonAwayError):
            catalog.get("toy")

    run(scenario)


def test_a_caller_that_gives_up_does_not_spoil_it_for_others() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        triton.answering.clear()
        first = asyncio.ensure_future(catalog.refresh())
        await triton.was_asked.wait()
        second = asyncio.ensure_future(catalog.refresh())
        await asyncio.sleep(0)
        first.cancel()
        triton.answering.set()
        await second
        assert catalog.names == ["toy"]

    run(scenario)


def test_a_model_whose_card_is_broken_is_not_served_and_others_are() -> None:
    async def scenario(triton: ScriptedTriton, catalog: Catalog) -> None:
        triton.ready["larger"] = "1"
        await catalog.refresh()
        assert catalog.names == ["toy"]

    run(scenario)
