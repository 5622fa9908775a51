"""How the embedded Triton's `pytorch` backend matches a config's tensors with a TorchScript module's."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest

BACKENDS = Path(__file__).parents[2] / "service" / "embedded" / "backends"


class TritonModelError(Exception):
    """Stands for Triton's, which exists in its processes alone."""


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    pb_utils = types.ModuleType("triton_python_backend_utils")
    pb_utils.TritonModelException = TritonModelError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", pb_utils)
    monkeypatch.syspath_prepend(str(BACKENDS))
    for shared in ("batching", "model_file"):
        monkeypatch.delitem(sys.modules, shared, raising=False)
    spec = importlib.util.spec_from_file_location("pytorch_backend", BACKENDS / "pytorch" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("names", "arguments", "order"),
    [
        (["noise", "ws"], ["ws", "noise"], ["ws", "noise"]),
        (["INPUT__1", "INPUT__0"], ["ws", "noise"], ["INPUT__0", "INPUT__1"]),
        (["a__10", "b__9"], ["ws", "noise"], ["b__9", "a__10"]),
        (["a", "b"], ["ws", "noise"], ["a", "b"]),
        (["b__0", "a"], ["ws", "noise"], ["b__0", "a"]),
    ],
)
def test_inputs_are_matched_as_the_native_backend_does(backend, names, arguments, order) -> None:
    assert backend.in_order_of_arguments(names, arguments) == order


def test_outputs_go_by_index_or_order(backend) -> None:
    assert backend.in_order_of_results(["OUTPUT__1", "OUTPUT__0"]) == ["OUTPUT__0", "OUTPUT__1"]
    assert backend.in_order_of_results(["images", "floats"]) == ["images", "floats"]


def test_another_number_of_inputs_is_refused(backend) -> None:
    with pytest.raises(TritonModelError, match="takes ws, noise, and the config has z"):
        backend.in_order_of_arguments(["z"], ["ws", "noise"])
