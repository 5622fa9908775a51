"""Exported generators: equal to the network, dynamic, seeded, and never written when they are not."""

from __future__ import annotations

import copy
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tritonclient.grpc import model_config_pb2

from tests.exported_models import CLASSES, read_config, tiny_dcgan, tiny_generator
from training.directions import sefa
from training.export import formats
from training.export.export import export_deployables
from training.export.generator import layer_groups, synthesis_model
from training.export.golden import pixels_sha256
from training.export.onnx_graph import ExportError, run_onnx, to_onnx
from training.export.parity import ParityError
from training.export.seeded_noise import P, seeded_noise
from training.export.torchscript import run_torchscript
from training.export.triton_entry import ModelExistsError, TritonEntry, write_entries
from training.families.base import Deployable

FORMATS = ["onnx", "torchscript"]
FILES = {"onnx": "model.onnx", "torchscript": "model.pt"}
SUFFIX = {"onnx": "", "torchscript": "-torchscript"}
ROLES = {"mapping": ["ws"], "synthesis": ["images"]}

# TorchScript is what Triton's LibTorch backend reads, whatever else PyTorch recommends.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def generator():
    return tiny_generator()


@pytest.fixture(scope="module", params=FORMATS)
def runs(request, exported_repository):
    """Mapping and synthesis of `tiny` in one format."""
    opened = {"onnx": run_onnx, "torchscript": run_torchscript}[request.param]
    names = {role: f"tiny{SUFFIX[request.param]}-{role}" for role in ROLES}
    return {
        role: opened((exported_repository / name / "1" / FILES[request.param]).read_bytes(), ROLES[role])
        for role, name in names.items()
    }


def mapping_inputs(n, psi=1.0, cutoff=-1, classes=(0, 2, 1), edits=0.0):
    return {
        "z": np.stack([np.random.RandomState(i).randn(8) for i in range(n)]).astype(np.float32),
        "truncation_psi": np.full((n, 1), psi, np.float32),
        "truncation_cutoff": np.full((n, 1), cutoff, np.int32),
        "label": np.eye(3, dtype=np.float32)[np.resize(classes, n)],
        "edits": np.full((n, 8), edits, np.float32),
    }


def synthesis_inputs(n, seed=-1, gain=1.0):
    return {
        "ws": np.random.RandomState(0).randn(n, 4, 8).astype(np.float32),
        "noise_gain": np.full((n, 1), gain, np.float32),
        "noise_seed": np.full((n, 1), seed, np.int64),
    }


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("role", ROLES)
def test_config_says_what_the_model_contract_asks(exported_repository, role, format):
    name = f"tiny{SUFFIX[format]}"
    config, card = read_config(exported_repository, f"{name}-{role}")
    assert config.name == f"{name}-{role}"
    assert config.backend == {"onnx": "onnxruntime", "torchscript": "pytorch"}[format]
    assert config.max_batch_size == 16
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")  # see QUEUEING
    assert [(g.count, g.kind) for g in config.instance_group] == [
        (1, model_config_pb2.ModelInstanceGroup.KIND_AUTO)
    ]
    assert [w.batch_size for w in config.model_warmup] == [1, 16]
    model = exported_repository / f"{name}-{role}" / "1" / FILES[format]
    assert [file.name for file in model.parent.iterdir()] == [FILES[format]]
    assert card["digest"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert (card["name"], card["title"], card["role"], card["kind"]) == (name, "Größe ×2", role, "generator")
    assert (card["num_ws"], card["z_dim"], card["w_dim"], card["resolution"]) == (4, 8, 8, 8)
    assert card["classes"] == CLASSES
    assert card["parity"][role]["batches"] == [1, 2, 5, 16]
    inputs = {i.name: list(i.dims) for i in config.input}
    outputs = {o.name: list(o.dims) for o in config.output}
    if role == "mapping":
        assert inputs == {
            "z": [8],
            "truncation_psi": [1],
            "truncation_cutoff": [1],
            "label": [3],
            "edits": [8],
        }
    if format == "onnx":
        session = ort.InferenceSession(model)
        tensors = session.get_inputs() + session.get_outputs()
        assert {t.name: t.shape[1:] for t in tensors} == inputs | outputs
        assert all(isinstance(t.shape[0], str) for t in tensors)
    else:  # what the native backend matches the config's inputs with
        arguments = torch.jit.load(model).forward.schema.arguments
        assert [argument.name for argument in arguments[1:]] == list(inputs)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16])
