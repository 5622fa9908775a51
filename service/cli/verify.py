"""`ganserve verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.asking import connected, fail
from service.cli.options import DEFAULT_URL, Url, Wait

if TYPE_CHECKING:
    from service.client import Verification

_SHOWN = (
    "model",
    "seed",
    "seeds",
    "truncation",
    "truncation_cutoff",
    "noise",
    "label",
    "edits",
    "rotation",
    "translation",
    "operation",
)


def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Image files.", exists=True, dir_okay=False, show_default=False)
    ],
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Have images made again from their recipes, and compared.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="IMAGE",
            help="The image that FILES were translated or enlarged from: has them made again from it.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole reports as JSON lines.")] = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Tell what made image files, and what of that holds.

    The exit code is 1 if a file was altered or cannot be examined.
    """
    from service.client import ProblemError

    wrong = False
    with connected(url) as client:
        for file in files:
            try:
                found = client.verify(
                    file, reproduce=reproduce or source is not None, source=source, wait=wait
                )
            except OSError as error:
                fail(f"{error.filename or file}: {error.strerror or error}.")
            except ProblemError as error:
                if error.status not in (413, 415, 422):  # the file is not to blame
                    raise
                wrong = True
                print(
                    json.dumps({"file": str(file), "problem": error.body}) if as_json else f"{file}: {error}"
                )
                continue
            wrong |= found.verdict == "altered"
            print(json.dumps({"file": str(file), **found.report}) if as_json else _lines(file, found))
    if wrong:
        raise typer.Exit(1)


def _lines(file: Path, found: Verification) -> str:
    lines = [f"{file}: {found.verdict}. {found.explanation}"]
    recipe = found.recipe or {}
    said = [f"{name} {recipe[name]}" for name in _SHOWN if recipe.get(name) is not None]
    if said:
        lines.append(f"  it says: {', '.join(said)}")
    return "\n".join(lines)
