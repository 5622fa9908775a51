"""DCGAN: the networks of the paper, every loss, spectral norm, exact runs, and a generator to serve."""

from __future__ import annotations

import math
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.checkpoint import load_checkpoint
from training.config_files import load_config, parse_config
from training.engine import Engine
from training.errors import ConfigError
from training.export.export import export_checkpoint
from training.export.torchscript import run_torchscript
from training.families.dcgan import DCGAN, build_generator
from training.loop import train
from training.losses import ADVERSARIAL
from training.networks.dcgan import Discriminator, Generator, take_standing_statistics
from training.pixels import to_uint8

RESOLUTION = 16
STEADY = {"norm": "none", "spectral_norm": True}


def tiny(**sections):
    tree = {
        "family": "dcgan",
        "name": "tiny",
        "title": "Blobs",
        "snapshots": {"kimg": 0.04},
        "data": {"recipe": "blobs", "resolution": RESOLUTION},
        "generator": {"z_dim": 8, "channels": 8},
        "discriminator": {"channels": 8},
        "optimization": {"batch": 8, "kimg": 0.08, "ema_kimg": 0.05},
    }
    for name, section in sections.items():
        tree[name] |= section
    return parse_config(tree)


def build(config, **options):
    torch.manual_seed(0)
    return DCGAN(config, Engine(0, device="cpu", **options))


def images(n=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shape = (n, 3, RESOLUTION, RESOLUTION)
    return {"image": torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)}


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


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


class TestNetworks:
    def test_sizes_are_those_of_the_paper(self):
        """100 → 512-256-128-64-3: 3.577 M and 2.766 M parameters."""
        g, d = Generator(), Discriminator()
        assert sum(p.numel() for p in g.parameters()) == 3_576_707
        assert sum(p.numel() for p in d.parameters()) == 2_765_633
        z = torch.randn(2, 100)
        assert g(z).shape == (2, 3, 64, 64)
        assert d(g(z)).shape == (2, 1)
        assert not any(isinstance(layer, nn.Linear) for net in (g, d) for layer in net.modules())

    @pytest.mark.parametrize("resolution", [16, 32, 64, 128])
    def test_every_resolution(self, resolution):
        g, d = Generator(4, resolution, 2, 8), Discriminator(resolution, 2, 8)
        pictures = g(torch.randn(2, 4))
        assert pictures.shape == (2, 3, resolution, resolution)
        assert pictures.abs().max() <= 1
        assert d(pictures).shape == (2, 1)
        norms = [[isinstance(layer, nn.BatchNorm2d) for layer in net.layers] for net in (g.synthesis, d)]
        count = int(math.log2(resolution)) - 2  # all layers but G's last, and but D's first and last
        assert [sum(each) for each in norms] == [count, count - 1]

    def test_weights_are_drawn_as_in_the_paper(self):
        for network in (Generator(32, 32, 32), Discriminator(32, 32, spectral=True, norm="none")):
            flat = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
            assert flat.mean().abs() < 1e-3
            assert flat.std() == pytest.approx(0.02, rel=0.02)

    def test_the_halves_obey_the_contract_of_a_generator(self):
        g = Generator(8, 16, 4).eval()
        z = torch.randn(3, 8)
        ws = g.mapping.ws(z, None)
        assert torch.equal(ws, z.unsqueeze(1))
        assert (g.mapping.z_dim, g.mapping.w_dim, g.mapping.num_ws, g.mapping.c_dim) == (8, 8, 1, 0)
        assert torch.equal(g.mapping.w_avg, torch.zeros(8))
        assert g.synthesis.constant_noise() == []
        assert g.synthesis.resolution == 16
        assert torch.equal(g.synthesis(ws, []), g(z))

    def test_standing_statistics_are_those_of_the_weights(self):
        """In use a generator shows what the same weights show in training, whatever it has seen before."""
        g = Generator(8, 16, 8)
        for layer in g.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.fill_(3)
                layer.running_var.fill_(0.01)
        z = torch.randn(512, 8)
        trained = g(z)
        take_standing_statistics(g.eval())
        assert not g.training
        assert (g(z) - trained).abs().mean() < 0.05 * trained.abs().mean()
        again = Generator(8, 16, 8)
        again.load_state_dict(g.state_dict())
        take_standing_statistics(again)
        assert_equal(dict(again.state_dict()), dict(g.state_dict()))


