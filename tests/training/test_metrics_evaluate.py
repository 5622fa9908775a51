"""Whole evaluations of every kind: what they measure, write and print, and what they refuse."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio
from torch import nn
from torch.nn import functional as F

from training.checkpoint import Checkpoint
from training.config_files import parse_config
from training.data.archive import read_archive, write_archive
from training.data.layouts import write_images, write_pairs
from training.engine import Engine
from training.families.base import Deployable
from training.families.table import FAMILIES
from training.loop import train
from training.metrics.evaluate import deployables, evaluate
from training.metrics.features import EfficientNetLite0Features, feature_network
from training.metrics.path_length import perceptual_path_length
from training.metrics.report import print_metrics
from training.metrics.results import EvaluationError, RunMetrics
from training.metrics.sampling import Sampler, draw_labels
from training.metrics.translators import evaluate_translator
from training.metrics.upscalers import evaluate_upscaler

CPU = torch.device("cpu")
SIDE = 16


def untrained(tree, classes=()):
    """A checkpoint of a run that has made no step."""
    config = parse_config(tree)
    family = FAMILIES[config.family](config, Engine(0, device="cpu"), classes)
    return Checkpoint(config, classes, 0, family.state_dict(), {}, 0.0, "CPU")


def printed(metrics):
    out = io.StringIO()
    print_metrics(metrics, Console(file=out, width=200))
    return out.getvalue()


# Generators


@pytest.fixture(scope="module", autouse=True)
def _small_features():
    """Features of images of 96² take a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EfficientNetLite0Features, "input_size", 96)
        yield


@pytest.fixture(scope="module")
def generator_run(tiny_config, blobs, tmp_path_factory):
    """A short run, evaluated; its folder, checkpoint and metrics, and what progress was told."""
    run = tmp_path_factory.mktemp("run")
    checkpoint = train(tiny_config, blobs, run, device="cpu", console=Console(file=io.StringIO()))
    told = []
    metrics = evaluate(
        checkpoint, blobs, run, images=24, device="cpu", progress=lambda *row: told.append(row)
    )
    return SimpleNamespace(run=run, checkpoint=checkpoint, metrics=metrics, told=told)


def test_a_generator_lies_between_real_images_and_an_untrained_one(generator_run):
    m = generator_run.metrics.models["tiny"]
    assert m.kid_real.mean < m.kid.mean
    assert m.kid_real.mean < m.kid_untrained.mean
    assert m.fid_real < m.fid_untrained
    assert 0 <= m.precision <= 1
    assert 0 <= m.recall <= 1
    assert m.path_length.steps == 24
    assert m.memorization.searched == 72  # three times the images; there are 150
    assert "EfficientNet-Lite0" in m.features
    assert "24 generated (seeds 0–23" in m.protocol
    assert "72 of 150 training images" in m.protocol


def test_metrics_are_written_as_they_are_returned(generator_run):
    written = RunMetrics.model_validate_json((generator_run.run / "metrics.json").read_bytes())
    assert written == generator_run.metrics
    assert written.step == generator_run.checkpoint.step
    assert "precision" in printed(written)
    assert ("generated images", 24, 24) in generator_run.told
    with Image.open(generator_run.run / "neighbours.png") as picture:
        assert picture.size == (8 * (SIDE + 2) - 2, 4 * (SIDE + 2) - 2)


