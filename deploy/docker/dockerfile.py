"""Reads a Dockerfile into stages of instructions, as far as ours go: no heredocs, no parser directives."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_WORD = re.compile(r"\\(.)|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")


class DockerfileError(Exception):
    """The file has something that is not read here."""


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        keyword: In capitals, such as `RUN`.
        text: What follows it, on one line, comments left out.
        line: Where it begins in the file, from 1.
    """

    keyword: str
    text: str
    line: int

    def exec_form(self) -> list[str] | None:
        """The words of `["a", "b"]`, or None if it is not written so."""
        try:
            words = json.loads(self.text)
        except ValueError:
            return None
        return [str(word) for word in words] if isinstance(words, list) else None

    def flags(self) -> tuple[dict[str, str], str]:
        """Its flags, `--from=build` as `{"from": "build"}`, and the text after them."""
        found, rest = {}, self.text
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            found[match[1]] = match[2]
            rest = rest[match.end() :]
        return found, rest

    def pairs(self) -> list[tuple[str, str]]:
        """`A=1 B="x y"` as pairs; variables are not put in yet."""
        return [tuple(word.split("=", 1)) for word in shlex.split(self.text)]  # type: ignore[misc]  # two parts


@dataclass
class Stage:
    """What one `FROM` begins.

    Attributes:
        name: After `AS`, else its number.
        base: An image or an earlier stage; variables are not put in yet.
        instructions: In order, without the `FROM`.
    """

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, keyword: str) -> Instruction | None:
        """The last of its instructions of a kind, which is the one that counts."""
        return next((each for each in reversed(self.instructions) if each.keyword == keyword), None)


@dataclass(frozen=True)
class Dockerfile:
    """A whole file.

    Attributes:
        arguments: Defaults of the `ARG`s before the first `FROM`.
        stages: By name, in order.
    """

    arguments: dict[str, str]
    stages: dict[str, Stage]

    def lineage(self, name: str) -> list[Stage]:
        """A stage and the stages it is built upon, the first one first."""
        chain: list[Stage] = []
        while name in self.stages:
            chain.insert(0, self.stages[name])
            name = self.stages[name].base
        return chain

    def base_image(self, name: str) -> str:
        """The image that a stage is built upon in the end, with the defaults of its variables."""
        return substituted(self.lineage(name)[0].base, self.arguments)

    def last(self, name: str, keyword: str) -> Instruction | None:
        """The instruction of a kind that counts for the image of a stage, inherited or not."""
        found = [stage.last(keyword) for stage in self.lineage(name)]
        return next((each for each in reversed(found) if each is not None), None)

    def pairs(self, name: str, keyword: str) -> dict[str, str]:
        """All `ENV` or `LABEL` pairs of the image of a stage."""
        return {
            key: value
            for stage in self.lineage(name)
            for each in stage.instructions
            if each.keyword == keyword
            for key, value in each.pairs()
        }


def read(path: Path) -> Dockerfile:
    """Reads a file.

    Raises:
        DockerfileError: It has something that is not read here.
    """
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in _instructions(path.read_text("utf-8")):
        if instruction.keyword == "FROM":
            words = instruction.text.split()
            named = len(words) == 3 and words[1].upper() == "AS"
            if not named and len(words) != 1:
                raise DockerfileError(f"line {instruction.line}: FROM {instruction.text}")
            stage = Stage(words[2] if named else str(len(stages)), words[0])
            stages[stage.name] = stage
        elif stage is None:
            if instruction.keyword != "ARG":
                raise DockerfileError(f"line {instruction.line}: {instruction.keyword} before FROM")
            name, _, value = instruction.text.partition("=")
            arguments[name] = value
        else:
            stage.instructions.append(instruction)
    return Dockerfile(arguments, stages)


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """A text whose `$NAME`, `${NAME}`, `${NAME:-else}` and `${NAME:+then}` are replaced, as outside RUN."""

    def value(match: re.Match[str]) -> str:
        escaped, plain, braced, operator, word = match.groups()
        if escaped is not None:
            return escaped
        found = variables.get(plain or braced, "")
        if operator == "-":
            return found or word
        if operator == "+":
            return word if found else ""
        return found

    return _WORD.sub(value, text)


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    pending, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not pending):
            continue
        begun = begun or number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        keyword, _, rest = (pending + line).strip().partition(" ")
        if "<<" in rest:
            raise DockerfileError(f"line {begun}: heredocs are not read here")
        found.append(Instruction(keyword.upper(), rest.strip(), begun))
        pending, begun = "", 0
    return found
