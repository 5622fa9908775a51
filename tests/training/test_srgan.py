"""Super-resolution runs: two stages, exact resume, and which perceptual features are used."""

from __future__ import annotations

import io
import os
import signal

import numpy as np
import pytest
import torch
from rich.console import Console

from training.checkpoint import load_checkpoint
from training.config_files import load_config, parse_config
from training.data.archive import write_archive
from training.engine import Engine
from training.errors import ConfigError
from training.families.base import TransferError
from training.families.srgan import SRGAN
from training.loop import train
from training.networks.vgg import VGG19Features
from training.perceptual import (
    VGG19_VARIABLE,
    EfficientNetDistance,
    PerceptualConfig,
    PerceptualError,
    perceptual_distance,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_vgg(monkeypatch, tmp_path_factory):
    monkeypatch.delenv(VGG19_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("hub")))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """12 soft-edged discs in each split, 24²."""
    folder = tmp_path_factory.mktemp("data") / "photos-24"
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:24, :24]
    for split in ("train", "heldout"):
        images = []
        for _ in range(12):
            cy, cx, radius = *rng.uniform(6, 18, 2), rng.uniform(3, 9)
            disc = 1 / (1 + np.exp(np.hypot(yy - cy, xx - cx) - radius))[:, :, None]
            images.append((disc * rng.integers(128, 256, 3) + 20).clip(0, 255).astype(np.uint8))
        write_archive(folder / f"{split}.zip", images)
    return folder


def config(stage="pixels", **changes):
    tree = {
        "name": "tiny", "title": "Larger discs", "family": "srgan", "stage": stage,
        "snapshots": {"kimg": 100},
        "data": {"recipe": "photos", "resolution": 24, "crop": 16},
        "generator": {"architecture": "compact", "features": 8, "blocks": 2},
        "discriminator": {"architecture": "unet", "features": 4},
        "optimization": {"batch": 4, "kimg": 0.024, "g_lr": 1e-3, "lr_decay_kimg": 0.012, "ema_kimg": 0.02},
    }  # fmt: skip
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and key in tree else value
    return parse_config(tree)


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


SRRESNET = {"architecture": "srresnet", "features": 4, "blocks": 1, "norm": "batch"}


