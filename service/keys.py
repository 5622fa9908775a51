"""API keys: how a secret is made, what is kept of it, and the file in which that is kept.

A secret is `gsk_<id>_<random>`: the id says which entry to compare with and is no secret; the random part has
256 bits. What is kept is one SHA-256 of the whole. A slow hash is for passwords, which can be guessed; nobody
guesses 256 random bits, and a slow hash at every call would be a lever to keep the gateway busy with.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from service.files import write_atomically
from service.rates import checked_rate

KeyScope = Literal["generate", "translate", "upscale", "jobs", "admin"]
SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)

_SECRET: Final = re.compile(r"gsk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
# Compared with when the id is nobody's, so that this takes as long as a wrong secret for an id that exists.
_NOBODY: Final = secrets.token_hex(32)
ANONYMOUS: Final = "anonymous"
_PRIVATE: Final = 0o600

Result = TypeVar("Result")


class KeysFileError(Exception):
    """The keys file cannot be used; the message says which file, where in it, and why. It quotes no value."""


class Key(BaseModel):
    """One entry of the keys file.

    Attributes:
        name: What logs and metrics call the holder.
        id: The part of the secret that is not secret.
        hash: `sha256:` and the SHA-256 of the whole secret in hexadecimal.
        scopes: What the holder may do.
        rate: How often, such as `100/minute` or `5 per second`; None for no limit.
        concurrency: How many calls may be under way at once in one gateway process; None for no limit.
        created: When it was made.
        expires: From when on it is refused; None for never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    id: str = Field(pattern="^[0-9a-f]{12}$")
    hash: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    scopes: frozenset[KeyScope] = Field(min_length=1)
    rate: Annotated[str, AfterValidator(checked_rate)] | None = None
    concurrency: int | None = Field(None, ge=1, le=100_000)
    created: AwareDatetime | None = None
    expires: AwareDatetime | None = None

    @field_validator("name")
    @classmethod
    def _not_taken(cls, name: str) -> str:
        if name == ANONYMOUS:
            raise ValueError("callers without a key are called that")
        return name

    def has_expired(self, now: datetime) -> bool:
        """Whether it is refused by now."""
        return self.expires is not None and self.expires <= now


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


class KeySet:
    """The keys of one reading of the file; immutable."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._by_id: Mapping[str, Key] = {key.id: key for key in keys}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, secret: str) -> Key | None:
        """The key whose secret this is, expired or not.

        How long it takes tells nothing of any secret: the id, which is none, decides what is compared, and
        digests are compared in constant time.

        Args:
            secret: As a client presented it.

        Returns:
            The key, or None.
        """
        form = _SECRET.fullmatch(secret)
        if form is None:
            return None
        key = self._by_id.get(form.group(1))
        expected = _NOBODY if key is None else key.hash.removeprefix("sha256:")
        return key if hmac.compare_digest(_digest(secret), expected) else None


def read_keys(path: Path) -> KeySet:
    """Reads a keys file.

    Args:
        path: The file.

    Returns:
        Its keys.

    Raises:
        KeysFileError: It cannot be read, or something in it is not as it must be.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise KeysFileError(f"The keys file {path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        where = (
            f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "not UTF-8"
        )
        raise KeysFileError(f"The keys file {path} is not JSON: {where}.") from None
    try:
        keys = _KeysFile.model_validate(document).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise KeysFileError(
            f"The keys file {path} is not valid: {where}: {first['msg'].removeprefix('Value error, ')}."
        ) from None
    for attribute, values in (("name", [key.name for key in keys]), ("id", [key.id for key in keys])):
        for value, count in Counter(values).items():
            if count > 1:
                raise KeysFileError(
                    f"The keys file {path} is not valid: two keys have the {attribute} {value}."
                )
    return KeySet(keys)


def create_key(
    path: Path,
    name: str,
    scopes: Sequence[KeyScope],
    *,
    rate: str | None = None,
    concurrency: int | None = None,
    expires: datetime | None = None,
) -> str:
    """Adds a key to the file, which is made if it is missing.

    Args:
        path: The keys file.
        name: Of the new key; no other may have it.
        scopes: What it may do; at least one.
        rate: As `Key.rate`.
        concurrency: As `Key.concurrency`.
        expires: As `Key.expires`, with a time zone.

    Returns:
        The secret. It is written down nowhere.

    Raises:
        KeysFileError: The file is broken or cannot be written, the name is taken, or a value is not valid.
    """

    def add(keys: list[Key]) -> tuple[list[Key], str]:
        if any(key.name == name for key in keys):
            raise KeysFileError(f"There is a key {name!r} already; revoke it first, or choose another name.")
        taken = {key.id for key in keys}
        identifier = next(i for i in iter(lambda: secrets.token_hex(6), None) if i not in taken)
        secret = f"gsk_{identifier}_{secrets.token_urlsafe(32)}"
        try:
            key = Key(
                name=name,
                id=identifier,
                hash=f"sha256:{_digest(secret)}",
                scopes=frozenset(scopes),
                rate=rate,
                concurrency=concurrency,
                created=datetime.now(timezone.utc).replace(microsecond=0),
                expires=expires,
            )
        except ValidationError as error:
            first = error.errors(include_context=False, include_url=False)[0]
            why = first["msg"].removeprefix("Value error, ")
            raise KeysFileError(f"{first['loc'][0]}: {why} (it is {first['input']!r}).") from None
        return [*keys, key], secret

    return _change(path, add)


def revoke_key(path: Path, name: str) -> None:
    """Removes a key from the file.

    Args:
        path: The keys file.
        name: Of the key.

    Raises:
        KeysFileError: There is no such key, or the file is broken or cannot be written.
    """

    def remove(keys: list[Key]) -> tuple[list[Key], None]:
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            raise KeysFileError(f"There is no key {name!r} in {path}.")
        return left, None

    _change(path, remove)


def _change(path: Path, change: Callable[[list[Key]], tuple[list[Key], Result]]) -> Result:
    """Rewrites the file whole and private, one change at a time; whoever owned it still does."""
    path = path.resolve()  # what a link points at is replaced, not the link
    try:
        with _locked(path.parent):
            old = path.stat() if path.exists() else None
            keys, result = change([] if old is None else list(read_keys(path)))
            document = {"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]}
            for entry in document["keys"]:
                entry["scopes"].sort(key=SCOPES.index)
            content = json.dumps(document, indent=2).encode() + b"\n"
            write_atomically(path, content, mode=_PRIVATE, owner=old and (old.st_uid, old.st_gid))
            return result
    except OSError as error:
        raise KeysFileError(f"The keys file {path} cannot be written: {error.strerror or error}.") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits for other commands that change files in this folder; leaves no lock file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