def test_the_sheet_shows_the_seeds_of_the_service(generator_run):
    """Seed 9 is in the second row, second column: untruncated, with the model's constant noise."""
    network = deployables(generator_run.checkpoint)[0].network
    z = torch.from_numpy(np.random.RandomState(9).randn(1, network.mapping.z_dim).astype(np.float32))
    with torch.no_grad():
        image = network.synthesis(network.mapping.ws(z, None), network.synthesis.constant_noise())
    expected = (image[0] * 127.5 + 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    with Image.open(generator_run.run / "samples.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (4 * SIDE, 8 * SIDE, 3)
    np.testing.assert_allclose(sheet[SIDE : 2 * SIDE, SIDE : 2 * SIDE], expected, atol=1)


def test_neighbours_are_training_images(generator_run, blobs):
    with Image.open(generator_run.run / "neighbours.png") as picture:
        table = np.asarray(picture)
    shown = table[SIDE + 2 : 2 * SIDE + 2, :SIDE]
    assert (read_archive(blobs / "train.zip") == shown).all(axis=(1, 2, 3)).any()


def test_too_few_held_out_images_are_refused(generator_run, blobs, tmp_path):
    write_archive(tmp_path / "heldout.zip", read_archive(blobs / "heldout.zip")[:3])
    write_archive(tmp_path / "train.zip", read_archive(blobs / "train.zip")[:30])
    with pytest.raises(EvaluationError, match="holds 3 held-out and 30 training"):
        evaluate(generator_run.checkpoint, tmp_path, tmp_path, images=30, device="cpu")


class Linear(nn.Module):
    """A generator whose images are linear in w, and w in z: every path has the same slope all along."""

    def __init__(self, c_dim=0):
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws, self.c_dim, self.resolution = 5, 5, 2, c_dim, 4
        self.mapping = self.synthesis = self
        self.labels = []

    def ws(self, z, label):
        self.labels.append(label)
        return z[:, None].expand(-1, 2, -1)

    def constant_noise(self):
        return []

    def forward(self, ws, noise):
        return ws[:, 0, :3, None, None].expand(-1, -1, 4, 4)


class SquaredDifference(nn.Module):
    name = "squared difference"

    def forward(self, a, b):
        return (a.double() - b.double()).square().mean(dim=(1, 2, 3)) / 127.5**2


def test_path_length_of_a_linear_generator_is_known():
    steps = 40
    path = perceptual_path_length(Sampler(Linear(), [0] * steps, CPU), SquaredDifference(), steps)
    z = np.random.RandomState(0).randn(steps, 2, 5)
    slopes = np.sort(((z[:, 1] - z[:, 0])[:, :3] ** 2).mean(axis=1))  # of images along w₂ − w₁
    assert path.full == pytest.approx(slopes.mean(), rel=0.02)
    assert path.end == pytest.approx(slopes.mean(), rel=0.02)


def test_labels_are_drawn_as_they_are_held_out():
    labels = draw_labels([0, 0, 0, 2], 4000)
    assert labels[:50] == draw_labels([0, 0, 0, 2], 50)
    assert np.bincount(labels).tolist() == pytest.approx([3000, 0, 1000], abs=120)
    generator = Linear(c_dim=3)
    Sampler(generator, labels, CPU).images([4, 1])
    assert generator.labels[0].argmax(dim=1).tolist() == [labels[4], labels[1]]


def test_a_conditional_generator_is_evaluated(tiny_config, blobs, tmp_path):
    pixels = read_archive(blobs / "train.zip")[:40]
    for split in ("train", "heldout"):
        write_archive(tmp_path / f"{split}.zip", pixels, labels=[i % 3 for i in range(40)])
    tree = {**tiny_config.model_dump(), "conditional": True}
    metrics = evaluate(untrained(tree, ("a", "b", "c")), tmp_path, tmp_path, images=8, device="cpu")
    assert "classes drawn as they are held out" in metrics.models["tiny"].protocol
    assert metrics.models["tiny"].memorization.ratio > 0


# Translators


@pytest.fixture(scope="module")
def negatives(tmp_path_factory):
    """Pairs in which B is the negative of A."""
    folder = tmp_path_factory.mktemp("negatives")
    rng = np.random.RandomState(0)
    for split, n in (("train", 6), ("test", 5)):
        images = rng.randint(0, 256, (n, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
        write_pairs(folder / split, ((f"{i}", a, 255 - a) for i, a in enumerate(images)))
    return folder


PIX2PIX = {
    "family": "pix2pix",
    "name": "negative",
    "title": "Negatives",
    "data": {"recipe": "negatives", "resolution": SIDE},
    "generator": {"num_downs": 3, "channels": 4},
    "discriminator": {"n_layers": 1, "channels": 4},
    "optimization": {"batch": 2, "kimg": 0.01},
}


class Negative(nn.Module):
    def forward(self, x):
        return -x


def translate(network, data, source="A", tree=PIX2PIX):
    deployable = Deployable("negative", "Negatives", network, source)
    return evaluate_translator(
        untrained(tree), deployable, data, images=100, network=feature_network(CPU), device=CPU,
        progress=lambda *_: None,
    )  # fmt: skip


def test_the_right_translator_is_perfect_and_copying_is_not(negatives):
    m, rows = translate(Negative(), negatives)
    assert m.scores.psnr == 100
    assert m.scores.l1 == 0
    assert m.scores.ssim == pytest.approx(1)
    assert m.scores.feature_distance == pytest.approx(0, abs=1e-6)
    assert m.scores_copy.psnr < 20
    assert m.kid.mean < m.kid_copy.mean
    assert m.scores_constant.psnr >= m.scores_training_mean.psnr
    assert "5 held-out pairs at 16², A → B" in m.protocol
    assert [len(row) for row in rows] == [5, 5, 5]
    assert all((255 - a == t).all() and (o == t).all() for a, o, t in zip(*rows, strict=True))


def test_the_identity_scores_as_copying_does(negatives):
    m, _ = translate(nn.Identity(), negatives, source="B")
    assert m.scores == m.scores_copy
    assert m.scores.psnr < 20  # B against A, not against itself
    assert m.kid == m.kid_copy


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpaired")
    rng = np.random.RandomState(0)
    for name, offset in (("trainA", 0), ("trainB", 3), ("testA", 10), ("testB", 10)):
        rng.seed(offset)
        write_images(
            folder / name, ((f"{i}", rng.randint(0, 256, (SIDE, SIDE, 3), np.uint8)) for i in range(4))
        )
    return folder


CYCLEGAN = {
    **PIX2PIX,
    "family": "cyclegan",
    "name": "there",
    "backward_name": "back",
    "backward_title": "Back",
    "generator": {"blocks": 1, "channels": 4},
}


def test_both_translators_of_a_cycle_are_evaluated(unpaired, tmp_path):
    metrics = evaluate(untrained(CYCLEGAN), unpaired, tmp_path, images=3, device="cpu")
    assert list(metrics.models) == ["there", "back"]
    assert [m.source for m in metrics.models.values()] == ["A", "B"]
    assert all(m.scores_copy.psnr == 100 for m in metrics.models.values())  # testA and testB are equal here
    assert RunMetrics.model_validate_json((tmp_path / "metrics.json").read_bytes()) == metrics
    with Image.open(tmp_path / "translations.png") as picture:
        assert picture.size == (3 * (SIDE + 2) - 2, 6 * (SIDE + 2) - 2)
    assert "best constant colour" in printed(metrics)


def test_without_pairs_sets_are_compared(unpaired, tmp_path):
    for name in ("trainA", "trainB", "testA"):
        (tmp_path / name).symlink_to(unpaired / name)
    rng = np.random.RandomState(0)
    write_images(
        tmp_path / "testB", ((f"b{i}", rng.randint(0, 256, (SIDE, SIDE, 3), np.uint8)) for i in range(4))
    )
    m, _ = translate(nn.Identity(), tmp_path, tree=CYCLEGAN)
    assert m.scores is None
    assert m.scores_constant is None
    assert m.kid == m.kid_copy
    assert "no pairs" in m.protocol


# Upscalers

SRGAN = {
    "family": "srgan",
    "name": "photo",
    "title": "Photographs",
    "scale": 2,
    "data": {"recipe": "photos", "resolution": 32, "crop": 16},
    "generator": {"architecture": "compact", "features": 4, "blocks": 1},
    "optimization": {"batch": 2, "kimg": 0.01},
}


class Nearest(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return F.interpolate(x, scale_factor=self.scale, mode="nearest")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Held-out tiles, and a benchmark of one image whose sides are odd."""
    folder = tmp_path_factory.mktemp("photographs")
    yy, xx = np.mgrid[:45, :61]
    waves = np.stack([127 + 120 * np.sin(xx / (2 + c) + yy / 4) for c in range(3)], axis=2).astype(np.uint8)
    write_archive(folder / "heldout.zip", [waves[:32, i : i + 32] for i in range(3)])
    write_archive(folder / "benchmark.zip", [waves])
    return folder


def upscale(network, data, against=None, card=None):
    return evaluate_upscaler(
        untrained(SRGAN), Deployable("photo", "Photographs", network, card=card or {}), data, images=100,
        against=against or {}, device=CPU, progress=lambda *_: None,
    )  # fmt: skip


def test_upscaling_is_measured_as_papers_do(photographs):
    """The whole protocol once more with Pillow and scikit-image."""
    m, rows = upscale(Nearest(), photographs)
    original = read_archive_of_one(photographs / "benchmark.zip")[:44, :60]
    small = Image.fromarray(original).resize((30, 22), Image.Resampling.BICUBIC)
    results = {
        "nearest": np.asarray(small).repeat(2, axis=0).repeat(2, axis=1),
        "bicubic": np.asarray(small.resize((60, 44), Image.Resampling.BICUBIC)),
    }
    for name, scores in (("nearest", m.scores), ("bicubic", m.scores_bicubic)):
        x, y = results[name][2:-2, 2:-2], original[2:-2, 2:-2]
        assert scores.psnr_rgb == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255))
        luma = [rgb2ycbcr(image)[:, :, 0] for image in (y, x)]
        assert scores.psnr_y == pytest.approx(peak_signal_noise_ratio(*luma, data_range=255))
    assert m.scores.psnr_y < m.scores_bicubic.psnr_y
    assert (m.scale, m.dataset, m.images) == (2, "benchmark", 1)
    assert len(rows[0]) == 3


def test_features_known_from_training_are_told(photographs):
    card = {"perceptual_features": "EfficientNet-Lite0 (ImageNet), stages 1 to 4"}
    assert "flatters the feature distance" in upscale(Nearest(), photographs, card=card)[0].protocol
    assert "flatters" not in upscale(Nearest(), photographs, card={"perceptual_features": None})[0].protocol


def read_archive_of_one(path):
    import zipfile

    with zipfile.ZipFile(path) as archive, Image.open(archive.open("00000/img00000000.png")) as image:
        return np.asarray(image)


def test_held_out_images_stand_in_for_a_benchmark(photographs, tmp_path):
    (tmp_path / "heldout.zip").symlink_to(photographs / "heldout.zip")
    checkpoint = untrained(SRGAN)
    metrics = evaluate(checkpoint, tmp_path, tmp_path, against=checkpoint, device="cpu")
    m = metrics.models["photo"]
    assert (m.dataset, m.images) == ("held-out", 3)
    assert m.scores_against == {"photo (other run)": m.scores}
    assert "bicubic" in printed(metrics)
    with Image.open(tmp_path / "upscaled.png") as picture:
        assert picture.size == (4 * (64 + 2) - 2, 3 * (64 + 2) - 2)


def test_models_of_other_scales_or_kinds_are_not_compared(photographs, generator_run, blobs, tmp_path):
    with pytest.raises(EvaluationError, match="wide upscales 4 times and photo 2"):
        upscale(Nearest(), photographs, {"wide": Nearest(4)})
    with pytest.raises(EvaluationError, match="only upscalers"):
        evaluate(generator_run.checkpoint, blobs, tmp_path, against=generator_run.checkpoint, device="cpu")


def test_tiny_photographs_are_named(tmp_path):
    write_archive(tmp_path / "benchmark.zip", [np.zeros((14, 40, 3), np.uint8)])
    with pytest.raises(EvaluationError, match=r"img00000000\.png is too small"):
        upscale(Nearest(), tmp_path)
