"""CycleGAN: exact runs whatever the pool holds, losses as published, translators both ways."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.test_pix2pix import assert_equal
from tests.training.test_pix2pix import tiny as pairs_config
from training.config_files import load_config, parse_config
from training.engine import Engine
from training.errors import ConfigError
from training.families.cyclegan import CycleGAN
from training.families.pix2pix import Pix2Pix
from training.image_pool import ImagePool
from training.loop import train
from training.losses import ADVERSARIAL
from training.pixels import to_unit_range

RESOLUTION = 16


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """Red discs on black, and light green discs on blue; those of equal name in test have one shape."""
    folder = tmp_path_factory.mktemp("data") / f"discs-{RESOLUTION}"
    rng = np.random.RandomState(0)
    yy, xx = np.mgrid[:RESOLUTION, :RESOLUTION]

    def save(path, inside, disc, ground):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(inside[..., None], disc, ground).astype(np.uint8)).save(path)

    for split, n in (("train", 20), ("test", 8)):
        for i in range(n):
            for side, disc, ground in (
                ("A", [200, 40, 40], [0, 0, 0]),
                ("B", [160, 240, 160], [20, 60, 200]),
            ):
                if split == "train" or side == "A":
                    inside = np.hypot(yy - rng.uniform(5, 11), xx - rng.uniform(5, 11)) < rng.uniform(3, 5)
                save(folder / f"{split}{side}" / f"{i:03d}.png", inside, disc, ground)
    return folder


def tiny(**sections):
    tree = {
        "family": "cyclegan",
        "name": "forth",
        "title": "Discs",
        "backward_name": "back",
        "backward_title": "Discs again",
        "snapshots": {"kimg": 0.02},
        "data": {"recipe": "discs", "resolution": RESOLUTION},
        "generator": {"channels": 4, "blocks": 1, "downs": 1},
        "discriminator": {"n_layers": 1, "channels": 4},
        "optimization": {"batch": 4, "kimg": 0.04, "lr_decay_kimg": 0.02, "ema_kimg": 0.01, "pool_size": 6},
    }
    for name, section in sections.items():
        tree[name] = tree[name] | section if isinstance(section, dict) else section
    return parse_config(tree)


def images(n=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shape = (n, 3, RESOLUTION, RESOLUTION)
    return {key: torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for key in "AB"}


def build(config, accumulate=1):
    torch.manual_seed(0)
    return CycleGAN(config, Engine(0, device="cpu", accumulate=accumulate))


def test_a_resumed_run_equals_one_that_never_stopped(discs, tmp_path, monkeypatch):
    config = tiny()
    whole = train(config, discs, tmp_path / "whole", device="cpu")
    step = CycleGAN.step

    def stop_at_four(self, batch, number):
        if number == 4:  # both pools are full by then, and old fakes are being drawn
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch, number)

    monkeypatch.setattr(CycleGAN, "step", stop_at_four)
    half = train(config, discs, tmp_path / "half", device="cpu")
    assert half.step == 5
    assert half.family["extra"]["pools"]["A"]["images"].shape == (6, 3, RESOLUTION, RESOLUTION)
    monkeypatch.setattr(CycleGAN, "step", step)
    torch.manual_seed(99)
    resumed = train(config, discs, tmp_path / "half", resume=True, device="cpu")
    assert resumed.step == whole.step == 10
    assert_equal(resumed.family, whole.family)
    assert_equal(resumed.engine, whole.engine)
    with Image.open(tmp_path / "whole" / "snapshot-000000.04.png") as picture:
        assert picture.size == (8 * RESOLUTION, 6 * RESOLUTION)


def test_it_learns_both_translations_without_pairs(discs, tmp_path):
    config = tiny(
        generator={"channels": 8},
        discriminator={"channels": 8},
        data={"enlarge": 1.0},
        optimization={"kimg": 0.4, "lr_decay_kimg": 0.2, "g_lr": 3e-3, "d_lr": 2e-3, "identity_weight": 0.0,
                      "ema_kimg": 0.05, "pool_size": 20},
    )  # fmt: skip
    state = train(config, discs, tmp_path / "run", device="cpu").family
    test = {
        side: to_unit_range(
            torch.stack([
                torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
                for path in sorted((discs / f"test{side}").glob("*.png"))
            ])
        )
        for side in "AB"
    }  # fmt: skip
    forth, back = CycleGAN.deployables(config, (), state)
    assert [(d.name, d.title, d.source) for d in (forth, back)] == [
        ("forth", "Discs", "A"),
        ("back", "Discs again", "B"),
    ]
    apart = (test["A"] - test["B"]).abs().mean()
    assert (forth.network(test["A"]) - test["B"]).abs().mean() < 0.5 * apart
    assert (back.network(test["B"]) - test["A"]).abs().mean() < 0.5 * apart
    assert torch.equal(forth.network(test["A"]), forth.network(test["A"]))
    assert "Instance normalisation" in forth.card["normalisation"]
    assert forth.card["size_multiple"] == 2


def test_losses_are_those_of_the_paper():
    model = build(tiny())
    part = {name: to_unit_range(value) for name, value in images().items()}
    a, b = part["A"], part["B"]
    fake_a, fake_b = model.G_BA(b), model.G_AB(a)
    gan = (model.D_B(fake_b) - 1).square().mean() + (model.D_A(fake_a) - 1).square().mean()
    cycle = (model.G_BA(fake_b) - a).abs().mean() + (model.G_AB(fake_a) - b).abs().mean()
    identity = (model.G_AB(b) - b).abs().mean() + (model.G_BA(a) - a).abs().mean()
    torch.testing.assert_close(model.generator_loss(part), gan + 10 * cycle + 5 * identity)
    halved = sum(
        ((d(real) - 1).square().mean() + d(fake).square().mean()) / 2
        for d, real, fake in ((model.D_A, a, fake_a), (model.D_B, b, fake_b))
    )
    judged = {**part, "fake_A": fake_a.detach(), "fake_B": fake_b.detach()}
    torch.testing.assert_close(model.discriminator_loss(judged), halved)


@pytest.mark.parametrize("loss", ADVERSARIAL)
def test_every_loss_runs(loss):
    model = build(tiny(optimization={"loss": loss}))
    before = [p.clone() for p in model.D_B.parameters()]
    model.step(images(), 0)
    assert not torch.equal(before[0], next(model.D_B.parameters()))
    assert ("gradient_penalty/A" in model.engine.take_reports()) == (loss == "wgan-gp")


def test_accumulation_changes_nothing():
    config = tiny()
    whole, parts, start = build(config), build(config, accumulate=2), build(config)
    for step in range(3):
        whole.step(images(seed=step), step)
        parts.step(images(seed=step), step)
    x = to_unit_range(images(seed=9)["A"])
    # Compared by what they compute: parameters that an instance normalisation undoes drift by rounding alone.
    for name in whole.networks:
        a, b, c = (model.networks[name](x) for model in (whole, parts, start))
        assert (a - b).abs().max() < 0.02 * (a - c).abs().max()
    for side in "AB":
        for a, b in zip(whole.pools[side].images, parts.pools[side].images, strict=True):
            torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize(("family", "config"), [(CycleGAN, tiny()), (Pix2Pix, pairs_config())])
def test_half_precision_stays_finite(family, config, precision):
    model = family(config, Engine(0, device="cpu", precision=precision))
    start = {name: [p.clone() for p in network.parameters()] for name, network in model.networks.items()}
    for step in range(3):
        model.step(images(seed=step), step)
    assert all(np.isfinite(value) for value in model.engine.take_reports().values())
    for name, network in model.networks.items():
        assert all(torch.isfinite(p).all() for p in network.parameters())
        assert not all(torch.equal(a, b) for a, b in zip(start[name], network.parameters(), strict=True))


def test_configurations_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="two names"):
        tiny(backward_name="forth")
    with pytest.raises(ConfigError, match="downs=4 needs sides that are multiples of 16"):
        tiny(generator={"downs": 4}, data={"resolution": 24})


@pytest.mark.parametrize("preset", ["cyclegan-256", "satellite-relief-unpaired"])
def test_presets_are_valid(preset):
    config = load_config(preset)
    assert config.family == "cyclegan"
    assert config.generator.norm == config.discriminator.norm == "instance"


class TestImagePool:
    def fakes(self, first, n):
        return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 3, 2, 2)

    def values(self, images):
        return images[:, 0, 0, 0].int().tolist()

    def test_it_fills_first_and_then_hands_out_old_images_half_the_time(self):
        pool, engine = ImagePool(50), Engine(0, device="cpu")
        out = []
        for step in range(500):
            out += self.values(pool.exchange(self.fakes(step * 4, 4), engine))
        assert out[:50] == list(range(50))
        new = sum(value == i for i, value in enumerate(out) if i >= 52)
        assert 0.45 < new / (len(out) - 52) < 0.55
        assert len(pool.images) == 50
        # Nothing is lost or made up: what came in has gone out, or is still inside.
        assert len(set(out)) > 1900
        assert all(value <= i for i, value in enumerate(out))
        ages = [i - value for i, value in enumerate(out) if value != i]
        assert 80 < np.mean(ages) < 120  # an image stays for 2 · 50 newcomers on average

    def test_what_comes_out_is_not_changed_by_what_comes_in(self):
        pool, engine = ImagePool(2), Engine(0, device="cpu")
        fakes = self.fakes(0, 2).clone().requires_grad_(True)
        out = pool.exchange(fakes, engine)
        with torch.no_grad():
            fakes.zero_()
        assert self.values(torch.stack(pool.images)) == [0, 1]
        assert not out.requires_grad

    def test_a_pool_of_none_hands_on(self):
        fakes = self.fakes(0, 4)
        pool = ImagePool(0)
        assert torch.equal(pool.exchange(fakes, Engine(0, device="cpu")), fakes)
        assert pool.state_dict() == {}

    def test_it_resumes_bit_for_bit(self):
        engine, pool = Engine(0, device="cpu"), ImagePool(5)
        for step in range(4):
            pool.exchange(self.fakes(step * 3, 3), engine)
        saved, rng = pool.state_dict(), engine.state_dict()
        expected = [self.values(pool.exchange(self.fakes(step * 3, 3), engine)) for step in range(4, 12)]
        engine, pool = Engine(0, device="cpu"), ImagePool(5)
        pool.load_state_dict(saved, engine)
        engine.load_state_dict(rng)
        assert [
            self.values(pool.exchange(self.fakes(step * 3, 3), engine)) for step in range(4, 12)
        ] == expected
