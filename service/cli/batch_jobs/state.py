"""What a batch has to know to go on after it was stopped: a small file beside the results."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.cli.batch_jobs.units import Unit
from service.files import write_atomically

NAME = ".ganserve-batch.json"
STAGING = ".ganserve-batch.parts"
_VERSION = 1

Stamp = tuple[int, int]


class OtherBatchError(Exception):
    """The state is of a batch with other settings, or another command works on it; the text says which."""


@dataclass
class Part:
    """One job of a batch.

    Attributes:
        key: Its Idempotency-Key: decided, and written down, before anything is sent.
        begun: When that was, in seconds since 1970.
        units: Name and stamp of each of its images, in their order; None for a prefix that the server lists.
        id: Of the job, once the server has said so.
        ended: For a prefix: it has, and nothing of it is missing here.
    """

    key: str
    begun: float
    units: list[tuple[str, Stamp]] | None
    id: str | None = None
    ended: bool = False

    @classmethod
    def of(cls, units: Sequence[Unit] | None) -> Part:
        """A part that is about to be sent.

        Args:
            units: Its images.
        """
        named = None if units is None else [(unit.name, unit.stamp) for unit in units]
        return cls(uuid.uuid4().hex, time.time(), named)


@dataclass
class Done:
    """An image that was made.

    Attributes:
        stamp: Of the file it was made of.
        size: Of the result, in bytes.
    """

    stamp: Stamp
    size: int


@dataclass
class Failed:
    """An image that cannot be made.

    Attributes:
        stamp: Of the file.
        problem: Why, as RFC 9457 has it.
    """

    stamp: Stamp
    problem: Mapping[str, Any]


@dataclass
class State:
    """A batch as it stands.

    Attributes:
        path: The file.
        settings: What decides the results; a batch with others is another one.
        parts: Jobs that are not known to have ended.
        done: By name.
        failed: By name.
    """

    path: Path
    settings: Mapping[str, Any]
    parts: list[Part] = field(default_factory=list)
    done: dict[str, Done] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Everything, as plain JSON values that later changes do not touch."""
        return {
            "about": "ganserve batch keeps here what it has to know to go on; delete it to begin anew",
            "version": _VERSION,
            "settings": dict(self.settings),
            "jobs": [
                {
                    "key": part.key,
                    "id": part.id,
                    "begun": part.begun,
                    "ended": part.ended,
                    "images": None if part.units is None else [[name, *stamp] for name, stamp in part.units],
                }
                for part in self.parts
            ],
            "done": {name: [*done.stamp, done.size] for name, done in self.done.items()},
            "failed": {name: [*failed.stamp, failed.problem] for name, failed in self.failed.items()},
        }

    def is_empty(self) -> bool:
        """Whether there is nothing to know."""
        return not (self.parts or self.done or self.failed)

    def is_settled(self, unit: Unit) -> bool:
        """Whether an image was made, or could not be, as its file is now.

        Args:
            unit: The image.
        """
        known = self.done.get(unit.name) or self.failed.get(unit.name)
        return known is not None and known.stamp == unit.stamp

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        write_state(self.path, self.content())


def write_state(path: Path, content: Mapping[str, Any]) -> None:
    """Write a state's file, whole or not at all.

    Args:
        path: The file.
        content: As `State.content` returns it.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(path, json.dumps(content).encode("ascii"))


def read_state(path: Path, settings: Mapping[str, Any] | None) -> State:
    """The state that an earlier run left, or an empty one.

    Args:
        path: The file.
        settings: Of this run; None for whatever they were.

    Raises:
        OtherBatchError: It is of a run with other settings, or cannot be understood.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return State(path, settings or {})
    except ValueError:
        raise OtherBatchError(f"{path} is damaged; --overwrite begins anew") from None
    try:
        if content["version"] != _VERSION:
            raise OtherBatchError(f"{path} is of another version of ganserve; --overwrite begins anew")
        state = State(path, content["settings"])
        for job in content["jobs"]:
            images = job["images"]
            units = None if images is None else [(str(name), (int(a), int(b))) for name, a, b in images]
            state.parts.append(Part(job["key"], job["begun"], units, job["id"], job["ended"]))
        for name, (size, mtime_ns, made) in content["done"].items():
            state.done[name] = Done((size, mtime_ns), made)
        for name, (size, mtime_ns, problem) in content["failed"].items():
            state.failed[name] = Failed((size, mtime_ns), problem)
    except (LookupError, TypeError, ValueError) as error:
        raise OtherBatchError(f"{path} is damaged ({error}); --overwrite begins anew") from None
    if settings is None:
        return state
    differing = [
        name for name in {**settings, **state.settings} if state.settings.get(name) != settings.get(name)
    ]
    if differing:
        raise OtherBatchError(
            f"{path.parent} has results of a batch with other settings ({', '.join(sorted(differing))}); give"
            " another place for the results, or --overwrite to make all of them anew"
        )
    return state


def state_path(source: str, out: str, folder: Path | None) -> Path:
    """Where the state of a batch is.

    Args:
        source: Where the inputs are, as typed.
        out: Where the results go, as typed.
        folder: The same, if it is a folder of this machine.

    Returns:
        In the folder of results; for a bucket, in the user's folder for such things.
    """
    if folder is not None:
        return folder / NAME
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    name = hashlib.sha256(json.dumps([source, out]).encode()).hexdigest()[:32]
    return home / "ganserve" / "batches" / f"{name}.json"


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """Keeps a second command from working on the same batch.

    Args:
        path: Of the state's file.

    Yields:
        A folder for unfinished files, which is empty.

    Raises:
        OtherBatchError: Another one does so now.
        OSError: The folder cannot be made.
    """
    staging = path.parent / (STAGING if path.name == NAME else f"{path.stem}.parts")
    staging.mkdir(parents=True, exist_ok=True)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OtherBatchError(f"another `ganserve batch` is at work in {path.parent}") from None
        for left in staging.iterdir():  # of a run that was killed
            left.unlink()
        try:
            yield staging
        finally:
            with suppress(OSError):
                staging.rmdir()
    finally:
        os.close(handle)
