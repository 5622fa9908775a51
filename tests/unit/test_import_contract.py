"""The two packages meet in `model_repository/` alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Runs in a process of Triton's own, and only where there is a TorchScript model.
NEEDS_TORCH = ROOT / "service/embedded/backends/pytorch/model.py"


# From what everybody may import to what nobody does.
API = (
    {"schemas", "context"},
    {"errors"},
    {"access", "requests", "answers"},
    {"calls", "openapi"},
    {"routes"},
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("service", {"torch", "training", "onnx", "pytriton"}),
        ("training", {"service", "fastapi", "tritonclient"}),
    ],
)
def test_packages_do_not_import_each_other(package, forbidden):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    crossings = {str(f.relative_to(ROOT)): imported(f) & forbidden for f in files}
    crossings.get(str(NEEDS_TORCH.relative_to(ROOT)), set()).discard("torch")
    assert {f: names for f, names in crossings.items() if names} == {}


def test_imports_of_the_http_contract_go_one_way():
    level = {name: number for number, names in enumerate(API) for name in names}
    crossings = set()
    for path in (ROOT / "service/api").glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("service.api"):
                package = (node.module or "").split(".")[2]
                if package != path.parent.name and level[package] >= level[path.parent.name]:
                    crossings.add(f"{path.relative_to(ROOT)} -> {node.module}")
    assert crossings == set()


def test_imports_inside_training_go_one_way():
    """No module needs itself, not by an import inside a function either."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "training").rglob("*.py")
    }
    needs: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                needs[name] |= {alias.name for alias in node.names} & modules.keys()
            elif isinstance(node, ast.ImportFrom) and node.module in modules:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[name] |= (parts & modules.keys()) or {node.module}
    assert "training.families.table" in needs["training.config_files"]  # inside a function
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def test_serving_loads_no_torch():
    code = "import sys, service.app, service.cli; print({'torch', 'training'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
