"""What of a batch is still to be done, after what earlier runs did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cli.batch_jobs.outcome import Failure
from service.cli.batch_jobs.state import Part, State
from service.cli.batch_jobs.units import Unit


@dataclass
class Remaining:
    """What is to be done.

    Attributes:
        kept: How many images need nothing: their files are as they were, and so are their results.
        failures: Images that cannot be made, and whose files are as they were.
        begun: Jobs under way, with those of their images that are wanted still.
        pending: Images that are in none of them.
    """

    kept: int
    failures: list[Failure]
    begun: list[tuple[Part, list[Unit | None]]]
    pending: list[Unit]

    @property
    def count(self) -> int:
        """Images to be made."""
        begun = sum(unit is not None for _, units in self.begun for unit in units)
        return begun + len(self.pending)


def remaining(units: Sequence[Unit], state: State, folder: Path | None, *, retry_failed: bool) -> Remaining:
    """Compares what is wanted with what there is.

    Args:
        units: All images that are wanted, as their files are now.
        state: Of earlier runs; what is of no use any more is taken out.
        folder: Of the results; None if they are elsewhere, and taken to be there.
        retry_failed: Whether images that could not be made are tried again.

    Returns:
        What is to be done.
    """
    found = Remaining(0, [], [], [])
    open_units: dict[str, Unit] = {}
    for unit in units:
        done, failed = state.done.get(unit.name), state.failed.get(unit.name)
        if done is not None and done.stamp == unit.stamp and _is_there(folder, unit, done.size):
            found.kept += 1
        elif failed is not None and failed.stamp == unit.stamp and not retry_failed:
            found.failures.append(Failure(unit.name, failed.problem))
        else:
            state.done.pop(unit.name, None)
            state.failed.pop(unit.name, None)
            open_units[unit.name] = unit
    for part in list(state.parts):
        listed: list[Unit | None] = []
        for name, stamp in part.units or ():
            unit_now = open_units.get(name)
            listed.append(unit_now if unit_now is not None and unit_now.stamp == stamp else None)
        # One that was perhaps never made has to be sent as it was, or not at all.
        useful = all(listed) if part.id is None else any(listed)
        if part.units is None or not useful:
            state.parts.remove(part)
            continue
        found.begun.append((part, listed))
        for wanted in listed:
            if wanted is not None:
                del open_units[wanted.name]
    found.pending = list(open_units.values())
    return found


def _is_there(folder: Path | None, unit: Unit, size: int) -> bool:
    if folder is None:
        return True
    try:
        return (folder / unit.output).stat().st_size == size
    except OSError:
        return False
