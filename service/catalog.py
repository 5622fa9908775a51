"""Which models are served: read from Triton's repository index and model configs, and from nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from service.cards import (
    CardError,
    Generator,
    ServedModel,
    TritonModel,
    join_generator,
    read_triton_model,
    single_model,
)
from service.telemetry.metrics import Metrics
from service.triton import Triton, TritonChangedError

_ASK_TIMEOUT = 2.0

log = structlog.get_logger(__name__)


class CatalogError(LookupError):
    """The model cannot be used."""


class UnknownModelError(CatalogError):
    """Triton serves no such model."""


class TritonAwayError(CatalogError):
    """Triton does not answer, so nothing can be said about any model."""


class Catalog:
    """The models Triton serves now; renewed in the background and whenever a call finds Triton changed."""

    def __init__(self, triton: Triton, refresh_seconds: float, metrics: Metrics) -> None:
        """Starts empty, and away until the first refresh.

        Args:
            triton: Whom to ask.
            refresh_seconds: How often the background task asks.
            metrics: Told whether Triton is up and what it serves.
        """
        self._triton = triton
        self._refresh_seconds = refresh_seconds
        self._metrics = metrics
        self._models: Mapping[str, ServedModel] = {}
        self._complaints: Mapping[str, str] = {}
        self._up = False
        self._lock = asyncio.Lock()
        self._refreshes = 0

    @property
    def up(self) -> bool:
        """Whether Triton answered when it was last asked."""
        return self._up

    @property
    def names(self) -> list[str]:
        """Names of the models served, in order."""
        return sorted(self._models)

    def models(self) -> list[ServedModel]:
        """All models served, by name.

        Raises:
            TritonAwayError: If Triton does not answer.
        """
        if not self._up:
            raise TritonAwayError("Triton does not answer")
        return [self._models[name] for name in sorted(self._models)]

    def get(self, name: str) -> ServedModel:
        """One model.

        Args:
            name: Its public name.

        Returns:
            The model; it was ready when Triton was last asked.

        Raises:
            TritonAwayError: If Triton does not answer.
            UnknownModelError: If Triton serves no such model.
        """
        if not self._up:
            raise TritonAwayError("Triton does not answer")
        try:
            return self._models[name]
        except KeyError:
            raise UnknownModelError(name) from None

    async def keep_fresh(self) -> None:
        """Refreshes for as long as the task runs."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self.try_refresh()

    async def try_refresh(self) -> None:
        """Refreshes; a fault in doing so is logged, and what was known stays known."""
        try:
            await self.refresh()
        except Exception:
            log.exception("catalog refresh failed")

    async def refresh(self) -> None:
        """Asks Triton now; callers that come together share one answer no older than their question."""
        asked = self._refreshes
        async with self._lock:
            if self._refreshes > asked:
                return
            self._refreshes += 1
            try:
                triton_models, complaints = await self._read_triton()
            except TritonChangedError as error:
                self._set_up(False, str(error))
                return
            models = _assemble(triton_models, complaints)
            self._set_up(True, "")
            self._replace(models, complaints)

    async def _read_triton(self) -> tuple[list[TritonModel], dict[str, str]]:
        versions = await self._triton.ready_models(_ASK_TIMEOUT)
        models, complaints = [], {}
        configs = await asyncio.gather(
            *(self._triton.model_config(name, version, _ASK_TIMEOUT) for name, version in versions.items()),
            return_exceptions=True,
        )
        gone = any(isinstance(config, TritonChangedError) for config in configs)
        if gone and not await self._triton.is_live(_ASK_TIMEOUT):
            raise TritonChangedError("Triton went away while it was asked")
        for (name, version), config in zip(versions.items(), configs, strict=True):
            if isinstance(config, BaseException):
                complaints[name] = str(config)
                continue
            try:
                models.append(read_triton_model(config, version))
            except CardError as error:
                complaints[name] = str(error)
        return models, complaints

    def _set_up(self, up: bool, reason: str) -> None:
        if up != self._up:
            if up:
                log.info("triton is up")
            else:
                log.warning("triton is away", reason=reason)
        self._up = up
        self._metrics.triton_up.set(up)

    def _replace(self, models: Mapping[str, ServedModel], complaints: Mapping[str, str]) -> None:
        for name, reason in complaints.items():
            if self._complaints.get(name) != reason:
                log.warning("model is not served", model=name, reason=reason)
        self._complaints = complaints
        if {name: _identity(model) for name, model in models.items()} == {
            name: _identity(model) for name, model in self._models.items()
        }:
            return
        for name in sorted(models.keys() | self._models.keys()):
            new, old = models.get(name), self._models.get(name)
            if new is None:
                log.info("model is gone", model=name)
            elif old is None or _identity(new) != _identity(old):
                log.info("model is served", model=name, version=new.card["version"], digest=new.digest)
        self._models = models
        self._metrics.models.set(len(models))
        self._metrics.model_info.clear()
        for name, model in models.items():
            self._metrics.model_info.labels(name, model.card["version"]).set(1)


def _identity(model: ServedModel) -> tuple[object, ...]:
    return model.parts, model.card, isinstance(model, Generator) and (model.mapping, model.synthesis)


def _assemble(triton_models: list[TritonModel], complaints: dict[str, str]) -> dict[str, ServedModel]:
    """Public models out of Triton's; what does not fit adds to the complaints."""
    halves: dict[str, dict[str, TritonModel]] = {}
    models: dict[str, ServedModel] = {}
    for model in sorted(triton_models, key=lambda model: model.name):
        name, role = model.card["name"], model.card.get("role")
        if model.card["kind"] != "generator":
            if name in models:
                complaints[model.name] = f"another model is already called {name!r}"
            else:
                try:
                    models[name] = single_model(model)
                except CardError as error:
                    complaints[model.name] = str(error)
        elif role not in ("mapping", "synthesis"):
            complaints[model.name] = f"a generator's card needs role mapping or synthesis, not {role!r}"
        elif role in halves.setdefault(name, {}):
            complaints[model.name] = f"the generator {name!r} already has a {role} model"
        else:
            halves[name][role] = model
    for name, parts in halves.items():
        if name in models:
            complaints[name] = "a generator and another model share this name"
        elif len(parts) < 2:
            complaints[name] = f"only the {next(iter(parts))} half is ready"
        else:
            try:
                models[name] = join_generator(parts["mapping"], parts["synthesis"])
            except CardError as error:
                complaints[name] = str(error)
    return models
