"""Exported translators and upscalers: any size, folded, and honest about how far a pixel reaches."""

from __future__ import annotations

import base64

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.exported_models import lively, read_config, tiny_translator, tiny_upscaler
from training.export.fold import fold_batch_norms
from training.export.formats import convert
from training.export.golden import pixels_sha256, source_picture, thumbnail
from training.export.onnx_graph import ExportError, run_onnx
from training.export.receptive import MAX_RADIUS, receptive_radius
from training.export.tiles import tile_error
from training.export.torchscript import run_torchscript
from training.export.translator import translator_product
from training.export.upscaler import from_zero_one, to_zero_one, upscaler_product
from training.families.base import Deployable
from training.networks.compact import CompactNet
from training.networks.norms import BatchNorm2d, normalise_by_image
from training.networks.resnet import ResNet
from training.networks.rrdb import RRDBNet
from training.networks.srresnet import SRResNet
from training.networks.unet import UNet


@pytest.fixture(scope="module")
def onnx_runs(exported_repository):
    return {
        name: run_onnx((exported_repository / name / "1/model.onnx").read_bytes(), ["images"])
        for name in ("sketch", "larger")
    }


def noise(n, height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("model", "kind"), [("sketch", "translator"), ("larger-torchscript", "upscaler")])
def test_config_leaves_sizes_open(exported_repository, model, kind):
    config, card = read_config(exported_repository, model)
    assert [(t.name, list(t.dims)) for t in config.input] == [("source", [-1, -1, 3])]
    assert [(t.name, list(t.dims)) for t in config.output] == [("images", [-1, -1, 3])]
    assert config.max_batch_size == 8
    assert [(w.batch_size, list(w.inputs["source"].dims)) for w in config.model_warmup] == [
        (1, [64, 64, 3]),
        (8, [64, 64, 3]),
    ]
    assert (card["name"], card["kind"], "role" in card) == (model, kind, False)
    assert (card["scale"], card["size_multiple"]) == ((1, 8) if kind == "translator" else (3, 1))
    assert (card["min_size"], card["max_size"]) == (1, 1024)
    parity = card["parity"]["model"]
    assert parity["batches"] == [1, 2, 5, 8]
    assert any(height % 2 and width % 2 for height, width in parity["sizes"])


def test_a_translator_mirrors_what_is_no_multiple(onnx_runs):
    """Reference: PyTorch's own reflection up to the next multiple of 8, and a crop."""
    network = tiny_translator()
    for height, width in ((16, 24), (17, 23), (9, 8)):
        images = noise(2, height, width)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        padded = F.pad(x, (0, -width % 8, 0, -height % 8), mode="reflect")
        expected = network(padded)[:, :, :height, :width].permute(0, 2, 3, 1) * 127.5 + 127.5
        images = onnx_runs["sketch"]({"source": images})["images"]
        assert images.shape == (2, height, width, 3)
        assert images.std() > 20
        assert np.abs(images - expected.numpy()).max() <= 0.51


def test_images_too_small_to_be_mirrored_once_are_mirrored_on(onnx_runs):
    row = noise(1, 1, 3)
    index = [0, 1, 2, 1, 0, 1, 2, 1]  # 0 1 2 of the image, then 1 0 1 2 1 of its mirror images
    whole = onnx_runs["sketch"]({"source": np.repeat(row, 8, axis=1)[:, :, index]})["images"]
    assert np.array_equal(onnx_runs["sketch"]({"source": row})["images"], whole[:, :1, :3])


