"""The loop: runs are exact, stop and resume without a trace, and leave whole files."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import socket
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.forked import TRAINING, ForkedProcess
from tests.triton_process import free_ports
from training.checkpoint import CheckpointError, load_checkpoint
from training.config import SnapshotConfig
from training.config_files import parse_config
from training.engine import DivergedError, Engine
from training.errors import GantrainError
from training.families import stylegan
from training.loop import RunExistsError, lr_factor, train
from training.sampler import EpochSampler, SamplerError
from training.telemetry import Exposition


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_resumed_run_equals_one_that_never_stopped(tiny_config, blobs, tmp_path, monkeypatch):
    whole = train(tiny_config, blobs, tmp_path / "whole")

    step = stylegan.StyleGAN2.step

    def stop_at_six(self, batch, number):
        if number == 6:
            os.kill(os.getpid(), signal.SIGTERM)  # the step at hand is finished, then a checkpoint is written
        return step(self, batch, number)

    monkeypatch.setattr(stylegan.StyleGAN2, "step", stop_at_six)
    # Whether metrics are kept makes no difference either.
    metrics = Exposition(free_ports(1)[0], textfile=tmp_path / "half.prom")
    half = train(tiny_config, blobs, tmp_path / "half", metrics=metrics)
    assert half.step == 7
    monkeypatch.setattr(stylegan.StyleGAN2, "step", step)
    torch.manual_seed(1234)  # whatever the process did in between
    np.random.seed(5)
    random.seed(6)
    resumed = train(tiny_config, blobs, tmp_path / "half", resume=True)

    assert resumed.step == whole.step == 10
    assert equal(resumed.family, whole.family)
    assert equal(resumed.engine, whole.engine)
    saved = load_checkpoint(tmp_path / "half")
    assert equal(saved.family, whole.family)
    assert equal(saved.engine, whole.engine)


def test_a_run_leaves_its_configuration_statistics_and_pictures(tiny_config, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loop.LOG_EVERY", 5)
    run = tmp_path / "run"
    checkpoint = train(tiny_config, blobs, run)
    assert json.loads((run / "config.json").read_text()) == tiny_config.model_dump()
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]
    assert {"loss/G", "loss/D", "logits/real", "r1", "kimg", "images_per_second", "data_share"} <= lines[
        0
    ].keys()
    assert all(np.isfinite(v) for line in lines for v in line.values())
    assert checkpoint.kimg == 0.08
    assert sorted(p.name for p in run.glob("snapshot-*.png")) == [
        "snapshot-000000.04.png",
        "snapshot-000000.08.png",
    ]
    with Image.open(run / "snapshot-000000.08.png") as grid:
        assert grid.size == (8 * 16, 4 * 16)
    assert not list(run.glob(".*"))
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss/G")] == [5, 10]
    assert board.Scalars("loss/G")[1].value == pytest.approx(lines[1]["loss/G"])
    assert [event.step for event in board.Images("snapshot")] == [5, 10]


def test_metrics_ask_the_device_for_nothing_that_the_log_does_not(tiny_config, blobs, tmp_path, monkeypatch):
    """Each of these makes the host wait for the GPU."""
    asked = []
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *a, n=name, f=real, **k: asked.append(n) or f(self, *a, **k)
        )
    monkeypatch.setattr("training.loop.LOG_EVERY", 5)
    train(tiny_config, blobs, tmp_path / "without")
    without, asked[:] = list(asked), []
    port = free_ports(1)[0]
    train(tiny_config, blobs, tmp_path / "with", metrics=Exposition(port))
    assert asked == without
    with socket.socket() as later:
        assert later.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED  # it served while the run lasted


def test_checkpoints_are_kept_by_policy(tiny_config, blobs, tmp_path):
    config = tiny_config.model_copy(
        update={"snapshots": SnapshotConfig(kimg=0.016, keep_kimg=0.032)}
    )  # every second step, and every fourth for good
    train(config, blobs, tmp_path / "run")
    kept = sorted(p.name for p in (tmp_path / "run").glob("*.pt"))
    assert kept == ["checkpoint-000000.032.pt", "checkpoint-000000.064.pt", "checkpoint.pt"]
    assert [load_checkpoint(tmp_path / "run" / name).step for name in kept] == [4, 8, 10]


def test_lines_of_steps_that_were_lost_are_written_once(tiny_config, blobs, tmp_path, monkeypatch):
    """After a SIGKILL the log is ahead of the checkpoint, and its last line may be cut off."""
    monkeypatch.setattr("training.loop.LOG_EVERY", 2)
    run = tmp_path / "run"
    train(tiny_config, blobs, run, max_minutes=0)
    with (run / "stats.jsonl").open("a") as file:
        file.write('{"step": 4, "loss/G": 99}\n{"step": 6, "lo')
    train(tiny_config, blobs, run, resume=True)
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    assert all(line["loss/G"] < 99 for line in lines)


def test_a_run_that_diverges_ends_with_a_sentence(tiny_config, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loop.LOG_EVERY", 2)
    monkeypatch.setattr(
        stylegan.StyleGAN2, "generator_loss", lambda self, part: self.generate(part).sum() * float("nan")
    )
    monkeypatch.setattr(
        stylegan.StyleGAN2,
        "discriminator_loss",
        lambda self, part: self.engine.report("loss/D", float("nan")) or self.D(part["reals"]).sum(),
    )
    textfile = tmp_path / "run.prom"
    with pytest.raises(DivergedError, match="loss/D is not finite"):
        train(tiny_config, blobs, tmp_path / "run", metrics=Exposition(textfile=textfile))
    assert 'gantrain_nonfinite_steps_total{run="run"} 2.0' in textfile.read_text()  # G's, of two steps


def test_a_run_that_has_diverged_keeps_its_last_good_checkpoint(tiny_config, blobs, tmp_path, monkeypatch):
    """Snapshots come between two lines of the log, by which divergence is otherwise noticed."""
    config = tiny_config.model_copy(update={"snapshots": SnapshotConfig(kimg=0.016)})  # every second step
    step = stylegan.StyleGAN2.step

    def diverge_at_three(self, batch, number):
        step(self, batch, number)
        if number == 3:
            self.engine.report("loss/D", float("nan"))

    monkeypatch.setattr(stylegan.StyleGAN2, "step", diverge_at_three)
    with pytest.raises(DivergedError, match="loss/D is not finite"):
        train(config, blobs, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").step == 2


def test_learning_rates_fall_to_zero(tiny_config, blobs, tmp_path):
    assert lr_factor(50, 100, 0) == 1
    assert lr_factor(50, 100, 20) == 1
    assert lr_factor(90, 100, 20) == 0.5
    assert lr_factor(100, 100, 20) == 0
    config = tiny_config.model_dump()
    config["optimization"]["lr_decay_kimg"] = 0.08
    state = train(parse_config(config), blobs, tmp_path / "run").family
    group = state["optimizers"]["G"]["param_groups"][0]
    assert group["lr"] == pytest.approx(group["initial_lr"] * 0.1)  # the last of ten steps


def test_weights_of_another_run_can_be_started_from(tiny_config, blobs, tmp_path):
    first = train(tiny_config, blobs, tmp_path / "first", max_minutes=0)
    config = tiny_config.model_copy(
        update={
            "init_from": str(tmp_path / "first"),
            "optimization": tiny_config.optimization.model_copy(update={"g_lr": 1e-12}),
        }
    )
    second = train(config, blobs, tmp_path / "second", max_minutes=0)
    name = "synthesis.blocks.0.const"
    torch.testing.assert_close(second.family["networks"]["G"][name], first.family["networks"]["G"][name])


def test_training_changes_what_it_should(tiny_config, blobs, tmp_path):
    torch.manual_seed(tiny_config.seed)
    fresh = stylegan.StyleGAN2(tiny_config, Engine(0, device="cpu")).state_dict()["networks"]
    after = train(tiny_config, blobs, tmp_path / "run").family["networks"]
    assert fresh.keys() == after.keys()
    for network in ("G", "D", "G_ema"):
        for name, value in after[network].items():
            if name.endswith(("noise_const",)):
                assert torch.equal(value, fresh[network][name])
            else:
                assert not torch.equal(value, fresh[network][name]), f"{network}.{name} was never trained"
    assert not equal(after["G"], after["G_ema"])


def test_time_limit_leaves_a_checkpoint(tiny_config, blobs, tmp_path):
    checkpoint = train(tiny_config, blobs, tmp_path / "run", max_minutes=0)
    assert checkpoint.step == 1
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 1


def test_a_run_is_not_overwritten_by_accident(tiny_config, blobs, tmp_path):
    train(tiny_config, blobs, tmp_path / "run", max_minutes=0)
    with pytest.raises(RunExistsError, match="--resume"):
        train(tiny_config, blobs, tmp_path / "run")


def test_resuming_with_another_configuration_is_refused(tiny_config, blobs, tmp_path):
    train(tiny_config, blobs, tmp_path / "run", max_minutes=0)
    other = tiny_config.model_copy(update={"seed": 1})
    with pytest.raises(CheckpointError, match="another configuration"):
        train(other, blobs, tmp_path / "run", resume=True)


def test_broken_checkpoints_are_named(tiny_config, blobs, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        train(tiny_config, blobs, tmp_path / "run", resume=True)
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(path)


def test_checkpoints_execute_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/pwned",))

    torch.save({"config": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "pwned").exists()


def test_missing_data_says_what_to_do(tiny_config, tmp_path):
    with pytest.raises(GantrainError, match="gantrain prepare"):
        train(tiny_config, tmp_path / "none", tmp_path / "run")


def test_sigkill_loses_nothing_that_was_saved(tiny_config, blobs, tmp_path):
    """The checkpoint is whole at any moment, so whenever a run is killed it can be resumed."""
    config = tiny_config.model_dump()
    config["optimization"]["kimg"] = 100
    config["snapshots"]["kimg"] = 0.008  # a checkpoint at every step: the kill falls into writing one
    run = tmp_path / "run"
    code = (
        "import json; from pathlib import Path; from training.config_files import parse_config; "
        "from training.loop import train; "
        f"train(parse_config(json.loads({json.dumps(config)!r})), Path({str(blobs)!r}), Path({str(run)!r}))"
    )
    with (tmp_path / "output").open("wb") as output:
        process = ForkedProcess(code, os.environ, output, TRAINING)
    deadline = time.monotonic() + 120
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.wait()
    step = load_checkpoint(run / "checkpoint.pt").step
    assert step >= 1
    (run / ".checkpoint.pt.cut-off").write_bytes(b"what a kill may leave")
    assert train(parse_config(config), blobs, run, resume=True, max_minutes=0).step == step + 1
    assert not list(run.glob(".checkpoint*"))


class TestEpochSampler:
    def test_every_image_once_an_epoch(self):
        sampler = EpochSampler(10, 4, seed=0)
        indices = torch.cat([sampler(step) for step in range(5)])  # two epochs
        assert sorted(indices[:10].tolist()) == sorted(indices[10:].tolist()) == list(range(10))
        assert indices[:10].tolist() != indices[10:].tolist()

    def test_can_be_entered_at_any_step(self):
        a, b = EpochSampler(10, 4, seed=3), EpochSampler(10, 4, seed=3)
        for step in range(6):
            a(step)
        assert torch.equal(a(6), b(6))

    def test_batch_larger_than_dataset(self):
        with pytest.raises(SamplerError, match="at least as many images"):
            EpochSampler(3, 4, seed=0)
