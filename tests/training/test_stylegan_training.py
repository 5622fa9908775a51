"""Runs of StyleGAN2 with everything on: classes, adaptive augmentation, path lengths, half precision."""

from __future__ import annotations

import os
import signal
from functools import partialmethod

import numpy as np
import pytest
import torch
from torch import nn

from training.config_files import parse_config
from training.data.archive import write_archive
from training.data.sources import DatasetError
from training.engine import Engine
from training.errors import ConfigError
from training.families.base import TransferError
from training.families.stylegan import StyleGAN2
from training.loop import train

CLASSES = ("dark", "bright")


def changed(config, **sections):
    """A configuration with some values of its sections replaced."""
    tree = config.model_dump()
    for name, value in sections.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) else value
    return parse_config(tree)


def family_of(config, classes=(), seed=0, **engine) -> StyleGAN2:
    torch.manual_seed(seed)
    return StyleGAN2(config, Engine(config.seed, device="cpu", **engine), classes)


def batch_of(n=8, resolution=16, seed=0):
    """Images whose brightness is their class."""
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 2
    noise = torch.randint(0, 56, (n, 3, resolution, resolution), generator=rng)
    return {"image": (noise + 200 * label.view(n, 1, 1, 1)).to(torch.uint8), "label": label}


@pytest.fixture(scope="module")
def full_config(tiny_config):
    return changed(tiny_config, conditional=True, augment={"mode": "ada", "kimg": 0.1, "p": 0.5})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder with images of two classes."""
    folder = tmp_path_factory.mktemp("data") / "labelled-16"
    images = batch_of(32)
    pixels = images["image"].permute(0, 2, 3, 1).numpy()
    for split in ("train", "heldout"):
        write_archive(folder / f"{split}.zip", iter(pixels), images["label"].tolist())
    return folder


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_resumed_run_equals_one_that_never_stopped(full_config, labelled, tmp_path, monkeypatch):
    whole = train(full_config, labelled, tmp_path / "whole", device="cpu")
    assert whole.family["extra"]["augment"]["p"] != 0.5
    assert whole.family["extra"]["augment"]["signs"][1] == 16  # two of the four steps between adaptations
    assert whole.family["extra"]["pl_mean"] > 0

    step = StyleGAN2.step

    def stop_at_six(self, batch, number):
        if number == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(StyleGAN2, "step", stop_at_six)
    assert train(full_config, labelled, tmp_path / "half", device="cpu").step == 7
    monkeypatch.setattr(StyleGAN2, "step", step)
    resumed = train(full_config, labelled, tmp_path / "half", resume=True, device="cpu")
    assert resumed.step == 10
    assert equal(resumed.family, whole.family)
    assert equal(resumed.engine, whole.engine)


def test_a_batch_in_parts_is_the_batch(full_config):
    whole, parts = family_of(full_config, CLASSES), family_of(full_config, CLASSES, accumulate=2)
    for step in range(5):
        for family in (whole, parts):
            family.step(batch_of(), step)
    a, b = whole.extra_state(), parts.extra_state()
    assert a["augment"]["p"] == b["augment"]["p"]
    assert a["class_counts"].tolist() == b["class_counts"].tolist() == [20, 20]
    torch.testing.assert_close(a["pl_mean"], b["pl_mean"], rtol=1e-2, atol=0)
    torch.testing.assert_close(whole.G.mapping.w_avg, parts.G.mapping.w_avg, rtol=1e-2, atol=1e-4)


def test_classes_are_learnt(tiny_config):
    """After a few seconds bright images come of the one label and dark ones of the other."""
    config = changed(
        tiny_config,
        conditional=True,
        data={"resolution": 8},
        optimization={"pl_weight": 0.0, "ema_kimg": 0.1, "g_lr": 0.01, "d_lr": 0.01},
    )
    family = family_of(config, CLASSES)
    for step in range(120):
        family.step(batch_of(8, 8, seed=step), step)
    dark, bright = family.preview(batch_of())
    assert bright.mean() - dark.mean() > 0.5


def test_a_preview_shows_each_class_for_the_same_latents(full_config, tiny_config):
    family = family_of(full_config, CLASSES)
    images = family.preview(batch_of())
    assert images.shape == (2, 8, 3, 16, 16)
    assert torch.equal(images, family.preview(batch_of(seed=1)))
    assert not torch.equal(images[0], images[1])
    assert family_of(tiny_config).preview(batch_of()).shape == (4, 8, 3, 16, 16)


def test_what_is_deployed_knows_its_classes(full_config, tiny_config):
    family = family_of(full_config, CLASSES)
    family.step({**batch_of(), "label": torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])}, 0)
    (deployable,) = StyleGAN2.deployables(full_config, CLASSES, family.state_dict())
    assert deployable.card["class_shares"] == {"dark": 0.75, "bright": 0.25}
    assert deployable.network.mapping.c_dim == 2
    assert not any(p.requires_grad for p in deployable.network.parameters())
    (plain,) = StyleGAN2.deployables(tiny_config, CLASSES, family_of(tiny_config, CLASSES).state_dict())
    assert plain.network.mapping.c_dim == 0  # labels that a run does not use


def test_a_conditional_run_needs_labels(full_config):
    with pytest.raises(DatasetError, match="needs a dataset with labels"):
        family_of(full_config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"resolution": 24}}, "data: resolution must be a power of two; got 24"),
        ({"generator": {"channel_base": 8}}, "generator: channel_base=8 leaves no feature maps"),
        ({"discriminator": {"channel_base": 8}}, "discriminator: channel_base=8 leaves no feature maps"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(tiny_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        changed(tiny_config, **changes)


def test_batches_that_cannot_be_grouped_are_refused(tiny_config):
    with pytest.raises(ConfigError, match="6 images at a time, which is no multiple"):
        family_of(changed(tiny_config, optimization={"batch": 12}), accumulate=2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_finite(full_config, precision):
    config = changed(full_config, generator={"num_fp16_res": 2}, discriminator={"num_fp16_res": 2})
    family = family_of(config, CLASSES, precision=precision)
    for step in range(5):
        family.step(batch_of(), step)
    reports = family.engine.take_reports()
    assert {"loss/G", "loss/D", "r1", "path/length"} <= reports.keys()
    assert all(np.isfinite(value) for value in reports.values())
    for network in family.networks.values():
        assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_compiled_networks_are_trained_the_same(full_config, monkeypatch):
    # Traced and differentiated as always, but run by PyTorch, as there may be no C++ compiler.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    config = changed(full_config, data={"resolution": 8})
    eager, compiled = family_of(config, CLASSES), family_of(config, CLASSES, compile_networks=True)
    for family in (eager, compiled):
        family.step(batch_of(8, 8), 0)
    expected, got = eager.engine.take_reports(), compiled.engine.take_reports()
    assert {"loss/G", "loss/D", "r1", "path/penalty"} <= expected.keys()
    assert got == pytest.approx(expected, rel=1e-3)


def test_frozen_layers_keep_their_weights(tiny_config):
    family = family_of(changed(tiny_config, discriminator={"freeze_layers": 4}))
    before = {name: p.clone() for name, p in family.D.named_parameters()}
    for step in range(2):
        family.step(batch_of(), step)
    kept = {name.split(".")[0] for name, p in family.D.named_parameters() if torch.equal(p, before[name])}
    assert kept == {"fromrgb", "blocks"}
    assert torch.equal(family.D.blocks[0].skip.weight, before["blocks.0.skip.weight"])
    assert not torch.equal(family.D.blocks[1].skip.weight, before["blocks.1.skip.weight"])


class TestTransfer:
    def test_a_higher_resolution_takes_every_layer_of_equal_resolution(self, tiny_config):
        low = family_of(tiny_config, seed=1)
        config = changed(tiny_config, data={"resolution": 32})
        high = family_of(config, seed=2)
        said = high.transfer(low.state_dict())
        for block in range(3):
            theirs, mine = low.G.synthesis.blocks[block], high.G.synthesis.blocks[block]
            assert equal(theirs.state_dict(), mine.state_dict())
        for block in (-1, -2):
            assert equal(low.D.blocks[block].state_dict(), high.D.blocks[block].state_dict())
        assert equal(low.D.conv.state_dict(), high.D.conv.state_dict())
        assert equal(high.G.state_dict(), high.G_ema.state_dict())
        # New are the block of 32² in both networks, and the discriminator's convolution from RGB.
        assert said == "G 48 of 64 tensors, D 16 of 23 tensors, G_ema 48 of 64 tensors"

    def test_classes_can_be_added(self, tiny_config, full_config):
        plain, conditional = family_of(tiny_config, seed=1), family_of(full_config, CLASSES, seed=2)
        conditional.transfer(plain.state_dict())
        assert equal(plain.G.synthesis.state_dict(), conditional.G.synthesis.state_dict())
        assert equal(plain.D.fromrgb.state_dict(), conditional.D.fromrgb.state_dict())

    def test_weights_of_something_else_are_refused(self, tiny_config):
        other = {"model.0.weight": torch.zeros(3)}
        with pytest.raises(TransferError, match="nothing of these weights fits"):
            family_of(tiny_config).transfer({"networks": {"G": other, "D": other}})
