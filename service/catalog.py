"""Which models are served: read from Triton's repository index and model configs, and from nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from service.cards import CardError, ServedModel, TritonModel, read_triton_model
from service.gate import Gate, Verdict, identity, triton_models, unavailable_card
from service.golden import Mode
from service.model_assembly import assemble
from service.telemetry.metrics import Metrics, ModelStanding
from service.triton import Triton, TritonChangedError, TritonDeadlineError

_ASK_TIMEOUT = 2.0
# A check that takes longer than this goes on in the background, so that it holds up no other model.
_WAIT_FOR_CHECKS = 2.0

log = structlog.get_logger(__name__)


class CatalogError(LookupError):
    """The model cannot be used."""


class UnknownModelError(CatalogError):
    """Triton serves no such model."""


class UnavailableModelError(CatalogError):
    """Triton has the model, and it takes no traffic now; the text says why."""


class TritonAwayError(CatalogError):
    """Triton does not answer, so nothing can be said about any model."""


class Catalog:
    """The models Triton serves now; renewed in the background and whenever a call finds Triton changed.

    A model takes traffic once it has passed the gate: see `service.gate`.
    """

    def __init__(
        self,
        triton: Triton,
        refresh_seconds: float,
        metrics: Metrics,
        *,
        golden_check: Mode = "close",
        check_timeout: float = 30.0,
        failures: int = 3,
    ) -> None:
        """Starts empty, and away until the first refresh.

        Args:
            triton: Whom to ask.
            refresh_seconds: How often the background task asks.
            metrics: Told whether Triton is up and what it serves.
            golden_check: How pixels are held against cards.
            check_timeout: Of the check of one model, in seconds.
            failures: Calls in a row that fail as if the model's process had died, after which it is out.
        """
        self._triton = triton
        self._refresh_seconds = refresh_seconds
        self._metrics = metrics
        self._failures = failures
        self._gate = Gate(triton, golden_check, check_timeout, self._publish)
        self._candidates: Mapping[str, ServedModel] = {}
        self._models: dict[str, ServedModel] = {}
        self._waiting: dict[str, Verdict] = {}
        self._complaints: Mapping[str, str] = {}
        self._read: dict[tuple[str, str], TritonModel] = {}  # by name and version, as of the last refresh
        self._loading: dict[str, asyncio.Event] = {}
        self._unloading: set[str] = set()
        self._up = False
        self._lock = asyncio.Lock()
        self._refreshes = 0

    @property
    def up(self) -> bool:
        """Whether Triton answered when it was last asked."""
        return self._up

    @property
    def names(self) -> list[str]:
        """Names of the models that take traffic, in order."""
        return sorted(self._models)

    def models(self) -> list[ServedModel]:
        """All models that take traffic, by name.

        Raises:
            TritonAwayError: If Triton does not answer.
        """
        self._must_be_up()
        return [self._models[name] for name in sorted(self._models)]

    def cards(self) -> list[dict[str, Any]]:
        """Public cards of all models, by name, those that take no traffic among them.

        Raises:
            TritonAwayError: If Triton does not answer.
        """
        self._must_be_up()
        return [self.card(name) for name in sorted(self._models.keys() | self._waiting.keys())]

    def card(self, name: str) -> dict[str, Any]:
        """The public card of one model.

        Args:
            name: Its public name.

        Raises:
            TritonAwayError: If Triton does not answer.
            UnknownModelError: If Triton has no such model.
        """
        self._must_be_up()
        model, verdict = self._models.get(name), self._waiting.get(name)
        if model is None and verdict is None:
            raise UnknownModelError(name)
        if model is None:
            assert verdict is not None
            return unavailable_card(verdict)
        card = dict(model.card)
        if verdict is not None:  # an older version serves in its stead
            newer = unavailable_card(verdict)
            card["newer"] = {key: newer[key] for key in ("version", "digest", "state", "reason")}
        return card

    def get(self, name: str) -> ServedModel:
        """One model.

        Args:
            name: Its public name.

        Returns:
            The model; it was ready when Triton was last asked.

        Raises:
            TritonAwayError: If Triton does not answer.
            UnavailableModelError: If it takes no traffic now.
            UnknownModelError: If Triton serves no such model.
        """
        self._must_be_up()
        if name in self._unloading:
            raise UnknownModelError(name)
        if name in self._models:
            return self._models[name]
        if name in self._waiting:
            raise UnavailableModelError(self._waiting[name].reason)
        raise UnknownModelError(name)

    def unavailable(self) -> dict[str, str]:
        """Why, by name, models that Triton has ready take no traffic."""
        return {name: v.reason for name, v in self._waiting.items() if name not in self._models}

    def is_failing(self, name: str) -> bool:
        """Whether a model is out since its calls, or its check, fail."""
        return name in self._waiting and self._waiting[name].state == "FAILING"

    def triton_names(self, name: str) -> tuple[str, ...]:
        """Names of the Triton models that a public name stood for when Triton was last asked; may be none."""
        model = self._candidates.get(name)
        return () if model is None else tuple(part.name for part in triton_models(model))

    def succeeded(self, model: ServedModel) -> None:
        """Notes that a call of this model went well."""
        self._gate.succeeded(model)

    def failed(self, model: ServedModel, reason: str) -> None:
        """Notes that a call failed as if the model's process had died; after several, the model is out.

        Args:
            model: As `get` returned it.
            reason: Triton's.
        """
        self._gate.failed(model, reason, self._failures)

    async def confirm(self, model: ServedModel) -> None:
        """Makes sure, after an answer, that it was this model's: a reload puts other weights in its place.

        Costs nothing unless the model is being loaded, or was replaced since the call began.

        Args:
            model: As `get` returned it.

        Raises:
            TritonChangedError: If Triton has, or may have, other weights under the model's name by now.
        """
        known = self._models.get(model.name)
        if model.name not in self._loading and known is not None and known.digest == model.digest:
            return
        await self.verify(model)

    async def verify(self, model: ServedModel) -> None:
        """Asks Triton whether it has the weights of this model now; those of an answer just made, if so.

        For who is not told when a gateway has a model loaded.

        Args:
            model: As `get` returned it.

        Raises:
            TritonChangedError: If Triton has, or may have, other weights under the model's name by now.
        """
        parts = triton_models(model)
        try:
            configs = await asyncio.gather(
                *(self._triton.model_config(part.name, part.version, _ASK_TIMEOUT) for part in parts)
            )
        except TritonDeadlineError as error:
            raise TritonChangedError("Triton did not say in time what it serves") from error
        for part, config in zip(parts, configs, strict=True):
            try:
                digest = read_triton_model(config, part.version).card["digest"]
            except CardError as error:
                raise TritonChangedError(str(error)) from error
            if digest != part.card["digest"]:
                raise TritonChangedError("the model was reloaded meanwhile")

    async def settle(self) -> None:
        """Returns when no model is being loaded, and what Triton has now is known."""
        for loaded in list(self._loading.values()):
            await loaded.wait()
        await self.refresh()

    @contextlib.contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """While inside, the model is being loaded: what is known of it stays, and is doubted."""
        finished = self._loading[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._loading[name]
            self._publish()
            finished.set()

    @contextlib.contextmanager
    def unloading(self, name: str) -> Iterator[None]:
        """While inside, no call gets the model any more."""
        self._unloading.add(name)
        try:
            yield
        finally:
            self._unloading.discard(name)

    async def close(self) -> None:
        """Ends the checks under way."""
        await self._gate.close()

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
            await self._refresh()

    async def judge(self, name: str) -> Verdict | None:
        """Asks Triton now, has one model judged anew and waits until it is.

        Args:
            name: Its public name; inside `loading`, which ends with this for other callers.

        Returns:
            The verdict; None if Triton does not have the model, or went away.
        """
        async with self._lock:
            self._refreshes += 1
            self._gate.forget(name)
            await self._refresh(judged=name)
        await self._gate.finished(name)
        return self._gate.verdict(name) if self._up and name in self._candidates else None

    async def _refresh(self, judged: str | None = None) -> None:
        try:
            ready, found, complaints = await self._read_triton()
        except TritonChangedError as error:
            self._set_up(False, str(error))
            return
        if not self._up:
            self._gate.forget()  # it was away, and may have come back as another
        candidates = assemble(found, complaints)
        checks = []
        for name, candidate in candidates.items():
            if name in self._loading and name != judged:
                continue
            older = self._models.get(name)
            if older is not None and any(v not in ready.get(part, ()) for part, v in older.parts):
                older = None
            if (check := self._gate.judge(candidate, older)) is not None and name != judged:
                checks.append(check)
        if checks:
            await asyncio.wait(checks, timeout=_WAIT_FOR_CHECKS)
        self._complain(complaints)
        self._candidates = candidates
        self._publish()
        self._set_up(True, "")

    async def _read_triton(self) -> tuple[dict[str, list[str]], list[TritonModel], dict[str, str]]:
        ready = await self._triton.ready_models(_ASK_TIMEOUT)
        versions = {name: all_of_it[-1] for name, all_of_it in ready.items()}
        complaints: dict[str, str] = {}
        configs = await asyncio.gather(
            *(self._triton.model_config(name, version, _ASK_TIMEOUT) for name, version in versions.items()),
            return_exceptions=True,
        )
        gone = any(isinstance(config, TritonChangedError) for config in configs)
        if gone and not await self._triton.is_live(_ASK_TIMEOUT):
            raise TritonChangedError("Triton went away while it was asked")
        read: dict[tuple[str, str], TritonModel] = {}
        for (name, version), config in zip(versions.items(), configs, strict=True):
            known = self._read.get((name, version))
            if isinstance(config, TritonDeadlineError) and known is not None:
                # Triton is busy and lists the version as ready: it is what it was.
                read[name, version] = known
                continue
            if isinstance(config, BaseException):
                complaints[name] = str(config)
                continue
            try:
                read[name, version] = read_triton_model(config, version)
            except CardError as error:
                complaints[name] = str(error)
        self._read = read
        return ready, list(read.values()), complaints

    def _must_be_up(self) -> None:
        if not self._up:
            raise TritonAwayError("Triton does not answer")

    def _set_up(self, up: bool, reason: str) -> None:
        if up != self._up:
            if up:
                log.info("triton is up")
            else:
                log.warning("triton is away", reason=reason)
        self._up = up
        self._metrics.triton_up.set(up)

    def _complain(self, complaints: Mapping[str, str]) -> None:
        for name, reason in complaints.items():
            if self._complaints.get(name) != reason:
                log.warning("model is not served", model=name, reason=reason)
        self._complaints = complaints
        self._metrics.models_misfit.set(len(complaints))

    def _publish(self) -> None:
        """Makes what is known what calls get."""
        models: dict[str, ServedModel] = {}
        waiting: dict[str, Verdict] = {}
        for name in self._candidates.keys() | self._models.keys():
            if name in self._loading:  # until it is judged, what was known stays
                if name in self._models:
                    models[name] = self._models[name]
                if name in self._waiting:
                    waiting[name] = self._waiting[name]
                continue
            verdict = self._gate.verdict(name) if name in self._candidates else None
            if verdict is None:
                continue
            if verdict.serving is not None:
                models[name] = verdict.serving
            if verdict.state != "READY":
                waiting[name] = verdict
        self._waiting = waiting
        self._tell(models)
        self._models = models

    def _tell(self, models: Mapping[str, ServedModel]) -> None:
        """Logs what changed, and sets the metrics."""
        for name in sorted(models.keys() | self._models.keys()):
            new, old = models.get(name), self._models.get(name)
            if new is None:
                log.info("model is gone", model=name)
            elif old is None or identity(new) != identity(old):
                log.info("model is served", model=name, version=new.card["version"], digest=new.digest)
                if (notice := new.card.get("notice")) is not None:
                    log.warning("model is not free to use", model=name, notice=notice)
        self._metrics.show_models(
            {
                name: _standing(models.get(name), self._waiting.get(name))
                for name in models.keys() | self._waiting.keys()
            }
        )


def _standing(serving: ServedModel | None, waiting: Verdict | None) -> ModelStanding:
    return ModelStanding(
        version=None if serving is None else str(serving.card["version"]),
        state="READY" if waiting is None else waiting.state,
        golden=None if serving is None else serving.card["golden"].get("state"),
    )