@pytest.mark.parametrize(
    ("discriminator", "optimization"),
    [
        ({}, {}),
        (STEADY, {"loss": "hinge"}),
        ({"norm": "none"}, {"loss": "wgan-gp", "critic_steps": 3}),
    ],
    ids=["batch norm", "spectral norm", "wgan-gp"],
)
def test_a_resumed_run_equals_one_that_never_stopped(
    blobs, tmp_path, monkeypatch, discriminator, optimization
):
    config = tiny(discriminator=discriminator, optimization=optimization, data={"mirror": True})
    whole = train(config, blobs, tmp_path / "whole", device="cpu")
    step = DCGAN.step

    def stop_at_three(self, batch, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch, number)

    monkeypatch.setattr(DCGAN, "step", stop_at_three)
    half = train(config, blobs, tmp_path / "half", device="cpu")
    assert half.step == 4
    monkeypatch.setattr(DCGAN, "step", step)
    torch.manual_seed(99)
    np.random.seed(98)
    random.seed(97)
    resumed = train(config, blobs, tmp_path / "half", resume=True, device="cpu")
    assert resumed.step == whole.step == 10
    assert_equal(resumed.family, whole.family)
    assert_equal(resumed.engine, whole.engine)
    saved = load_checkpoint(tmp_path / "half").family  # loads weights alone
    assert_equal(saved, whole.family)
    if discriminator == STEADY:
        assert "layers.0.parametrizations.weight.0._u" in saved["networks"]["D"]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("loss", ADVERSARIAL)
def test_every_loss_moves_both_networks_and_stays_finite(loss, accumulate):
    norm = "instance" if loss == "wgan-gp" else "batch"
    model = build(tiny(optimization={"loss": loss}, discriminator={"norm": norm}), accumulate=accumulate)
    before = {name: weights(model.networks[name]) for name in ("G", "D", "G_ema")}
    for step in range(8):
        model.step(images(seed=step), step)
    for name, old in before.items():
        moved = [not torch.equal(a, b) for a, b in zip(old, weights(model.networks[name]), strict=True)]
        # Constants before an instance normalisation change nothing and so need not move.
        assert sum(moved) > 0.7 * len(moved), name
        assert all(p.isfinite().all() for p in model.networks[name].parameters())
    reports = model.engine.take_reports()  # raises if a loss is not finite
    assert {"loss/G", "loss/D", "logits/real", "logits/fake"} <= reports.keys()
    assert ("gradient_penalty" in reports) == (loss == "wgan-gp")


@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_it_learns_what_images_look_like(blobs, tmp_path, loss):
    """Blobs are bright in the middle of a dark ground, and soon so are the images of a tiny run."""
    norm, d_lr = {"nonsaturating": ("batch", 4e-4), "wgan-gp": ("none", 5e-3)}[loss]
    config = tiny(
        discriminator={"norm": norm},
        optimization={"loss": loss, "batch": 16, "kimg": 2.0, "g_lr": 2e-3, "d_lr": d_lr},
        snapshots={"kimg": 10},
    )
    checkpoint = train(config, blobs, tmp_path / "run", device="cpu")
    (deployable,) = DCGAN.deployables(config, (), checkpoint.family)
    (untrained,) = DCGAN.deployables(config, (), build(config).state_dict())
    z = torch.randn(64, 8)
    means = {}
    for name, each in {"trained": deployable, "untrained": untrained}.items():
        pictures = each.network(z)
        means[name] = (pictures[:, :, 0, 0].mean(), pictures[:, :, 8, 8].mean())
    assert abs(means["untrained"][1] - means["untrained"][0]) < 0.1
    corner, centre = means["trained"]
    assert corner < -0.3
    assert centre > corner + 0.15  # how far it gets depends on the order sums are taken in


