"""Pix2Pix: exact runs, losses that fall, and a translator that gives each image its own pixels."""

from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from training.config_files import load_config, parse_config
from training.data.jitter import Jitter
from training.engine import Engine
from training.errors import ConfigError
from training.families.pix2pix import Pix2Pix
from training.loop import train
from training.losses import ADVERSARIAL
from training.pixels import to_unit_range

RESOLUTION = 16


@pytest.fixture(scope="session")
def outlines(tmp_path_factory):
    """Pairs of an outlined disc and the filled one: B follows from A up to its detail."""
    folder = tmp_path_factory.mktemp("data") / f"outlines-{RESOLUTION}"
    rng = np.random.RandomState(0)
    yy, xx = np.mgrid[:RESOLUTION, :RESOLUTION]
    for split, n in (("train", 24), ("test", 8)):
        (folder / split).mkdir(parents=True)
        for i in range(n):
            cy, cx, radius = *rng.uniform(5, 11, 2), rng.uniform(3, 5)
            distance = np.hypot(yy - cy, xx - cx)
            a = np.where(np.abs(distance - radius) < 1, 0, 255)[..., None] * [1, 1, 1]
            b = np.where((distance < radius)[..., None], [220, 40, 40], [40, 60, 200])
            Image.fromarray(np.hstack([a, b]).astype(np.uint8)).save(folder / split / f"{i:03d}.png")
    return folder


def tiny(**sections):
    tree = {
        "family": "pix2pix",
        "name": "tiny",
        "title": "Discs",
        "snapshots": {"kimg": 0.02},
        "data": {"recipe": "outlines", "resolution": RESOLUTION},
        "generator": {"num_downs": 3, "channels": 4},
        "discriminator": {"n_layers": 1, "channels": 4},
        "optimization": {"batch": 4, "kimg": 0.04, "ema_kimg": 0.01},
        "test_time": {},
    }
    for name, section in sections.items():
        tree[name] |= section
    return parse_config(tree)


