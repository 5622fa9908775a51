"""The loop: runs are exact, stop and resume without a trace, and leave whole files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from training.checkpoint import CheckpointError, load_checkpoint
from training.data.archive import ArchiveError
from training.families import stylegan
from training.loop import RunExistsError, train
from training.sampler import EpochSampler, SamplerError


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_resumed_run_equals_one_that_never_stopped(tiny_config, blobs, tmp_path, monkeypatch):
    whole = train(tiny_config, blobs / "train.zip", tmp_path / "whole")

    step = stylegan.StyleGAN2.step

    def stop_at_six(self, reals, number, rng):
        if number == 6:
            os.kill(os.getpid(), signal.SIGTERM)  # the step at hand is finished, then a checkpoint is written
        return step(self, reals, number, rng)

    monkeypatch.setattr(stylegan.StyleGAN2, "step", stop_at_six)
    half = train(tiny_config, blobs / "train.zip", tmp_path / "half")
    assert half.step == 7
    monkeypatch.setattr(stylegan.StyleGAN2, "step", step)
    torch.manual_seed(1234)  # whatever the process did in between
    resumed = train(tiny_config, blobs / "train.zip", tmp_path / "half", resume=True)

    assert resumed.step == whole.step == 10
    assert equal(resumed.model, whole.model)
    assert torch.equal(resumed.rng, whole.rng)
    saved = load_checkpoint(tmp_path / "half" / "checkpoint.pt")
    assert equal(saved.model, whole.model)


def test_a_run_leaves_its_configuration_statistics_and_pictures(tiny_config, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loop.LOG_EVERY", 5)
    run = tmp_path / "run"
    checkpoint = train(tiny_config, blobs / "train.zip", run)
    assert json.loads((run / "config.json").read_text()) == tiny_config.model_dump()
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]
    assert {"loss/G", "loss/D", "logits/real", "logits/fake", "r1", "kimg", "seconds"} <= lines[0].keys()
    assert all(np.isfinite(v) for line in lines for v in line.values())
    assert checkpoint.kimg == 0.08
    with Image.open(run / "fakes-000000.png") as grid:
        assert grid.size == (8 * 16, 4 * 16)
    assert not list(run.glob(".*"))


def test_training_changes_what_it_should(tiny_config, blobs, tmp_path):
    before = stylegan.StyleGAN2(tiny_config, torch.device("cpu"))
    torch.manual_seed(tiny_config.seed)
    fresh = stylegan.StyleGAN2(tiny_config, torch.device("cpu")).state_dict()
    after = train(tiny_config, blobs / "train.zip", tmp_path / "run").model
    assert before.state_dict().keys() == after.keys()
    for network in ("G", "D", "G_ema"):
        for name, value in after[network].items():
            if name.endswith(("noise_const",)):
                assert torch.equal(value, fresh[network][name])
            else:
                assert not torch.equal(value, fresh[network][name]), f"{network}.{name} was never trained"
    assert not equal(after["G"], after["G_ema"])


def test_time_limit_leaves_a_checkpoint(tiny_config, blobs, tmp_path):
    checkpoint = train(tiny_config, blobs / "train.zip", tmp_path / "run", max_minutes=0)
    assert checkpoint.step == 1
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").step == 1


def test_a_run_is_not_overwritten_by_accident(tiny_config, blobs, tmp_path):
    train(tiny_config, blobs / "train.zip", tmp_path / "run", max_minutes=0)
    with pytest.raises(RunExistsError, match="--resume"):
        train(tiny_config, blobs / "train.zip", tmp_path / "run")


def test_resuming_with_another_configuration_is_refused(tiny_config, blobs, tmp_path):
    train(tiny_config, blobs / "train.zip", tmp_path / "run", max_minutes=0)
    other = tiny_config.model_copy(update={"seed": 1})
    with pytest.raises(CheckpointError, match="another configuration"):
        train(other, blobs / "train.zip", tmp_path / "run", resume=True)


def test_broken_checkpoints_are_named(tiny_config, blobs, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        train(tiny_config, blobs / "train.zip", tmp_path / "run", resume=True)
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
    with pytest.raises(ArchiveError, match="gantrain prepare"):
        train(tiny_config, tmp_path / "none.zip", tmp_path / "run")


def test_sigkill_loses_nothing_that_was_saved(tiny_config, blobs, tmp_path):
    """The checkpoint is whole at any moment, so whenever a run is killed it can be resumed."""
    config = tiny_config.model_dump()
    config["optimization"]["kimg"] = 100
    config["snapshot_kimg"] = 0.008  # a checkpoint at every step: the kill falls into writing one
    script = (
        "import json, sys; from pathlib import Path; from training.config import parse_config; "
        "from training.loop import train; "
        "train(parse_config(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    run = tmp_path / "run"
    arguments = [json.dumps(config), str(blobs / "train.zip"), str(run)]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert load_checkpoint(run / "checkpoint.pt").step >= 1


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