def test_spectral_normalisation_keeps_every_layer_at_a_norm_of_one():
    config = tiny(discriminator=STEADY, optimization={"loss": "hinge"})
    model = build(config)
    for step in range(8):
        model.step(images(seed=step), step)
    layers = [layer for layer in model.D.layers if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 3
    for layer in layers:
        original = layer.parametrizations.weight.original
        largest = [
            float(torch.linalg.matrix_norm(w.detach().flatten(1), ord=2))
            for w in (layer.eval().weight, original)
        ]
        assert largest[0] == pytest.approx(1, abs=0.05)
        assert largest[1] != pytest.approx(1, abs=0.05)


def test_the_generator_waits_for_its_critic():
    model = build(tiny(discriminator={"norm": "none"}, optimization={"loss": "wgan-gp", "critic_steps": 3}))
    moved = []
    for step in range(6):
        before = {name: weights(model.networks[name]) for name in ("G", "D", "G_ema")}
        model.step(images(seed=step), step)
        changed = {
            name: not all(map(torch.equal, old, weights(model.networks[name])))
            for name, old in before.items()
        }
        assert changed["D"]
        assert changed["G"] == changed["G_ema"]
        moved.append(changed["G"])
    assert moved == [False, False, True, False, False, True]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"optimization": {"loss": "wgan-gp"}}, "set discriminator.norm to 'instance' or 'none'"),
        ({"discriminator": {"spectral_norm": True}}, "set discriminator.norm to 'none'"),
        ({"discriminator": {"spectral_norm": True, "norm": "instance"}}, "set discriminator.norm to 'none'"),
        ({"data": {"resolution": 48}}, "16, 32, 64 or 128 pixels, not 48"),
        ({"data": {"resolution": 256}}, "16, 32, 64 or 128 pixels, not 256"),
        ({"optimization": {"loss": "hinges"}}, "hinge"),
    ],
)
def test_settings_that_cannot_work_are_refused(sections, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**sections)


def test_what_is_served_is_the_averaged_generator():
    config = tiny()
    model = build(config)
    for step in range(4):
        model.step(images(seed=step), step)
    state = model.state_dict()
    (deployable,) = DCGAN.deployables(config, (), state)
    assert (deployable.name, deployable.title) == ("tiny", "Blobs")
    assert not deployable.network.training
    assert_equal(weights(deployable.network), weights(model.G_ema))
    assert not all(map(torch.equal, weights(deployable.network), weights(model.G)))
    assert_equal(dict(model.G_ema.state_dict()), dict(state["networks"]["G_ema"]))  # left as it was
    rows = model.preview(images())
    assert rows.shape == (4, 8, 3, RESOLUTION, RESOLUTION)
    z = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rows.flatten(0, 1), deployable.network(z), atol=1e-5, rtol=0)
    alone = torch.cat([deployable.network(one) for one in z.split(1)])
    torch.testing.assert_close(alone, deployable.network(z), atol=1e-5, rtol=0)


def test_an_exported_run_makes_the_same_pixels(blobs, tmp_path):
    checkpoint = train(tiny(), blobs, tmp_path / "run", device="cpu")
    export_checkpoint(checkpoint, tmp_path / "models", formats=["torchscript"])
    z = np.stack([np.random.RandomState(seed).randn(8) for seed in range(5)]).astype(np.float32)
    mapping, synthesis = (
        run_torchscript((tmp_path / "models" / f"tiny-{role}" / "1" / "model.pt").read_bytes(), [output])
        for role, output in (("mapping", "ws"), ("synthesis", "images"))
    )
    truncation = {
        "truncation_psi": np.ones((5, 1), np.float32),
        "truncation_cutoff": np.full((5, 1), -1, np.int32),
    }
    ws = mapping({"z": z, **truncation})["ws"]
    assert np.array_equal(ws, z[:, None])
    halved = mapping({"z": z, **truncation, "truncation_psi": np.full((5, 1), 0.5, np.float32)})["ws"]
    np.testing.assert_allclose(halved, ws / 2)
    noise = {"noise_gain": np.ones((5, 1), np.float32), "noise_seed": np.arange(5)[:, None]}
    pixels = synthesis({"ws": ws, **noise})["images"]
    (deployable,) = DCGAN.deployables(checkpoint.config, checkpoint.classes, checkpoint.family)
    expected = to_uint8(deployable.network(torch.from_numpy(z))).permute(0, 2, 3, 1).numpy()
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= 1  # rounding of what is about half a level
    assert (pixels == expected).mean() > 0.99


def test_classes_of_the_dataset_are_not_offered():
    assert DCGAN(tiny(), Engine(0, device="cpu"), ("0", "1")).classes == ()


def test_the_preset_is_small():
    config = load_config("digits")
    assert config.data.folder(Path("data")) == Path("data/digits-32")
    assert sum(p.numel() for p in build_generator(config).parameters()) < 1e6
