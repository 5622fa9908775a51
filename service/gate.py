"""What stands between a model that Triton has loaded and traffic: one run of it, held against its card."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import structlog

from service.cards import Generator, ImageModel, ServedModel, TritonModel
from service.golden import GoldenError, Match, Mode, check
from service.triton import Triton, TritonChangedError, TritonError

State: TypeAlias = Literal["READY", "CHECKING", "REFUSED", "FAILING"]

# Checks compete with traffic for the processor, so there are few at a time.
_AT_A_TIME: Final = 2

log = structlog.get_logger(__name__)


@dataclass
class Verdict:
    """What is known of one model as Triton has it now.

    Attributes:
        candidate: The model that was judged.
        state: `REFUSED` is final; a model that is `FAILING` is tried again at every refresh.
        reason: Why it takes no traffic; empty if it does.
        serving: What takes the traffic: the candidate, or an older version in its stead, or nothing.
        failures: Calls in a row that failed as if the model's process had died.
    """

    candidate: ServedModel
    state: State
    reason: str = ""
    serving: ServedModel | None = None
    failures: int = 0


class Gate:
    """Judges models in the background, few at a time, and remembers."""

    def __init__(self, triton: Triton, mode: Mode, timeout: float, changed: Callable[[], None]) -> None:
        """Nothing is judged yet.

        Args:
            triton: Who runs the models.
            mode: See `service.golden.check`.
            timeout: Of one check, in seconds.
            changed: Called whenever a verdict was reached.
        """
        self._triton = triton
        self._mode: Mode = mode
        self._timeout = timeout
        self._changed = changed
        self._verdicts: dict[str, Verdict] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_A_TIME)
        # Digests of the weights that Triton's response cache may hold answers of, by model and version.
        self._cached: dict[tuple[str, str], str] = {}

    def verdict(self, name: str) -> Verdict | None:
        """What is known of a model."""
        return self._verdicts.get(name)

    def forget(self, name: str | None = None) -> None:
        """Has a model judged anew, or all of them, for example since Triton was restarted.

        Args:
            name: Public name; None for all.
        """
        if name is None:
            self._cached.clear()  # with Triton, its cache was
        for known in list(self._verdicts) if name is None else [name]:
            self._verdicts.pop(known, None)
            if (check := self._checks.pop(known, None)) is not None:
                check.cancel()

    def judge(self, candidate: ServedModel, older: ServedModel | None) -> asyncio.Task[None] | None:
        """Makes sure that a model is judged, or being judged.

        Args:
            candidate: As Triton has it now.
            older: What took traffic under this name until now, if Triton still has all of it.

        Returns:
            The check, if one was begun now.
        """
        name = candidate.name
        known = self._verdicts.get(name)
        if known is not None and identity(known.candidate) == identity(candidate):
            if known.state == "REFUSED" and older is None:
                known.serving = None  # the older version has gone meanwhile
            if known.state in ("READY", "REFUSED") or name in self._checks:
                return None
        else:
            if (check := self._checks.pop(name, None)) is not None:
                check.cancel()
            # Under the same version numbers, Triton may have put other weights in the older one's place.
            serving = older if older is not None and older.parts != candidate.parts else None
            known = self._verdicts[name] = Verdict(
                candidate, "CHECKING", "The model is being checked.", serving
            )
        task = self._checks[name] = asyncio.create_task(self._check(known, older))
        return task

    def failed(self, model: ServedModel, reason: str, limit: int) -> None:
        """Notes a call that failed as if the model's process had died.

        Args:
            model: As the call had it from the catalog.
            reason: Triton's.
            limit: So many in a row, and the model takes no traffic until a check succeeds.
        """
        known = self._verdicts.get(model.name)
        if known is None or known.serving is not model or known.state == "FAILING":
            return
        known.failures += 1
        if known.failures < limit:
            return
        log.warning("model is out of service", model=model.name, reason=reason)
        known.state, known.reason, known.serving = "FAILING", reason, None
        if model.name not in self._checks:
            self._checks[model.name] = asyncio.create_task(self._check(known, None))
        self._changed()

    def succeeded(self, model: ServedModel) -> None:
        """Notes a call that went well."""
        known = self._verdicts.get(model.name)
        if known is not None:
            known.failures = 0

    async def finished(self, name: str) -> None:
        """Returns when no check of this model is under way."""
        if (check := self._checks.get(name)) is not None:
            await asyncio.wait([check])

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._checks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, verdict: Verdict, older: ServedModel | None) -> None:
        name = verdict.candidate.name
        try:
            async with self._places:
                await self._judge(verdict, older)
        except TritonChangedError:
            # The refresh that comes next finds out what became of it; until then nothing is known.
            if self._verdicts.get(name) is verdict:
                del self._verdicts[name]
        finally:
            if self._checks.get(name) is asyncio.current_task():
                del self._checks[name]
        self._changed()

    async def _judge(self, verdict: Verdict, older: ServedModel | None) -> None:
        candidate = verdict.candidate
        try:
            self._refuse_stale(candidate)
            match = await check(self._triton, candidate, self._mode, self._timeout)
        except GoldenError as error:
            verdict.serving = await self._still_good(older)
            verdict.state, verdict.reason = "REFUSED", str(error)
            log.error(
                "model is refused",
                model=candidate.name,
                version=candidate.card["version"],
                digest=candidate.digest,
                reason=str(error),
                still_served=None if verdict.serving is None else verdict.serving.card["version"],
            )
        except TritonChangedError:
            raise
        except TritonError as error:
            reason = f"The model fails: {error}"
            if verdict.state != "FAILING" or verdict.reason != reason:
                log.warning("model fails its check", model=candidate.name, reason=str(error))
            verdict.state, verdict.reason, verdict.serving = "FAILING", reason, None
        else:
            if match == "close":
                log.warning("model makes close, not equal pixels", model=candidate.name)
            verdict.state, verdict.reason, verdict.failures = "READY", "", 0
            verdict.serving = _with_match(candidate, match)

    def _refuse_stale(self, candidate: ServedModel) -> None:
        """Raises GoldenError if Triton's response cache may answer for it with other weights' pixels.

        It outlives a reload, and tells models apart by name and version alone.
        """
        for part in triton_models(candidate):
            if not part.cached:
                continue
            digest = str(part.card["digest"])
            if self._cached.setdefault((part.name, part.version), digest) != digest:
                raise GoldenError(
                    f"{part.name} has other weights under the same version {part.version}, and Triton's "
                    "response cache still has answers of the old ones; give the new ones a new version number"
                )

    async def _still_good(self, older: ServedModel | None) -> ServedModel | None:
        """The older version, if what Triton has under its name and version is still what it was."""
        if older is None or self._mode == "off":
            return older
        try:
            match = await check(self._triton, _with_golden_of_export(older), self._mode, self._timeout)
        except (GoldenError, TritonError):
            return None
        return None if match == "unchecked" else older


def identity(model: ServedModel) -> tuple[object, ...]:
    """What must be the same for two models to be one and the same."""
    return model.parts, model.digest, model.card, triton_models(model)


def triton_models(model: ServedModel) -> tuple[TritonModel, ...]:
    """The Triton models behind a model."""
    if isinstance(model, Generator):
        return model.mapping, model.synthesis
    return (model.model,) if isinstance(model, ImageModel) else ()


def unavailable_card(verdict: Verdict) -> dict[str, Any]:
    """The public card of a model that takes no traffic."""
    return {**_with_match(verdict.candidate, None).card, "state": verdict.state, "reason": verdict.reason}


def _with_match(model: ServedModel, match: Match | None) -> ServedModel:
    """The model with the result of the check in its public card, in place of thumbnails nobody reads."""
    golden = {key: value for key, value in (model.card.get("golden") or {}).items() if key != "thumbnails"}
    if match is not None:
        golden["state"] = match
    return replace(model, card={**model.card, "golden": golden})


def _with_golden_of_export(model: ServedModel) -> ServedModel:
    """The model with the card's own golden, which the public card has not in full."""
    part = triton_models(model)[-1]
    return replace(model, card={**model.card, "golden": part.card.get("golden")})