@pytest.mark.parametrize(
    "run_config",
    [
        config(generator=SRRESNET, degradation={"kind": "blur-noise-jpeg"}),
        config("gan", discriminator={"architecture": "vgg", "norm": "batch"}, generator=SRRESNET),
        config("gan", loss={"adversarial": "wgan-gp"}, degradation={"kind": "blur-noise-jpeg"}),
    ],
    ids=["pixels", "gan", "gan-wgan-gp"],
)
def test_a_resumed_run_equals_one_that_never_stopped(run_config, photos, tmp_path, monkeypatch):
    whole = train(run_config, photos, tmp_path / "whole", device="cpu")
    step = SRGAN.step

    def stop_at_three(self, batch, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(SRGAN, "step", stop_at_three)
    assert train(run_config, photos, tmp_path / "half", device="cpu").step == 4
    monkeypatch.setattr(SRGAN, "step", step)
    torch.manual_seed(99)
    np.random.seed(99)
    resumed = train(run_config, photos, tmp_path / "half", resume=True, device="cpu")
    assert resumed.step == whole.step == 6
    assert equal(resumed.family, whole.family)
    assert equal(resumed.engine, whole.engine)


def test_the_first_stage_learns(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loop.LOG_EVERY", 5)
    losses = []
    take = Engine.take_reports
    monkeypatch.setattr(Engine, "take_reports", lambda self: losses.append(take(self)) or losses[-1])
    train(config(optimization={"kimg": 0.4, "lr_decay_kimg": 0.2}), photos, tmp_path / "run", device="cpu")
    pixel = [stats["loss/pixel"] for stats in losses]
    assert pixel[-1] < pixel[0] * 0.8


def test_the_second_stage_starts_from_the_average_of_the_first(photos, tmp_path):
    first = train(config(), photos, tmp_path / "first", device="cpu")
    assert not equal(first.family["networks"]["G"], first.family["networks"]["G_ema"])
    second = SRGAN(config("gan"), Engine(0, device="cpu"))
    before = {k: v.clone() for k, v in second.D.state_dict().items()}
    assert "tensors" in second.transfer(load_checkpoint(tmp_path / "first").family)
    assert equal(dict(second.G.state_dict()), first.family["networks"]["G_ema"])
    assert equal(dict(second.G_ema.state_dict()), first.family["networks"]["G_ema"])
    assert equal(dict(second.D.state_dict()), before)

    text = io.StringIO()
    run_config = config("gan", init_from=str(tmp_path / "first"))
    last = train(run_config, photos, tmp_path / "second", console=Console(file=text, width=200), device="cpu")
    assert "starting from" in text.getvalue()
    assert "perceptual features: EfficientNet-Lite0" in text.getvalue()
    for name in ("G", "G_ema", "D"):
        assert name in last.family["networks"]
    assert not equal(last.family["networks"]["G_ema"], first.family["networks"]["G_ema"])

    third = SRGAN(config("gan"), Engine(1, device="cpu"))
    third.transfer(last.family)  # a run of the same stage hands its discriminator on too
    assert equal(dict(third.D.state_dict()), last.family["networks"]["D"])


def test_another_architecture_is_not_started_from():
    first = SRGAN(config(generator=SRRESNET), Engine(0, device="cpu"))
    with pytest.raises(TransferError, match="no generator of the architecture"):
        SRGAN(config("gan"), Engine(0, device="cpu")).transfer(first.state_dict())


def test_pictures_and_the_card(photos, tmp_path):
    checkpoint = train(config("gan"), photos, tmp_path / "run", device="cpu")
    (made,) = SRGAN.deployables(checkpoint.config, (), checkpoint.family)
    assert made.network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 20, 28)
    assert not made.network.training
    assert equal(dict(made.network.state_dict()), checkpoint.family["networks"]["G_ema"])
    assert made.card["scale"] == 4
    assert made.card["architecture"] == "compact VGG-style, 2 convolutions of 8"
    assert "antialiased" in made.card["degradation"]
    assert made.card["perceptual_features"] == EfficientNetDistance.name

    family = SRGAN(checkpoint.config, Engine(0, device="cpu"))
    family.load_state_dict(checkpoint.family)
    high = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    low = high[:, :, ::4, ::4]
    table = family.preview({"high": high, "low": low})
    assert table.shape == (2, 4, 3, 16, 16)
    torch.testing.assert_close(table[:, 0, :, ::4, ::4], low.float() / 127.5 - 1)
    torch.testing.assert_close(table[:, 3], high.float() / 127.5 - 1)
    torch.testing.assert_close(table[:, 2], made.network(low.float() / 255) * 2 - 1)


def test_a_run_on_pixels_names_no_features():
    family = SRGAN(config(), Engine(0, device="cpu"))
    (made,) = SRGAN.deployables(family.config, (), family.state_dict())
    assert made.card["perceptual_features"].startswith("none")


def test_gradients_of_every_loss_reach_the_generator():
    weights = ("pixel_weight", "perceptual_weight", "adversarial_weight")
    batch = {"low": torch.rand(2, 3, 8, 8), "high": torch.rand(2, 3, 32, 32)}
    for alone in weights:
        loss = {name: float(name == alone) for name in weights}
        family = SRGAN(config("gan", loss=loss), Engine(0, device="cpu"))
        family.generator_loss(batch).backward()
        for name, parameter in family.G.named_parameters():
            assert parameter.grad is not None, (alone, name)
            assert parameter.grad.abs().sum() > 0, (alone, name)


@pytest.mark.parametrize("architecture", ["vgg", "unet"])
def test_half_precision_stays_finite(photos, tmp_path, monkeypatch, architecture):
    monkeypatch.setattr("training.loop.LOG_EVERY", 1)  # a loss that is not finite ends a run
    run_config = config(
        "gan",
        generator=SRRESNET,
        discriminator={"architecture": architecture},
        compute={"precision": "bf16"},
        optimization={"kimg": 0.012, "accumulate": 2},
    )
    state = train(run_config, photos, tmp_path / "run", device="cpu").family
    assert all(v.isfinite().all() for v in state["networks"]["G_ema"].values())
    assert all(v.dtype == torch.float32 for v in state["networks"]["G"].values() if v.is_floating_point())


def test_averages_can_be_left_out(photos, tmp_path):
    state = train(config(optimization={"ema_kimg": 0}), photos, tmp_path / "run", device="cpu").family
    assert equal(state["networks"]["G"], state["networks"]["G_ema"])


def save_vgg(path, layer="conv2_2"):
    """Random weights in torchvision's layout, classifier and all."""
    state = {**VGG19Features(layer).state_dict(), "classifier.0.weight": torch.zeros(1)}
    torch.save(state, path)
    return path


class TestPerceptualFeatures:
    def test_distances_are_zero_for_equal_images_and_grow_with_blur(self):
        distance = perceptual_distance(PerceptualConfig(), CPU)
        image = torch.rand(1, 3, 32, 32).repeat(3, 1, 1, 1)
        blurred = torch.nn.functional.avg_pool2d(image[:1], 3, 1, 1)
        more = torch.nn.functional.avg_pool2d(image[:1], 7, 1, 3, count_include_pad=False)
        same, little, much = distance(torch.cat([image[:1], blurred, more]), image)
        assert same == 0
        assert 0 < little < much

    def test_vgg_where_its_weights_are(self, tmp_path, monkeypatch):
        file = save_vgg(tmp_path / "vgg.pth")
        named = perceptual_distance(PerceptualConfig(vgg19=str(file), layer="conv2_2"), CPU)
        monkeypatch.setenv(VGG19_VARIABLE, str(file))
        by_variable = perceptual_distance(PerceptualConfig(layer="conv2_2"), CPU)
        monkeypatch.delenv(VGG19_VARIABLE)
        cache = tmp_path / "hub" / "checkpoints"
        cache.mkdir(parents=True)
        save_vgg(cache / "vgg19-0123abcd.pth")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cached = perceptual_distance(PerceptualConfig(layer="conv2_2"), CPU)
        for distance in (named, by_variable, cached):
            assert distance.name == "VGG-19 (ImageNet), conv2_2 before activation, L1"
        x = torch.rand(2, 3, 16, 16, requires_grad=True)
        named(x, torch.rand(2, 3, 16, 16)).sum().backward()
        assert x.grad.abs().sum() > 0
        assert not any(p.requires_grad for p in named.parameters())
        chosen = PerceptualConfig(features="efficientnet-lite0")
        assert isinstance(perceptual_distance(chosen, CPU), EfficientNetDistance)

    def test_features_are_taken_before_the_activation(self):
        network = VGG19Features("conv2_2")
        assert network(torch.rand(1, 3, 8, 8)).min() < 0
        assert network(torch.rand(1, 3, 9, 12)).shape == (1, 128, 4, 6)

    def test_a_file_that_is_named_must_be_there(self, tmp_path, monkeypatch):
        with pytest.raises(PerceptualError, match=r"perceptual\.vgg19 names .*none\.pth"):
            perceptual_distance(PerceptualConfig(vgg19=str(tmp_path / "none.pth")), CPU)
        monkeypatch.setenv(VGG19_VARIABLE, str(tmp_path / "nor.pth"))
        with pytest.raises(PerceptualError, match=VGG19_VARIABLE):
            perceptual_distance(PerceptualConfig(), CPU)

    def test_vgg_asked_for_and_not_there(self):
        with pytest.raises(PerceptualError, match="efficientnet-lite0"):
            perceptual_distance(PerceptualConfig(features="vgg19"), CPU)

    def test_files_of_something_else_are_refused(self, tmp_path):
        file = tmp_path / "weights.pth"
        for content, message in (({"a": torch.zeros(1)}, "missing"), ([1], "no state dict")):
            torch.save(content, file)
            with pytest.raises(PerceptualError, match=message):
                perceptual_distance(PerceptualConfig(vgg19=str(file)), CPU)
        file.write_bytes(b"garbage")
        with pytest.raises(PerceptualError, match="cannot be read"):
            perceptual_distance(PerceptualConfig(vgg19=str(file)), CPU)

    def test_a_run_does_not_change_its_features_when_resumed(self, tmp_path, monkeypatch):
        state = SRGAN(config("gan"), Engine(0, device="cpu")).state_dict()
        monkeypatch.setenv(VGG19_VARIABLE, str(save_vgg(tmp_path / "vgg.pth")))
        other = SRGAN(config("gan", perceptual={"layer": "conv2_2"}), Engine(0, device="cpu"))
        assert other.notes == ["perceptual features: VGG-19 (ImageNet), conv2_2 before activation, L1"]
        with pytest.raises(PerceptualError, match="began with"):
            other.load_state_dict(state)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.crop=18"], "multiple of scale"),
        (["data.crop=256"], "at most"),
        (["stage=gan", "data.crop=100", "discriminator.architecture=unet"], "multiple of 8"),
        (["stage=gan", "loss.adversarial=wgan-gp", "discriminator.norm=batch"], "spectral"),
    ],
)
def test_settings_that_do_not_fit_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config("photo-x4", overrides)


def test_what_ships_is_small_and_both_stages_agree():
    first, second = load_config("photo-x4"), load_config("photo-x4-gan")
    assert first.generator == second.generator
    generator = SRGAN(first, Engine(0, device="cpu")).G
    assert sum(p.numel() for p in generator.parameters()) <= 500_000