def test_an_upscaler_enlarges_and_rounds_half_to_even(onnx_runs):
    images = noise(2, 7, 5)
    expected = tiny_upscaler()(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    expected = (expected.permute(0, 2, 3, 1) * 255).clamp(0, 255).numpy()
    got = onnx_runs["larger"]({"source": images})["images"]
    assert got.shape == (2, 21, 15, 3)
    assert np.abs(got - expected).max() <= 0.51
    levels = torch.tensor([-0.1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.0, 7.0])
    assert from_zero_one(levels).tolist() == [0, 0, 2, 2, 255, 255]
    assert torch.equal(from_zero_one(to_zero_one(torch.arange(256).byte())), torch.arange(256).byte())


@pytest.mark.parametrize(
    "network",
    [UNet(3, 4), ResNet(1, 4, norm="batch"), SRResNet(2, 4, 2)],
    ids=["unet", "resnet", "srresnet"],
)
def test_batch_norms_are_folded(network):
    network = lively(network).double()
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    folded = fold_batch_norms(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())  # a copy was folded
    x = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    torch.testing.assert_close(folded(x), network(x))


def test_a_convolution_with_other_readers_is_not_folded():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    network = lively(Forked())
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(fold_batch_norms(network)(x), network(x))


def test_statistics_of_the_batch_are_refused():
    """They would let an image depend on what it is served with."""
    batch_statistics = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    for network in (batch_statistics, nn.Sequential(nn.Conv2d(3, 3, 1), BatchNorm2d(3)).train()):
        with pytest.raises(ExportError, match="statistics of a batch"):
            fold_batch_norms(network)


def test_statistics_of_each_image_are_served():
    network = lively(UNet(2, 4))
    normalise_by_image(network)
    product = translator_product(Deployable("x", "X", network, card={"size_multiple": 4, "min_size": 4}))
    assert product.card["receptive_radius"] is None
    converted = convert(product.models[0], "torchscript")
    assert product.measure([converted.run], "")["tileable"] is False
    images = noise(3, 9, 10)
    together = converted.run({"source": images})["images"]
    alone = np.concatenate([converted.run({"source": image[None]})["images"] for image in images])
    assert np.abs(together.astype(int) - alone).max() <= 1


def conv(kernel, stride=1, dilation=1):
    return nn.Conv2d(3, 3, kernel, stride, dilation * (kernel // 2), dilation)


@pytest.mark.parametrize(
    ("network", "scale", "multiple", "radius"),
    [
        (nn.Identity(), 1, 1, 0),
        (conv(3), 1, 1, 1),
        (nn.Sequential(conv(9), nn.PReLU(), conv(3, dilation=4)), 1, 1, 8),
        (nn.Conv2d(3, 3, (3, 7), padding=(1, 3)), 1, 1, 3),
        (nn.Conv2d(3, 3, (7, 3), padding=(3, 1)), 1, 1, 3),
        # Blocks of 2 × 2: a pixel reaches its neighbour in the block, and no further.
        (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2)), 1, 2, 1),
        (nn.Sequential(nn.Upsample(scale_factor=2), conv(3)), 2, 1, 1),
        (CompactNet(4, 4, 3), 4, 1, 5),
        (SRResNet(4, 4, 2), 4, 1, 4 + 2 * 2 + 1 + 1 + 1 + 1),
        (RRDBNet(4, 4, 1, 2), 4, 1, 1 + 15 + 1 + 2),
        (ResNet(2, 2, norm="batch"), 1, 4, None),
        (ResNet(2, 2, norm="instance"), 1, 4, None),
        (nn.Sequential(*(conv(3, dilation=256) for _ in range(2))), 1, 1, None),
    ],
)
def test_receptive_radius(network, scale, multiple, radius):
    found = receptive_radius(network, scale, multiple)
    if isinstance(network, ResNet) and found is not None:
        radius = radius_by_gradient(network)
    assert found == radius
    assert found is None or found < MAX_RADIUS


def radius_by_gradient(network, size=96):
    """Another way, for networks with weights that cancel nothing: where gradients of outputs are not zero."""
    network = network.double().eval()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    x = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    worst = 0
    for at in range(size // 2, size // 2 + 4):
        (gradient,) = torch.autograd.grad(network.layers[:-1](x)[0, 0, at, at].sum(), x)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero()
        worst = max(worst, at - int(rows[0]), int(rows[-1]) - at)
    return worst


@pytest.mark.parametrize(("model", "scale"), [("sketch", 1), ("larger", 3)])
def test_no_pixel_further_than_the_radius_changes_a_pixel(onnx_runs, exported_repository, model, scale):
    _, card = read_config(exported_repository, model)
    radius = card["receptive_radius"]
    assert 0 < radius < 40
    assert card["tileable"] is True
    run = onnx_runs[model]
    image = noise(1, 96, 96)
    before = run({"source": image})["images"].astype(int)
    reached = 0
    for y, x in ((48, 48), (53, 50), (39, 55)):
        changed = image.copy()
        changed[0, y, x] = 255 - changed[0, y, x]
        rows, columns = np.nonzero((run({"source": changed})["images"] != before).any(axis=(0, 3)))
        distances = np.maximum(np.abs(rows // scale - y), np.abs(columns // scale - x))
        assert distances.max() <= radius
        reached = max(reached, distances.max())
    if model == "larger":  # where every pixel has the same reach, and weights are not small
        assert reached == radius


def test_tiles_are_found_out_that_do_not_fit():
    """A network that is local and yet makes something else of each place."""

    class Vignette(nn.Module):
        def forward(self, x):
            return x * torch.linspace(0.2, 1, x.shape[3], device=x.device, dtype=x.dtype)

    network = nn.Sequential(conv(3), Vignette()).eval()
    assert receptive_radius(network, 1, 1) == 1
    product = translator_product(Deployable("x", "X", network.requires_grad_(False)))
    run = convert(product.models[0], "torchscript").run
    measured = product.measure([run], "")
    assert measured["tileable"] is False
    assert measured["tile_level_error"] > 1


def test_tiles_need_their_overlap(onnx_runs, exported_repository):
    _, card = read_config(exported_repository, "larger")
    radius = card["receptive_radius"]
    assert tile_error(onnx_runs["larger"], radius, 3, 1) == card["tile_level_error"] <= 1
    assert tile_error(onnx_runs["larger"], radius - 2, 3, 1) > 1


def test_the_card_says_what_is_made_of_a_picture_that_everybody_can_make(exported_repository, onnx_runs):
    golden = read_config(exported_repository, "larger")[1]["golden"]
    picture = source_picture(golden["source"]["height"], golden["source"]["width"])
    image = onnx_runs["larger"]({"source": picture[None]})["images"][0]
    assert golden["pixels_sha256"] == {"source": pixels_sha256(image)}
    assert base64.b64decode(golden["thumbnails"]["source"]) == thumbnail(image).tobytes()


def test_a_network_that_takes_other_sizes_than_it_says_is_refused():
    deployable = Deployable("x", "X", lively(UNet(3, 4)), card={"size_multiple": 4, "min_size": 4})
    with pytest.raises(ExportError, match=r"refuses 24×28 pixels, .* any multiple of 4"):
        translator_product(deployable)
    deployable = Deployable("x", "X", tiny_upscaler(), card={"scale": 2})
    with pytest.raises(ExportError, match=r"makes \[1, 3, 72, 75\] of 24×25 pixels, at scale 2"):
        upscaler_product(deployable)


def test_onnx_files_are_lean(exported_repository):
    model = onnx.load(exported_repository / "sketch/1/model.onnx")
    operations = {node.op_type for node in model.graph.node}
    assert not operations & {"BatchNormalization", "Dropout", "Identity", "Loop", "If"}
    assert not any(node.metadata_props for node in model.graph.node)
    assert [o.name for o in model.graph.output] == ["images"]
    run = run_torchscript((exported_repository / "sketch-torchscript/1/model.pt").read_bytes(), ["images"])
    assert list(run({"source": noise(1, 8, 8)})) == ["images"]
