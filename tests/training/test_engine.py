"""A step computes the same whatever number of parts or processes it is shared out to."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from torch import nn

import training
from tests.forked import TRAINING, ForkedProcess
from tests.training.test_dcgan import tiny as dcgan_config
from tests.triton_process import free_ports
from training.checkpoint import load_checkpoint
from training.config_files import parse_config
from training.engine import DeviceError, DivergedError, Engine
from training.loop import train

# Sums in another order differ in their last bits, and Adam divides by gradients that may be next to nothing.
CLOSE = {"rtol": 2e-3, "atol": 2e-5}


def script(config, data, run, *, resume: bool = False, one: bool = False) -> str:
    return f"""
import json
from pathlib import Path
from training.config_files import parse_config
from training.loop import train
from training.telemetry import Exposition

train(
    parse_config(json.loads({config.model_dump_json()!r})),
    Path({str(data)!r}),
    Path({str(run)!r}),
    device="cpu",
    resume={resume},
    max_minutes={0 if one else None},
    metrics=Exposition({free_ports(1)[0]}),  # which one process can listen on
)
"""


def run_under_torchrun(config, data, run, n: int) -> None:
    """Trains under torchrun with n processes on the CPU."""
    path = run.parent / "train_under_torchrun.py"
    path.write_text(script(config, data, run))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", path],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={"OMP_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(Path(training.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr


def run_processes(config, data, run, n: int, **options: bool) -> None:
    """Trains with n processes on the CPU, which know of each other what torchrun would tell them."""
    code, port = script(config, data, run, **options), str(free_ports(1)[0])
    with (run.parent / "output").open("w+b") as output:
        ranks = [
            ForkedProcess(
                code,
                {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(n),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                },
                output,
                TRAINING,
            )
            for rank in range(n)
        ]
        try:
            ends = [rank.wait(120) for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        output.seek(0)
        assert ends == [0] * n, output.read().decode()


def assert_close(a, b) -> None:
    for network in a:
        for name, value in a[network].items():
            torch.testing.assert_close(value, b[network][name], **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


def with_options(config, **optimization):
    tree = config.model_dump()
    tree["optimization"] |= optimization
    return parse_config(tree)


@pytest.fixture(scope="module")
def two_processes(tiny_config, blobs, tmp_path_factory):
    """A run of four steps, two of them with the R1 penalty, shared by two processes."""
    config = with_options(tiny_config, kimg=0.032)
    run = tmp_path_factory.mktemp("runs") / "two"
    run_under_torchrun(config, blobs, run, 2)
    return config, run


def test_two_processes_train_what_one_trains(two_processes, blobs, tmp_path):
    config, run = two_processes
    train(config, blobs, tmp_path / "one")
    one, two = load_checkpoint(tmp_path / "one"), load_checkpoint(run)
    assert one.step == two.step == 4
    assert_close(one.family["networks"], two.family["networks"])
    assert len(two.engine["libraries"]) == 2  # dropout differs between processes, and is resumed on each


def test_two_processes_stop_and_resume_exactly(two_processes, blobs, tmp_path):
    config, run = two_processes
    run_processes(config, blobs, tmp_path / "half", 2, one=True)
    assert load_checkpoint(tmp_path / "half").step == 1
    run_processes(config, blobs, tmp_path / "half", 2, resume=True)
    whole, half = load_checkpoint(run), load_checkpoint(tmp_path / "half")
    for network, state in whole.family["networks"].items():
        for name, value in state.items():
            assert torch.equal(value, half.family["networks"][network][name]), f"{network}.{name}"


def test_the_first_process_makes_pictures_by_itself(blobs, tmp_path):
    """DCGAN's pictures take batch statistics, for which the first process must not wait for the others."""
    config = with_options(dcgan_config(snapshots={"kimg": 0.008}), kimg=0.032)  # pictures at every step
    run_processes(config, blobs, tmp_path / "two", 2)
    train(config, blobs, tmp_path / "one")
    one, two = load_checkpoint(tmp_path / "one"), load_checkpoint(tmp_path / "two")
    assert one.step == two.step == 4
    assert_close(one.family["networks"], two.family["networks"])
    assert (tmp_path / "two" / "snapshot-000000.03.png").exists()


