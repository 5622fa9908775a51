"""StyleGAN2 generators of NVIDIA and of rosinality: into our network, and out again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.training.importers.nvidia_container import Module, write_pickle
from tests.training.importers.tiny_stylegan2 import FIR, nvidia, rosinality
from training.directions import SAMPLES, sample_w
from training.export.generator import find_directions
from training.export.graphs import MappingGraph, SynthesisGraph
from training.importers.base import StoredFile, UnsupportedWeightsError
from training.importers.files.reading import read_weights
from training.importers.generators.nvidia_stylegan2 import NvidiaStyleGAN2, base_and_max
from training.importers.generators.rosinality_stylegan2 import RosinalityStyleGAN2
from training.importers.proof import ProofError, prove
from training.importers.table import recognise
from training.networks.stylegan2 import Generator

NVIDIA = {
    "plain": nvidia(),
    "conditional": nvidia(c_dim=3),
    "other-widths": nvidia((8, 5, 7, 4), c_dim=2, embed_features=5, layer_features=9, layers=3),
    "clamped": nvidia(clamp=1.5),
    "not-clamped": nvidia(clamp=None),
    "silent": nvidia(noise=False),
    "grey": nvidia(colours=1),
    "eager": nvidia(lr_multiplier=0.1),
    "smallest": nvidia((4,), layers=1),
    "without-average": nvidia(w_avg=False, c_dim=3),
}


def in_memory(content) -> StoredFile:
    return StoredFile(Path("some.pt"), "0" * 64, 1, "torch", content)


@pytest.fixture
def pickled(tmp_path):
    """A file of theirs, read."""

    def read(module: Module, **networks: Module) -> StoredFile:
        path = tmp_path / "network-snapshot-000100.pkl"
        training_set = {"class_name": "training.dataset.ImageFolderDataset", "xflip": False}
        write_pickle(path, {"G": module, **networks, "G_ema": module}, training_set_kwargs=training_set)
        return read_weights(path)

    return read


@pytest.mark.parametrize("name", NVIDIA)
def test_a_pickle_of_nvidia_becomes_a_network_that_computes_the_same(name, pickled):
    found = recognise(pickled(NVIDIA[name]))
    assert (found.format, found.part, found.kind, found.family) == (
        "nvidia-stylegan2", "G_ema", "generator", "stylegan2",
    )  # fmt: skip
    proof = prove(found.build(), "generator")
    assert proof.max_abs_error < 2e-5
    assert proof.max_level_error <= 1


def test_all_hyperparameters_come_from_the_file(pickled):
    found = recognise(pickled(NVIDIA["other-widths"]))
    assert found.title == "StyleGAN2 generator, 32 × 32, 2 classes"
    assert found.hyperparameters == {
        "z_dim": 6,
        "w_dim": 8,
        "c_dim": 2,
        "resolution": 32,
        "image_channels": 3,
        "channels": [8, 5, 7, 4],
        "mapping_layers": 3,
        "layer_features": 9,
        "lr_multiplier": 0.01,
        "noise": True,
        "conv_clamp": 256.0,
        "embed_features": 5,
    }
    weights = NVIDIA["other-widths"].state_dict()
    counted = [
        t.numel() for key, t in weights.items() if not key.endswith(("resample_filter", "noise_const"))
    ]
    assert found.parameters == sum(counted)
    for name, key, value in (
        ("clamped", "conv_clamp", 1.5),
        ("not-clamped", "conv_clamp", None),
        ("silent", "noise", False),
        ("eager", "lr_multiplier", 0.1),
        ("smallest", "resolution", 4),
    ):
        assert recognise(pickled(NVIDIA[name])).hyperparameters[key] == value
    assert recognise(pickled(NVIDIA["grey"])).title == "StyleGAN2 generator, 16 × 16, unconditional, grey"


def test_the_averaged_generator_is_taken_unless_asked_otherwise(tmp_path):
    path = write_pickle(tmp_path / "n.pkl", {"G": nvidia(seed=1), "G_ema": nvidia(seed=2)})
    for part, seed in ((None, 2), ("G_ema", 2), ("G", 1)):
        found = recognise(read_weights(path), part)
        weight = nvidia(seed=seed).state_dict()["mapping.fc0.weight"]
        assert found.part == (part or "G_ema")
        assert torch.equal(found.build().network.mapping.layers[0].weight, weight)
    with pytest.raises(UnsupportedWeightsError, match=r"no part 'D'; its parts are G, G_ema"):
        recognise(read_weights(path), "D")


def test_nothing_is_served_of_a_discriminator(pickled):
    names = ("b4.conv.weight", "b4.fc.weight", "b4.out.weight", "b8.fromrgb.weight")
    stored = pickled(nvidia(), D=Module("Discriminator", parameters={n: torch.ones(1) for n in names}))
    with pytest.raises(UnsupportedWeightsError, match=r"part D of .* is a discriminator.*G_ema"):
        recognise(stored, "D")
    theirs = {"convs.0.0.weight": torch.ones(1), "final_linear.1.weight": torch.ones(1)}
    with pytest.raises(UnsupportedWeightsError, match=r"part d of .* is a discriminator.*g_ema"):
        recognise(in_memory({"g_ema": rosinality(), "d": theirs}), "d")


def test_a_state_dict_of_nvidia_in_any_container(tmp_path):
    weights = NVIDIA["conditional"].state_dict()
    torch.save(weights, tmp_path / "bare.pt")
    torch.save({"G_ema": weights, "step": 3}, tmp_path / "parts.pt")
    save_file({name: t.clone() for name, t in weights.items()}, tmp_path / "bare.safetensors")
    flat = {f"G_ema.{name}": t.clone() for name, t in weights.items()}
    save_file(flat, tmp_path / "parts.safetensors")
    files = {"bare.pt": "", "parts.pt": "G_ema", "bare.safetensors": "", "parts.safetensors": "G_ema"}
    for name, part in files.items():
        found = recognise(read_weights(tmp_path / name))
        imported = found.build()
        assert found.part == part
        assert torch.equal(imported.network.mapping.embed.bias, weights["mapping.embed.bias"])
        assert "±256 and 0.01 are assumed" in imported.notes[0]


REFUSED = {
    "architecture 'resnet', without": nvidia(architecture="resnet"),
    "architecture 'orig', without": nvidia(architecture="orig"),
    "the activation of .* is relu; supported is lrelu": nvidia(activation="relu"),
    "resamples with the filter .*supported is": nvidia(fir=torch.ones(4, 4) / 16),
    "resamples with the filter .*12, 12": nvidia(fir=torch.ones(12, 12) / 144),
    "images of 4 channels": nvidia(colours=4),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_variant_is_refused_with_its_reason(reason, pickled):
    with pytest.raises(UnsupportedWeightsError, match=reason):
        recognise(pickled(REFUSED[reason]))


def changed(weights, **changes):
    """Tensors with others by name, written with `_` for a dot; None takes one away."""
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return {name: t for name, t in {**weights, **changes}.items() if t is not None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"synthesis__b4__const": torch.ones(8, 4, 7)}, r"constant of \[4, 7\]; supported are square"),
        ({"synthesis__b4__const": None}, "begins with no constant"),
        ({"synthesis__b4__torgb__weight": None}, "architecture 'orig'"),
        ({"synthesis__b32__conv0__weight": torch.ones(1), "synthesis__b16__torgb__bias": None}, "orig"),
        ({"synthesis__b64__const": torch.ones(1)}, r"blocks of \[4, 8, 16, 64\]"),
        ({"synthesis__b8__conv0__affine__bias": None}, "lacks synthesis.b8.conv0.affine.bias"),
        ({"synthesis__b4__torgb__affine__weight": None}, "lacks synthesis.b4.torgb.affine.weight"),
        ({"synthesis__b8__skip__weight": torch.ones(8, 8, 1, 1)}, "has synthesis.b8.skip.weight; it is a"),
        ({"mapping__fc1__weight": torch.ones(8, 7)}, r"fc1.weight is \[8, 7\], where StyleGAN2 has \[8, 8\]"),
        ({"mapping__fc1__weight": torch.ones(8, 8).int()}, "fc1.weight is"),
        ({"mapping__fc0__weight": torch.ones(())}, "tensors of no sense"),
        ({"mapping__embed__weight": torch.ones(2, 20_000)}, "20,000 classes"),
        ({"synthesis__b16__torgb__weight": torch.ones(3, 2**19, 1, 1)}, "makes 524288 maps of 16 × 16"),
    ],
)
def test_damaged_weights_of_nvidia_are_refused(changes, reason):
    with pytest.raises(UnsupportedWeightsError, match=reason):
        recognise(in_memory(changed(nvidia().state_dict(), **changes)))


@pytest.mark.parametrize("attribute", ["conv_clamp", "bias_gain"])
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1, 0, "256", [256], {}, 10**400], ids=lambda value: repr(value)[:9]
)
def test_hostile_attributes_are_refused(attribute, value, pickled):
    module = nvidia()
    for block in module.children["synthesis"].children.values():
        for layer in block.children.values():
            layer.attributes["conv_clamp"] = value if attribute == "conv_clamp" else 256
    for layer in module.children["mapping"].children.values():
        layer.attributes["bias_gain"] = value if attribute == "bias_gain" else 0.01
    with pytest.raises(UnsupportedWeightsError, match=f"{attribute} (is|differs)"):
        recognise(pickled(module))


def test_layers_of_different_clamps_are_refused(pickled):
    module = nvidia()
    module.children["synthesis"].children["b8"].children["conv1"].attributes["conv_clamp"] = 128
    with pytest.raises(UnsupportedWeightsError, match="conv_clamp differs between layers"):
        recognise(pickled(module))


def test_a_forgotten_gain_is_seen_in_the_proof(pickled):
    imported = recognise(pickled(nvidia())).build()
    imported.network.synthesis.blocks[1].torgb.gain *= 2
    with pytest.raises(ProofError, match="of another network than it seems"):
        prove(imported, "generator")


@pytest.mark.parametrize("average", [None, torch.full((8,), 0.2), torch.full((1, 8), 0.2)])
@pytest.mark.parametrize("noise", [True, False])
def test_a_file_of_rosinality_becomes_a_network_that_computes_the_same(average, noise, tmp_path):
    content = {"g": rosinality(seed=1), "d": {}, "g_ema": rosinality(noise=noise), "ada_aug_p": 0.1}
    if average is not None:
        content["latent_avg"] = average
    torch.save(content, tmp_path / "100000.pt")
    found = recognise(read_weights(tmp_path / "100000.pt"))
    imported = found.build()
    assert (found.format, found.part) == ("rosinality-stylegan2", "g_ema")
    assert found.title == "StyleGAN2 generator, 16 × 16, unconditional"
    assert found.hyperparameters["channels"] == [8, 8, 6]
    assert prove(imported, "generator").max_abs_error < 2e-5
    mapping = imported.network.mapping
    if average is None:
        torch.testing.assert_close(mapping.w_avg, sample_w(mapping).mean(dim=0).float())
        assert f"computed from {SAMPLES:,} latents of seed 0" in "".join(imported.notes)
        assert "mean of 10,000 w of seed 0" in imported.card["w_avg"]
    else:
        assert torch.equal(mapping.w_avg, average.flatten())
        assert "w_avg" not in imported.card
    assert ("no constant noise; it was drawn" in "".join(imported.notes)) is not noise
    again = recognise(read_weights(tmp_path / "100000.pt")).build().network.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in imported.network.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iwt__ll": torch.ones(2, 2)}, "is a SWAGAN generator"),
        ({"to_rgbs__0__upsample__kernel": FIR}, "resamples with the filter to_rgbs.0.upsample.kernel"),
        ({"input__input": torch.ones(1, 8, 2, 4)}, r"constant of \[2, 4\]"),
        ({"to_rgb1__conv__weight": torch.ones(1, 12, 8, 1, 1)}, "images of 12 channels"),
        ({"convs__3__noise__weight": None}, "lacks convs.3.noise.weight"),
        ({"noises__noise_2": torch.ones(1, 1, 4, 4)}, r"noises.noise_2 is \[1, 1, 4, 4\]"),
        ({"style__3__weight": torch.ones(8, 8)}, "lacks style.3.bias"),
        ({"style__1__weight": torch.ones(8)}, "tensors of no sense"),
    ],
)
def test_variants_and_damages_of_rosinality_are_refused(changes, reason):
    with pytest.raises(UnsupportedWeightsError, match=reason):
        recognise(in_memory({"g_ema": changed(rosinality(), **changes)}))


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(theirs[name], t) for name, t in mine.items())


def random_generator(**sizes) -> Generator:
    generator = Generator(**sizes).eval()
    for tensor in [*generator.parameters(), generator.mapping.w_avg]:
        tensor.data.normal_()
    return generator


@pytest.mark.parametrize(
    "sizes",
    [
        {"z_dim": 6, "w_dim": 8, "resolution": 32, "channel_base": 100, "channel_max": 10, "c_dim": 3},
        {"z_dim": 8, "w_dim": 8, "resolution": 16, "channel_base": 64, "channel_max": 8, "noise": False},
    ],
)
def test_weights_of_ours_come_back_from_nvidias_layout_bit_for_bit(sizes, tmp_path):
    generator = random_generator(mapping_layers=2, **sizes)
    published = NvidiaStyleGAN2().publish(generator)
    module = nvidia(
        (10, 10, 6, 3) if "c_dim" in sizes else (8, 8, 4),
        z_dim=sizes["z_dim"], c_dim=sizes.get("c_dim", 0), noise=sizes.get("noise", True),
    ).state_dict()  # fmt: skip
    assert {name: t.shape for name, t in published.items()} == {name: t.shape for name, t in module.items()}
    torch.save(published, tmp_path / "published.pt")
    assert equal(recognise(read_weights(tmp_path / "published.pt")).build().network, generator)


def test_weights_of_ours_come_back_from_rosinalitys_layout_bit_for_bit(tmp_path):
    generator = random_generator(z_dim=8, w_dim=8, resolution=8, mapping_layers=3)
    published = RosinalityStyleGAN2().publish(generator)
    assert published.keys() == {"g_ema", "latent_avg"}
    shapes = {name: t.shape for name, t in rosinality((512, 512), layers=3).items()}
    assert {name: t.shape for name, t in published["g_ema"].items()} == shapes
    torch.save(published, tmp_path / "published.pt")
    assert equal(recognise(read_weights(tmp_path / "published.pt")).build().network, generator)


@torch.no_grad()
def test_a_narrow_generator_gets_maps_of_zeros_in_rosinalitys_layout():
    generator = random_generator(z_dim=8, w_dim=8, resolution=64, mapping_layers=2, channels=(6, 5, 6, 7, 4))
    published = RosinalityStyleGAN2().publish(generator)
    assert published["g_ema"]["to_rgbs.3.conv.weight"].shape == (1, 3, 256, 1, 1)
    back = recognise(in_memory(published))
    assert back.hyperparameters["channels"] == [512, 512, 512, 512, 256]
    z = torch.randn(2, 8)
    expected = generator(z, 0.7)
    assert (back.build().network(z, 0.7) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"c_dim": 2}, "no classes"),
        ({"z_dim": 4}, "one width there, and not 4 and 8"),
        ({"noise": False}, "all of its layers add noise"),
        ({"bound": 256}, "does not clamp"),
        ({"lr_multiplier": 0.1}, "gain of its mapping network"),
        ({"channel_max": 1024, "channel_base": 65536}, "512 feature maps up to 32², and not 1024"),
    ],
)
def test_what_rosinality_cannot_build_is_not_published(sizes, reason):
    with torch.device("meta"):
        generator = Generator(**{"z_dim": 8, "w_dim": 8, "resolution": 64, "mapping_layers": 1, **sizes})
    with pytest.raises(UnsupportedWeightsError, match=re.escape(reason) + ".*nvidia-stylegan2 can"):
        RosinalityStyleGAN2().publish(generator)


def test_what_nvidia_cannot_build_is_not_published():
    sizes = {"z_dim": 8, "w_dim": 8, "resolution": 16, "mapping_layers": 1}
    with pytest.raises(UnsupportedWeightsError, match="no channel_base and channel_max"):
        NvidiaStyleGAN2().publish(Generator(channels=(4, 8, 4), **sizes))
    with pytest.raises(UnsupportedWeightsError, match=r"the gain 0\.1"):
        NvidiaStyleGAN2().publish(Generator(channel_base=64, lr_multiplier=0.1, **sizes))
    assert NvidiaStyleGAN2().publish(torch.nn.Linear(1, 1)) is None
    assert RosinalityStyleGAN2().publish(torch.nn.Linear(1, 1)) is None
    assert base_and_max([512, 512, 512, 512, 256, 128, 64]) == (16384, 512)


@torch.no_grad()
def test_the_graphs_of_an_imported_generator_make_the_originals_pixels_and_edits(pickled):
    imported = recognise(pickled(NVIDIA["clamped"])).build()
    g, rng = imported.network, np.random.RandomState(0)
    directions = find_directions(g)
    assert len(directions.names) == 8
    z = torch.from_numpy(rng.randn(3, 6).astype(np.float32))
    psi, cutoff = torch.full((3, 1), 0.7), torch.full((3, 1), -1, dtype=torch.int32)
    edits = torch.eye(8)[[0, 0, 1]] * torch.tensor([[0], [2], [2]])
    ws = MappingGraph(g.mapping, directions.vectors)(z, psi, cutoff, edits=edits)
    pixels = SynthesisGraph(g.synthesis)(ws, torch.ones(3, 1), torch.full((3, 1), -1)).int()
    # As the original's gen_images.py makes pixels.
    levels = (imported.reference(z, None, 0.7).permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).byte().int()
    far = (pixels - levels).abs().amax(dim=(1, 2, 3)).tolist()
    assert far[0] <= 1
    assert min(far[1:]) > 10  # edited


def test_a_flat_file_of_rosinality_keeps_its_mean(tmp_path):
    flat = {f"g_ema.{name}": t.clone() for name, t in rosinality().items()}
    save_file({**flat, "latent_avg": torch.full((8,), 0.5)}, tmp_path / "flat.safetensors")
    found = recognise(read_weights(tmp_path / "flat.safetensors"))
    assert found.part == "g_ema"
    assert found.build().network.mapping.w_avg.tolist() == [0.5] * 8
