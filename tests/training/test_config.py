"""Presets, overrides, and what is said about mistakes in them."""

from __future__ import annotations

import pytest
import torch

from training.config_files import dataset_overrides, load_config, preset_names, preset_of
from training.errors import ConfigError
from training.families.stylegan import build_discriminator, build_generator


def test_every_preset_is_valid():
    assert "terrain" in preset_names()
    for name in preset_names():
        load_config(name)


def test_the_256_preset_has_the_published_sizes():
    config = load_config("stylegan2-256")
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in n(config).parameters()) for n in (build_generator, build_discriminator)
        ]
    assert sizes == [24_767_458, 24_001_089]


def test_the_preset_behind_a_model():
    assert preset_of("terrain-256") == "stylegan2-256"
    assert preset_of("satellite-to-relief-unpaired") == "satellite-relief-unpaired"
    assert preset_of("cats") is None


def test_overrides():
    config = load_config("terrain", ["generator.channel_base=4096", "title=Hills", "optimization.kimg=1.5"])
    assert config.generator.channel_base == 4096
    assert config.title == "Hills"
    assert config.optimization.kimg == 1.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generator.chanel_base=1", "did you mean 'generator.channel_base'"),
        ("optimization.btach=1", "did you mean 'optimization.batch'"),
        ("generator.channel_base=many", "generator.channel_base: input should be a valid integer"),
        ("data.resolution=48", "data: resolution must be a power of two"),
        ("seed", "not of the form key.path=value"),
        ("seed.x=1", "seed: input should be a valid integer"),
        ("name.x=1", "'name' is a value, not a section"),
    ],
)
def test_mistakes_are_explained(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("terrain", [override])


def test_unknown_preset_names_the_nearest_or_lists_them():
    with pytest.raises(ConfigError, match="did you mean 'terrain'"):
        load_config("terain")
    with pytest.raises(ConfigError, match=r"there are: .*terrain"):
        load_config("nothing-like-it")


def test_a_dataset_by_name_or_by_path(tmp_path):
    named = ["data.recipe=my-cats", "data.resolution=128"]
    assert dataset_overrides("my-cats-128", tmp_path) == [*named, 'title="my-cats"']
    (tmp_path / "cats.zip").touch()
    config = load_config("terrain", dataset_overrides(str(tmp_path / "cats.zip"), tmp_path))
    assert config.data.folder(tmp_path / "data") == tmp_path / "cats.zip"
    assert config.title == "cats"
    assert load_config("terrain").data.folder(tmp_path) == tmp_path / "terrain-64"
    (tmp_path / "dogs-64").mkdir()
    with pytest.raises(ConfigError, match=r"no dataset 'cats' .*there: dogs-64"):
        dataset_overrides("cats", tmp_path)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("name = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(str(path))
    path.write_text(
        'name="a"\ntitle="A"\n[data]\nrecipe="x"\nresolution=32\n[optimization]\nkimg=1\nr1_gamma=1\n'
    )
    assert load_config(str(path)).data.resolution == 32