def test_accumulated_parts_train_what_a_whole_batch_trains(tiny_config, blobs, tmp_path):
    config = with_options(tiny_config, kimg=0.032)
    whole = train(config, blobs, tmp_path / "whole")
    parts = train(with_options(config, accumulate=2), blobs, tmp_path / "parts")
    assert_close(whole.family["networks"], parts.family["networks"])


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_gradient_is_that_of_the_mean_loss(accumulate):
    """Adam takes the same step down a gradient of any size, so the runs above do not tell."""
    engine = Engine(0, device="cpu", accumulate=accumulate)
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    x = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    engine.minimize(
        torch.optim.SGD(layer.parameters(), lr=1.0), lambda part: layer(part["x"]).mean(), {"x": x}
    )
    assert before - layer.weight.item() == pytest.approx(3.0, abs=1e-5)


def test_a_batch_that_does_not_divide_is_refused(tiny_config, blobs, tmp_path):
    with pytest.raises(
        DeviceError, match=r"optimization.batch=8 does not divide .* optimization.accumulate=3"
    ):
        train(with_options(tiny_config, accumulate=3), blobs, tmp_path / "run")


def test_a_missing_device_is_named():
    with pytest.raises(DeviceError, match="no device 'cuda:7'"):
        Engine(0, device="cuda:7")


def test_networks_on_the_way_get_no_gradient():
    engine = Engine(0, device="cpu")
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    D.bias.requires_grad_(False)
    optimizer = torch.optim.SGD(G.parameters(), lr=1.0)
    before = G.weight.detach().clone()
    engine.minimize(optimizer, lambda part: D(G(part["x"])).mean(), {"x": torch.ones(4, 2)}, through=[D])
    assert D.weight.grad is None
    assert not torch.equal(G.weight, before)
    assert D.weight.requires_grad
    assert not D.bias.requires_grad  # frozen before, frozen after


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_stays_finite(tiny_config, blobs, tmp_path, precision):
    tree = tiny_config.model_dump()
    tree["compute"]["precision"] = precision
    tree["optimization"]["kimg"] = 0.04
    state = train(parse_config(tree), blobs, tmp_path / "run").family["networks"]
    for network in state.values():
        for name, value in network.items():
            assert value.dtype == torch.float32
            assert value.isfinite().all(), name


def test_compiled_networks_compute_the_same_under_the_same_names(monkeypatch):
    # Traced and differentiated as always, but run by PyTorch, as there may be no C++ compiler.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    x = torch.randn(2, 3, 8, 8)
    expected = network(x)
    compiled = Engine(0, device="cpu", compile_networks=True).prepare(network)
    assert list(compiled.state_dict()) == ["0.weight", "0.bias"]
    torch.testing.assert_close(compiled(x), expected)


def test_reports_are_means_and_losses_must_be_finite():
    engine = Engine(0, device="cpu")
    for value in (1.0, 2.0, 6.0):
        engine.report("loss/G", value)
    assert engine.take_reports() == {"loss/G": 3.0}
    assert engine.take_reports() == {}
    engine.report("loss/G", torch.tensor([1.0, float("inf")]))
    with pytest.raises(DivergedError, match="loss/G is not finite"):
        engine.take_reports()


def test_the_scale_of_the_loss_is_kept():
    engine, resumed = (Engine(0, device="cpu", precision="fp16") for _ in range(2))
    engine.scaler.scale(torch.ones(1))
    engine.scaler.update(512.0)
    resumed.load_state_dict(engine.state_dict())
    assert resumed.scaler.get_scale() == 512.0


def test_state_is_plain_enough_to_load_safely(tmp_path):
    torch.save(Engine(0, device="cpu").state_dict(), tmp_path / "engine.pt")
    state = torch.load(tmp_path / "engine.pt", weights_only=True)
    json.dumps(state["libraries"][0]["python"])
    engine = Engine(1, device="cpu")
    engine.load_state_dict(state)
    assert torch.equal(engine.randn(3), Engine(0, device="cpu").randn(3))
