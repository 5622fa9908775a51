"""Problem types: every one that is raised exists, is raised somewhere, and is documented for some call."""

from __future__ import annotations

import ast
from pathlib import Path

from service.api.errors.problems import PROBLEMS
from service.app import create_app
from service.settings import Settings

SERVICE = Path(__file__).parents[2] / "service"
# Of these no call is to blame: they are answered before one is known.
WITHOUT_CALL = {"malformed-request", "head-too-large", "method-not-allowed", "too-many-connections"}
# What jobs and their items end with; a call about them succeeds, and tells it.
OF_ITEMS = {"no-inputs", "input-too-large", "output-refused", "item-lost"}


def first_arguments(tree: ast.AST) -> set[str]:
    """What is said first where a problem is raised."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("ProblemError", "ImageError")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_what_is_raised_exists_and_what_exists_is_raised() -> None:
    trees = [ast.parse(path.read_text()) for path in SERVICE.rglob("*.py")]
    raised = set().union(*(first_arguments(tree) for tree in trees))
    assert raised - set(PROBLEMS) == set()
    assert set(PROBLEMS) - raised == set()


def test_each_is_documented_for_the_calls_that_can_end_with_it() -> None:
    documented = set()
    for operations in create_app(Settings()).openapi()["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                content = response.get("content", {}).get("application/problem+json", {})
                documented |= set(content.get("examples", {}))
    assert set(PROBLEMS) - documented == WITHOUT_CALL | OF_ITEMS
