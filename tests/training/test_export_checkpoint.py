"""From a checkpoint to the model repository: what the card says, and all models of a run or none."""

from __future__ import annotations

import pytest

from tests.exported_models import read_config, tiny_dcgan, tiny_translator
from training.checkpoint import Checkpoint
from training.config import RunConfig
from training.config_files import parse_config
from training.data.recipe import Provenance
from training.engine import Engine
from training.export.card import StaleMetricsError
from training.export.export import export_checkpoint, export_deployables
from training.export.parity import ParityError
from training.export.triton_entry import ModelExistsError
from training.families.base import Deployable
from training.families.table import FAMILIES

PROVENANCE = Provenance(
    recipe="pairs",
    title="Pairs",
    source="here",
    source_sha256="0" * 64,
    licence="CC-BY-4.0",
    attribution="Nobody",
    resolution=16,
    counts={"train": 2},
    split="none",
)


def checkpoint_of(config: RunConfig, classes: tuple[str, ...] = ()) -> Checkpoint:
    family = FAMILIES[config.family](config, Engine(0, device="cpu"), classes)
    return Checkpoint(config, classes, 25, family.state_dict(), {}, 600.0, "NVIDIA H200")


@pytest.fixture(scope="module")
def cyclegan() -> Checkpoint:
    return checkpoint_of(
        parse_config(
            {
                "name": "to-relief",
                "title": "Satellite images to relief maps",
                "backward_name": "to-satellite",
                "backward_title": "Relief maps to satellite images",
                "family": "cyclegan",
                "data": {"recipe": "pairs", "resolution": 16},
                "generator": {"network": "resnet", "blocks": 1, "channels": 2, "downs": 1},
                "discriminator": {"channels": 2, "n_layers": 1},
                "optimization": {"batch": 4, "kimg": 1},
            }
        )
    )


@pytest.fixture(scope="module")
def repository(cyclegan, tmp_path_factory):
    path = tmp_path_factory.mktemp("cyclegan") / "models"
    metrics = {"step": 25, "models": {"to-relief": {"psnr": 20.5}, "to-satellite": {"psnr": 19.0}}}
    export_checkpoint(
        cyclegan, path, provenance=PROVENANCE, metrics=metrics, formats=["torchscript"], command="gantrain x"
    )
    return path


def test_both_directions_of_a_cyclegan_are_models(repository):
    assert sorted(path.name for path in repository.iterdir()) == ["to-relief", "to-satellite"]
    for name, title, psnr in (
        ("to-relief", "Satellite images to relief maps", 20.5),
        ("to-satellite", "Relief maps to satellite images", 19.0),
    ):
        _, card = read_config(repository, name)
        assert (card["name"], card["title"], card["kind"], card["family"]) == (
            name,
            title,
            "translator",
            "cyclegan",
        )
        assert card["metrics"] == {"psnr": psnr}


def test_the_card_says_what_was_trained_how(repository, cyclegan):
    _, card = read_config(repository, "to-relief")
    assert card["dataset"]["licence"] == "CC-BY-4.0"
    assert card["licence"] == "Apache-2.0"
    assert card["training_command"] == "gantrain x"
    assert card["training"]["device"] == "NVIDIA H200"
    assert card["training"]["kimg"] == 0.1
    assert card["training"]["minutes"] == 10
    assert parse_config(card["training"]["config"]) == cyclegan.config
    assert card["resolution"] == 16
    assert card["normalisation"].startswith("Instance normalisation")
    assert (card["size_multiple"], card["tileable"], card["receptive_radius"]) == (2, False, None)


def test_metrics_of_another_checkpoint_are_refused(cyclegan, tmp_path):
    with pytest.raises(StaleMetricsError, match=r"step 20 and the checkpoint of step 25.*gantrain evaluate"):
        export_checkpoint(cyclegan, tmp_path / "models", metrics={"step": 20, "models": {}})


def test_one_model_that_exists_keeps_all_from_being_written(cyclegan, tmp_path):
    (tmp_path / "models" / "to-satellite").mkdir(parents=True)
    with pytest.raises(ModelExistsError, match="to-satellite"):
        export_checkpoint(cyclegan, tmp_path / "models", formats=["torchscript"])
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["to-satellite"]


def test_one_model_that_misses_parity_keeps_all_from_being_written(tmp_path):
    network = tiny_translator()
    network.down[0].weight[0] = float("nan")
    card = {"size_multiple": 8, "min_size": 8}
    deployables = [
        (Deployable("good", "", tiny_translator(), card=card), {"name": "good", "kind": "translator"}),
        (Deployable("bad", "", network, card=card), {"name": "bad", "kind": "translator"}),
    ]
    with pytest.raises(ParityError, match="not finite"):
        export_deployables(deployables, tmp_path / "models", formats=["torchscript"])
    assert not list(tmp_path.rglob("*"))


def test_classes_of_a_run_become_labels(tiny_config, tmp_path):
    tree = tiny_config.model_dump()
    tree["conditional"] = True
    checkpoint = checkpoint_of(parse_config(tree), ("cat", "dog"))
    said: list[str] = []
    folders = export_checkpoint(checkpoint, tmp_path, formats=["torchscript"], progress=said.append)
    assert folders == [tmp_path / "tiny-mapping", tmp_path / "tiny-synthesis"]
    config, card = read_config(tmp_path, "tiny-mapping")
    assert card["classes"] == ["cat", "dog"]
    assert {i.name: list(i.dims) for i in config.input}["label"] == [2]
    assert card["training_command"] == "gantrain train tiny"
    assert (card["dataset"], card["metrics"]) == (None, {})
    assert "exporting tiny-synthesis to torchscript" in said


def test_a_model_that_learnt_no_classes_offers_none(tiny_config, tmp_path):
    checkpoint = checkpoint_of(tiny_config, ("cat", "dog"))
    export_checkpoint(checkpoint, tmp_path, formats=["torchscript"])
    assert read_config(tmp_path, "tiny-synthesis")[1]["classes"] == []


def test_the_first_format_takes_the_name(exported_repository, tmp_path):
    names = {path.name for path in exported_repository.iterdir()}
    assert {"sketch", "sketch-torchscript", "tiny-mapping", "tiny-torchscript-mapping"} <= names
    assert read_config(exported_repository, "sketch-torchscript")[1]["name"] == "sketch-torchscript"
    deployable = Deployable("digits", "Digits", tiny_dcgan())
    folders = export_deployables(
        [(deployable, {"kind": "generator"})], tmp_path, formats=["torchscript"], version=3
    )
    assert [path.name for path in folders] == ["digits-mapping", "digits-synthesis"]
    assert (tmp_path / "digits-mapping/3/model.pt").is_file()
    assert read_config(tmp_path, "digits-mapping")[1]["name"] == "digits"
