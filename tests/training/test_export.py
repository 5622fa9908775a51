"""Exported graphs: equal to the network, dynamic, seeded, and never written when they are not."""

from __future__ import annotations

import copy
import hashlib
import json

import numpy as np
import onnxruntime as ort
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from training.export import generator as export_module
from training.export.generator import export_generator, layer_groups
from training.export.onnx_graph import ExportError, to_onnx
from training.export.parity import ParityError
from training.export.seeded_noise import P, seeded_noise
from training.export.triton_entry import ModelExistsError
from training.networks.stylegan2 import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    g = Generator(8, 8, 16, 64, 8, 2).eval().requires_grad_(False)
    for conv in g.synthesis.styled_convs():
        conv.noise_strength.fill_(0.3)
    g.mapping.w_avg.normal_()
    return g


@pytest.fixture(scope="module")
def repository(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "models"
    export_generator(generator, {"name": "tiny", "title": "Größe ×2"}, path)
    return path


@pytest.fixture(scope="module")
def sessions(repository):
    return {
        role: ort.InferenceSession(repository / f"tiny-{role}/1/model.onnx")
        for role in ("mapping", "synthesis")
    }


def read_config(repository, role):
    config = text_format.Parse(
        (repository / f"tiny-{role}/config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    return config, json.loads(config.parameters["card"].string_value)


def synthesis_inputs(n, seed=-1, gain=1.0):
    ws = np.random.RandomState(0).randn(n, 6, 8).astype(np.float32)
    return {
        "ws": ws,
        "noise_gain": np.full((n, 1), gain, np.float32),
        "noise_seed": np.full((n, 1), seed, np.int64),
    }


@pytest.mark.parametrize("role", ["mapping", "synthesis"])
def test_config_says_what_the_model_contract_asks(repository, sessions, role):
    config, card = read_config(repository, role)
    assert config.name == f"tiny-{role}"
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 16
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")  # see QUEUEING
    assert [(g.count, g.kind) for g in config.instance_group] == [
        (1, model_config_pb2.ModelInstanceGroup.KIND_AUTO)
    ]
    assert [w.batch_size for w in config.model_warmup] == [1, 16]
    model = repository / f"tiny-{role}/1/model.onnx"
    assert card["digest"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card["title"] == "Größe ×2"
    assert card["role"] == role
    assert (card["kind"], card["num_ws"], card["z_dim"], card["w_dim"], card["resolution"]) == (
        "generator",
        6,
        8,
        8,
        16,
    )
    assert card["parity"][role]["batches"] == [1, 2, 5, 16]
    graph = {i.name: i.shape[1:] for i in sessions[role].get_inputs()}
    assert graph == {i.name: list(i.dims) for i in config.input}
    assert {o.name: o.shape[1:] for o in sessions[role].get_outputs()} == {
        o.name: list(o.dims) for o in config.output
    }
    assert all(
        isinstance(t.shape[0], str) for t in sessions[role].get_inputs() + sessions[role].get_outputs()
    )


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16])
def test_pixels_equal_pytorch_at_any_batch(generator, sessions, n):
    z = np.stack([np.random.RandomState(i).randn(8) for i in range(n)]).astype(np.float32)
    inputs = {
        "z": z,
        "truncation_psi": np.full((n, 1), 0.7, np.float32),
        "truncation_cutoff": np.full((n, 1), 3, np.int32),
    }
    (ws,) = sessions["mapping"].run(None, inputs)
    expected_ws = generator.mapping(torch.from_numpy(z), 0.7, 3)
    np.testing.assert_allclose(ws, expected_ws.numpy(), atol=1e-4)
    (images,) = sessions["synthesis"].run(None, {**synthesis_inputs(n), "ws": ws})
    expected = generator.synthesis(expected_ws, generator.synthesis.constant_noise())
    expected = (expected * 127.5 + 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert images.dtype == np.uint8
    assert images.shape == (n, 16, 16, 3)
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_noise_modes(sessions):
    run = lambda **kw: sessions["synthesis"].run(None, synthesis_inputs(2, **kw))[0]  # noqa: E731
    assert np.array_equal(run(seed=-1), run(seed=-5))
    assert np.array_equal(run(gain=0.0), run(seed=7, gain=0.0))
    assert np.array_equal(run(seed=7), run(seed=7))
    for other in (run(seed=8), run(seed=-1), run(gain=0.0)):
        assert not np.array_equal(run(seed=7), other)


def test_seeded_noise_does_not_depend_on_the_batch(sessions):
    inputs = synthesis_inputs(5)
    inputs["noise_seed"][:, 0] = [3, -1, 2**40, 3, 0]
    inputs["ws"][3] = inputs["ws"][0]
    (together,) = sessions["synthesis"].run(None, inputs)
    assert np.array_equal(together[0], together[3])
    for i in range(5):
        (alone,) = sessions["synthesis"].run(None, {name: value[i : i + 1] for name, value in inputs.items()})
        assert np.array_equal(alone[0], together[i])


def test_an_export_that_misses_parity_writes_nothing(generator, tmp_path, monkeypatch):
    real = export_module.to_onnx

    def slightly_wrong(module, inputs, outputs):
        if "ws" in inputs:
            module.synthesis = _perturbed(module.synthesis)
        return real(module, inputs, outputs)

    monkeypatch.setattr(export_module, "to_onnx", slightly_wrong)
    repository = tmp_path / "models"
    with pytest.raises(ParityError, match=r"differs? from PyTorch"):
        export_generator(generator, {"name": "tiny"}, repository)
    assert not list(tmp_path.rglob("*"))


def _perturbed(synthesis):
    other = copy.deepcopy(synthesis)
    other.blocks[-1].torgb.bias += 0.001  # an eighth of a level: invisible, and yet refused
    return other


def test_a_fixed_batch_is_refused():
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x + torch.zeros(2, 3)

    with pytest.raises(ExportError, match="fixed the batch axis"):
        to_onnx(Fixed(), {"x": torch.randn(2, 3)}, ["y"])


def test_a_model_is_replaced_only_on_request(generator, repository):
    before = (repository / "tiny-synthesis/config.pbtxt").read_bytes()
    with pytest.raises(ModelExistsError, match="--overwrite"):
        export_generator(generator, {"name": "tiny"}, repository)
    assert (repository / "tiny-synthesis/config.pbtxt").read_bytes() == before
    assert sorted(p.name for p in repository.iterdir()) == ["tiny-mapping", "tiny-synthesis"]
    assert not list(repository.parent.glob(".export-*"))


def test_layer_groups_cover_every_layer():
    groups = layer_groups(18)
    assert groups["coarse"] == [0, 1, 2, 3]
    assert groups["middle"] == [4, 5, 6, 7]
    assert groups["fine"] == list(range(8, 18))


class TestSeededNoise:
    def test_is_standard_normal(self):
        (x,) = seeded_noise(torch.arange(8)[:, None], [256])
        assert x.mean().item() == pytest.approx(0, abs=0.005)
        assert x.std().item() == pytest.approx(1, abs=0.005)
        assert (x**4).mean().item() == pytest.approx(3, abs=0.05)
        quantiles = torch.quantile(x[0].flatten(), torch.tensor([0.0228, 0.1587, 0.5, 0.8413, 0.9772]))
        torch.testing.assert_close(quantiles, torch.tensor([-2.0, -1, 0, 1, 2]), atol=0.05, rtol=0)

    def test_is_white(self):
        (x,) = seeded_noise(torch.arange(4)[:, None], [256])
        power = torch.fft.fft2(x).abs().square() / 256**2  # expected to be 1 in every band
        for band in (power[..., :8, :8], power[..., 64:72, :], power[..., :, 120:136]):
            assert band.mean().item() == pytest.approx(1, abs=0.15)
        for row in (x.mean(dim=3), x.mean(dim=2)):  # no stripes
            assert (row * 16).std().item() == pytest.approx(1, abs=0.1)

    def test_layers_and_seeds_are_independent(self):
        noise = seeded_noise(torch.tensor([[0], [1], [P], [2**53]]), [128, 128])
        fields = [n[i, 0].flatten() for n in noise for i in range(4)]
        correlation = torch.corrcoef(torch.stack(fields)) - torch.eye(8)
        assert correlation.abs().max() < 0.04

    def test_stays_the_same(self):
        """Clients keep seeds: what a seed stands for must never change."""
        (x,) = seeded_noise(torch.tensor([[42]]), [4])
        torch.testing.assert_close(x[0, 0, 0], torch.tensor(GOLDEN), atol=1e-5, rtol=0)


GOLDEN = [-0.7991198897361755, -0.48079851269721985, -1.1855418682098389, -0.6718575358390808]