def pairs(n=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shape = (n, 3, RESOLUTION, RESOLUTION)
    return {key: torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for key in "AB"}


def build(config, accumulate=1):
    torch.manual_seed(0)
    return Pix2Pix(config, Engine(0, device="cpu", accumulate=accumulate))


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def test_a_resumed_run_equals_one_that_never_stopped(outlines, tmp_path, monkeypatch):
    config = tiny()  # with dropout, jitter and an average
    whole = train(config, outlines, tmp_path / "whole", device="cpu")
    step = Pix2Pix.step

    def stop_at_three(self, batch, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch, number)

    monkeypatch.setattr(Pix2Pix, "step", stop_at_three)
    half = train(config, outlines, tmp_path / "half", device="cpu")
    assert half.step == 4
    monkeypatch.setattr(Pix2Pix, "step", step)
    torch.manual_seed(99)
    np.random.seed(98)
    random.seed(97)
    resumed = train(config, outlines, tmp_path / "half", resume=True, device="cpu")
    assert resumed.step == whole.step == 10
    assert_equal(resumed.family, whole.family)
    assert_equal(resumed.engine, whole.engine)
    with Image.open(tmp_path / "whole" / "snapshot-000000.04.png") as picture:
        assert picture.size == (8 * RESOLUTION, 3 * RESOLUTION)  # input, output, target


@pytest.mark.parametrize("network", ["unet", "resnet"])
def test_it_learns_a_translation(outlines, tmp_path, network):
    config = tiny(
        generator={"network": network, "channels": 8, "dropout": 0.0, "blocks": 2, "downs": 1},
        data={"enlarge": 1.0},
        optimization={"batch": 8, "kimg": 0.6, "g_lr": 4e-3, "d_lr": 5e-4, "ema_kimg": 0.05},
    )
    checkpoint = train(config, outlines, tmp_path / "run", device="cpu")
    (deployable,) = Pix2Pix.deployables(config, (), checkpoint.family)
    images = [np.asarray(Image.open(path)) for path in sorted((outlines / "test").glob("*.png"))]
    whole = to_unit_range(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    a, b = whole.split(RESOLUTION, dim=3)
    colour = b.mean(dim=(0, 2, 3), keepdim=True)
    assert (deployable.network(a) - b).abs().mean() < 0.35 * (colour - b).abs().mean()


@pytest.mark.parametrize("loss", ADVERSARIAL)
def test_every_loss_moves_both_networks(loss):
    model = build(tiny(optimization={"loss": loss}, discriminator={"norm": "instance"}))
    before = {name: [p.clone() for p in model.networks[name].parameters()] for name in "GD"}
    model.step(pairs(), 0)
    for name in "GD":
        moved = [
            not torch.equal(a, b)
            for a, b in zip(before[name], model.networks[name].parameters(), strict=True)
        ]
        # Constants before an instance normalisation change nothing and so need not move.
        assert sum(moved) > len(moved) / 2
    reports = model.engine.take_reports()
    assert {"loss/G", "loss/L1", "loss/D"} <= reports.keys()
    assert ("gradient_penalty" in reports) == (loss == "wgan-gp")


def test_losses_are_those_of_the_paper():
    model = build(tiny(generator={"dropout": 0.0}))
    part = {name: to_unit_range(value) for name, value in pairs().items()}
    total = model.generator_loss(part)
    fakes = model.G(part["A"])
    logits = model.D(torch.cat([part["A"], fakes], dim=1))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(logits, torch.ones_like(logits)) + 100 * (part["B"] - fakes).abs().mean()
    torch.testing.assert_close(total, expected)
    real = model.D(torch.cat([part["A"], part["B"]], dim=1))
    halved = (bce(real, torch.ones_like(real)) + bce(logits, torch.zeros_like(logits))) / 2
    torch.testing.assert_close(model.discriminator_loss({**part, "fakes": fakes.detach()}), halved)


def test_accumulation_changes_nothing():
    config = tiny(
        generator={"norm": "instance", "dropout": 0.0},
        discriminator={"norm": "instance"},
        optimization={"loss": "wgan-gp"},
    )
    whole, parts = build(config), build(config, accumulate=2)
    start = build(config)
    for step in range(2):
        whole.step(pairs(seed=step), step)
        parts.step(pairs(seed=step), step)
    # Compared by what they compute: parameters that an instance normalisation undoes drift by rounding alone.
    x = {name: to_unit_range(value) for name, value in pairs(seed=9).items()}
    for network in ("G", "G_ema"):
        a, b, c = (model.networks[network](x["A"]) for model in (whole, parts, start))
        assert (a - b).abs().max() < 0.02 * (a - c).abs().max()
    a, b, c = (model.judge(x["A"], x["B"]) for model in (whole, parts, start))
    assert (a - b).abs().max() < 0.02 * (a - c).abs().max()


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_the_translator_gives_each_image_its_own_pixels(dropout, statistics):
    config = tiny(test_time={"dropout": dropout, "statistics": statistics})
    model = build(config)
    for step in range(3):
        model.step(pairs(seed=step), step)
    state = model.state_dict()
    (deployable,) = Pix2Pix.deployables(config, (), state)
    images = to_unit_range(pairs()["A"])
    together = deployable.network(images)
    torch.manual_seed(5)
    assert torch.equal(together, deployable.network(images))
    for i in range(len(images)):
        torch.testing.assert_close(deployable.network(images[i : i + 1])[0], together[i], atol=1e-5, rtol=0)
    assert not deployable.network.training
    assert (deployable.name, deployable.source) == ("tiny", "A")
    assert deployable.card["size_multiple"] == deployable.card["min_size"] == 8
    assert ("running averages" in deployable.card["normalisation"]) == (statistics == "running")
    assert ("stays dropped" in deployable.card["dropout"]) == dropout
    other = config.model_copy(
        update={"test_time": config.test_time.model_copy(update={"dropout": not dropout})}
    )
    (opposite,) = Pix2Pix.deployables(other, (), state)
    assert not torch.allclose(opposite.network(images), together)


def test_statistics_of_a_batch_of_one_are_those_that_training_would_use():
    config = tiny(test_time={"statistics": "batch"}, generator={"dropout": 0.0})
    model = build(config)
    (deployable,) = Pix2Pix.deployables(config, (), {"networks": {"G": model.G.state_dict()}})
    image = to_unit_range(pairs(1)["A"])
    torch.testing.assert_close(deployable.network(image), model.G.train()(image), atol=1e-5, rtol=0)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="num_downs=5 needs sides that are multiples of 32"):
        tiny(generator={"num_downs": 5})
    with pytest.raises(ConfigError, match="n_layers=3 needs images of at least 24"):
        tiny(discriminator={"n_layers": 3})
    with pytest.raises(ConfigError, match="norm to 'instance' or 'none'"):
        tiny(optimization={"loss": "wgan-gp"})


@pytest.mark.parametrize("preset", ["pix2pix-256", "sketch-to-emoji", "satellite-to-relief"])
def test_presets_are_valid(preset):
    assert load_config(preset).family == "pix2pix"


class TestJitter:
    def sample(self):
        ramp = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30, 1).repeat(3, axis=2)
        ramp.flags.writeable = False  # as the dataset hands it out
        return {"A": ramp, "B": ramp, "name": "x"}

    def test_pairs_move_together(self):
        jitter = Jitter(286 / 256, mirror=True, aligned=True)
        seen = set()
        for seed in range(20):
            moved = jitter(self.sample(), np.random.default_rng(seed))
            assert moved["A"].shape == (20, 30, 3)
            assert np.array_equal(moved["A"], moved["B"])
            seen.add(moved["A"].tobytes())
            again = jitter(self.sample(), np.random.default_rng(seed))
            assert np.array_equal(again["A"], moved["A"])
        assert len(seen) > 10

    def test_unpaired_images_move_by_themselves(self):
        jitter = Jitter(1.0, mirror=True, aligned=False)
        equal = [
            np.array_equal(*(jitter(self.sample(), np.random.default_rng(seed))[key] for key in "AB"))
            for seed in range(40)
        ]
        assert 5 < sum(equal) < 35

    def test_it_can_be_turned_off(self):
        sample = self.sample()
        assert np.array_equal(Jitter(1.0, False, True)(sample, np.random.default_rng(0))["A"], sample["A"])