def test_pixels_equal_pytorch_at_any_batch(generator, runs, n):
    inputs = mapping_inputs(n, psi=0.7, cutoff=3)
    ws = runs["mapping"](inputs)["ws"]
    label = torch.from_numpy(inputs["label"])
    expected_ws = generator.mapping(torch.from_numpy(inputs["z"]), 0.7, 3, label)
    np.testing.assert_allclose(ws, expected_ws.numpy(), atol=1e-4)
    images = runs["synthesis"]({**synthesis_inputs(n), "ws": ws})["images"]
    expected = generator.synthesis(expected_ws, generator.synthesis.constant_noise())
    expected = (expected * 127.5 + 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert images.dtype == np.uint8
    assert images.shape == (n, 8, 8, 3)
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_labels_matter(runs):
    cat, dog = (runs["mapping"](mapping_inputs(2, classes=[c]))["ws"] for c in (0, 1))
    assert np.abs(cat - dog).min(axis=(1, 2)).max() < np.abs(cat - dog).max()
    assert not np.allclose(cat, dog, atol=0.1)


def test_edits_move_truncated_ws_along_the_directions(generator, runs, exported_repository):
    plain = runs["mapping"](mapping_inputs(2, psi=0.5))["ws"]
    inputs = mapping_inputs(2, psi=0.5)
    inputs["edits"][0, 3], inputs["edits"][1, [0, 7]] = 2.0, (-1.5, 1.0)
    moved = runs["mapping"](inputs)["ws"] - plain
    vectors = sefa(generator, 8).vectors.numpy()
    np.testing.assert_allclose(moved[0], 2 * vectors[3], atol=1e-5)
    np.testing.assert_allclose(moved[1], -1.5 * vectors[0] + vectors[7], atol=1e-5)
    _, card = read_config(exported_repository, "tiny-mapping")
    assert [d["name"] for d in card["directions"]] == [f"direction-{i:02d}" for i in range(1, 9)]
    assert card["directions"][0]["explained"] >= card["directions"][7]["explained"] > 0


def test_noise_modes(runs):
    run = lambda **kw: runs["synthesis"](synthesis_inputs(2, **kw))["images"]  # noqa: E731
    assert np.array_equal(run(seed=-1), run(seed=-5))
    assert np.array_equal(run(gain=0.0), run(seed=7, gain=0.0))
    assert np.array_equal(run(seed=7), run(seed=7))
    for other in (run(seed=8), run(seed=-1), run(gain=0.0)):
        assert not np.array_equal(run(seed=7), other)


def test_seeded_noise_does_not_depend_on_the_batch(runs):
    inputs = synthesis_inputs(5)
    inputs["noise_seed"][:, 0] = [3, -1, 2**40, 3, 0]
    inputs["ws"][3] = inputs["ws"][0]
    together = runs["synthesis"](inputs)["images"]
    assert np.array_equal(together[0], together[3])
    for i in range(5):
        alone = runs["synthesis"]({name: value[i : i + 1] for name, value in inputs.items()})["images"]
        assert np.array_equal(alone[0], together[i])


def test_golden_hashes_are_those_of_the_network(generator, exported_repository):
    _, card = read_config(exported_repository, "tiny-mapping")
    run = run_onnx((exported_repository / "tiny-synthesis/1/model.onnx").read_bytes(), ["images"])
    z = np.random.RandomState(3).randn(1, 8).astype(np.float32)
    ws = generator.mapping(torch.from_numpy(z), label=torch.eye(3)[:1]).numpy()
    image = run({**synthesis_inputs(1), "ws": ws})["images"][0]
    assert card["golden"]["pixels_sha256"]["3"] == pixels_sha256(image)
    assert card["golden"]["label"] == 0
    assert card["golden"]["runtime"] == f"onnxruntime {ort.__version__}"


def test_a_generator_without_noise_keeps_the_contract(exported_repository):
    """DCGAN: ws are z, noise has no effect, and batch normalisation is gone from what is served."""
    config, card = read_config(exported_repository, "digits-synthesis")
    assert [i.name for i in config.input] == ["ws", "noise_gain", "noise_seed"]
    assert (card["num_ws"], card["w_dim"], card["directions"]) == (1, 8, [])
    model = onnx.load(exported_repository / "digits-synthesis/1/model.onnx")
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    run = run_onnx(model.SerializeToString(), ["images"])
    ws = np.random.RandomState(0).randn(2, 1, 8).astype(np.float32)
    images = run({**synthesis_inputs(2), "ws": ws})["images"]
    assert np.array_equal(images, run({**synthesis_inputs(2, seed=5, gain=0.3), "ws": ws})["images"])
    expected = tiny_dcgan().synthesis(torch.from_numpy(ws)) * 127.5 + 127.5
    assert np.abs(images - expected.permute(0, 2, 3, 1).numpy()).max() <= 0.51
    mapping = run_onnx((exported_repository / "digits-mapping/1/model.onnx").read_bytes(), ["ws"])
    latents = {k: v for k, v in mapping_inputs(2, psi=0.5).items() if k not in ("label", "edits")}
    np.testing.assert_allclose(mapping(latents)["ws"][:, 0], latents["z"] / 2, atol=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_misses_parity_writes_nothing(monkeypatch, tmp_path, format):
    real = getattr(formats, f"to_{format}")

    def slightly_wrong(module, *args):
        module = copy.deepcopy(module)
        if hasattr(module, "synthesis"):
            module.synthesis.layers[-2].bias += 0.002  # a quarter of a level: invisible, and yet refused
        return real(module, *args)

    monkeypatch.setattr(formats, f"to_{format}", slightly_wrong)
    with pytest.raises(ParityError, match=r"differs? from PyTorch"):
        export_dcgan(tmp_path / "models", formats=[format])
    assert not list(tmp_path.rglob("*"))


def export_dcgan(repository, **options):
    deployable = Deployable("tiny", "Tiny", tiny_dcgan())
    return export_deployables([(deployable, {"name": "tiny", "kind": "generator"})], repository, **options)


class Fixed(torch.nn.Module):
    """A batch that is part of the graph."""

    with_floats = False

    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def forward(self, ws, noise_gain, noise_seed):
        images = self.graph(ws, noise_gain, noise_seed)
        return images.reshape(int(images.shape[0]), 16, 16, 3)[:2]


def test_a_fixed_batch_is_refused():
    class Two(torch.nn.Module):
        def forward(self, x):
            return x + torch.zeros(2, 3)

    with pytest.raises(ExportError, match="fixed the batch axis"):
        to_onnx(Two(), {"x": torch.randn(2, 3)}, ["y"])
    model = synthesis_model(tiny_dcgan())
    with pytest.raises(ParityError, match="refuses a batch of 1: RuntimeError: shape"):
        formats.convert(replace(model, graph=Fixed(model.graph)), "torchscript")


def test_torchscript_follows_the_device_it_is_loaded_on(exported_repository):
    """Tracing writes devices into the graph, which a Triton that loads it onto a GPU would trip over."""
    for model in exported_repository.glob("*-torchscript*/1/model.pt"):
        assert "torch.device" not in torch.jit.load(model).code, model


def test_a_model_is_replaced_only_on_request(tmp_path):
    repository = tmp_path / "models"
    first = export_dcgan(repository, formats=["torchscript"])
    assert [path.name for path in first] == ["tiny-mapping", "tiny-synthesis"]
    before = (repository / "tiny-synthesis/config.pbtxt").read_bytes()
    with pytest.raises(ModelExistsError, match="--overwrite"):
        export_dcgan(repository, formats=["torchscript"])
    assert (repository / "tiny-synthesis/config.pbtxt").read_bytes() == before
    (repository / "tiny-synthesis/config.pbtxt").write_text("old")
    export_dcgan(repository, formats=["torchscript"], overwrite=True)
    assert "pytorch" in (repository / "tiny-synthesis/config.pbtxt").read_text()
    assert sorted(p.name for p in repository.iterdir()) == ["tiny-mapping", "tiny-synthesis"]
    assert not list(repository.parent.glob(".export-*"))


@pytest.mark.parametrize("mounted", [False, True])
def test_models_that_cannot_all_be_written_leave_the_repository_as_it_was(tmp_path, monkeypatch, mounted):
    def entry(name: str, model: bytes) -> TritonEntry:
        return TritonEntry(name, model, [], [], max_batch_size=1)

    repository = tmp_path / "models"
    write_entries(repository, [entry("b", b"old")])
    rename, renamed, stat = Path.rename, [], Path.stat

    def fail_at_the_third(self, target):
        renamed.append(self)
        if len(renamed) == 3:  # a is new, b is put aside, and the new b cannot take its place
            raise OSError("disk full")
        return rename(self, target)

    def other_device(self, **options):
        result = list(stat(self, **options))
        result[2] += self == repository
        return os.stat_result(result)

    if mounted:
        monkeypatch.setattr(Path, "stat", other_device)
    monkeypatch.setattr(Path, "rename", fail_at_the_third)
    with pytest.raises(OSError, match="disk full"):
        write_entries(repository, [entry("a", b"new"), entry("b", b"new")], overwrite=True)
    assert (renamed[0].parents[2] == repository) == mounted  # .export-…/new/a
    assert [path.name for path in repository.iterdir()] == ["b"]
    assert (repository / "b/1/model.onnx").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


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
