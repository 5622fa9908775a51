"""`gantrain` as people type it, each command in a process of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.exported_models import read_config

PRESET = """\
name = "blobs"
title = "Blobs"
[data]
recipe = "blobs"
resolution = 16
[generator]
z_dim = 8
w_dim = 8
mapping_layers = 2
channel_base = 64
channel_max = 8
[discriminator]
channel_base = 64
channel_max = 8
[optimization]
batch = 8
kimg = 0.04
r1_gamma = 1.0
"""


@pytest.fixture
def gantrain(tmp_path, blobs):
    (tmp_path / "data").symlink_to(blobs.parent)
    (tmp_path / "blobs.toml").write_text(PRESET)
    command = [Path(sys.executable).with_name("gantrain")]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )

    return run


def test_from_training_to_an_exported_model(gantrain, tmp_path):
    assert "0.04" in (done := gantrain("train", "blobs.toml")).stderr, done.stderr
    done = gantrain("evaluate", "runs/blobs", "--images", "100")
    assert done.returncode == 0, done.stderr
    assert "untrained" in done.stderr
    done = gantrain("export", "runs/blobs")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "model_repository").iterdir()) == [
        "blobs-mapping",
        "blobs-synthesis",
    ]
    metrics = json.loads((tmp_path / "runs/blobs/metrics.json").read_text())["models"]["blobs"]
    assert metrics["kid_real"]["mean"] < metrics["kid_untrained"]["mean"]
    assert "EfficientNet-Lite0" in metrics["features"]
    again = gantrain("export", "runs/blobs")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_ctrl_c_leaves_a_run_that_goes_on(gantrain, tmp_path):
    command = [
        Path(sys.executable).with_name("gantrain"),
        "train",
        "blobs.toml",
        "--set",
        "optimization.kimg=100",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs/blobs/config.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert "go on with: gantrain train blobs.toml" in process.stderr.read()
    process.stderr.close()
    done = gantrain("train", "blobs.toml", "--set", "optimization.kimg=100", "--resume", "--max-minutes", "0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "terain"), "no recipe 'terain'; there are: "),
        (("prepare", "cats", "--from", "nowhere"), "nowhere"),
        (("train", "terrain", "--dataset", "cats"), "no dataset 'cats' in data (there: blobs-16)"),
        (("train", "blobs.toml", "--device", "cuda:9"), "no device 'cuda:9' here"),
        (("train", "nothing"), "no preset 'nothing'"),
        (("train", "terrain"), "gantrain prepare"),
        (("evaluate", "runs/nothing"), "no checkpoint at runs/nothing"),
        (("export", "runs/nothing"), "no checkpoint at"),
        (("train", "blobs.toml", "--set", "optimization.batch=1000"), "the dataset has 150"),
    ],
)
def test_mistakes_get_one_clear_sentence(gantrain, arguments, message):
    done = gantrain(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_dry_run(gantrain):
    assert "gantrain prepare terrain" in gantrain("--help").stdout
    assert "terrain" in gantrain("prepare").stdout
    assert "DCGAN" in gantrain("train").stdout or "dcgan" in gantrain("train").stdout
    for preset, size in (("terrain", "1.128 M parameters"), ("emoji", "M parameters")):
        done = gantrain("train", preset, "--dry-run")  # the latter learns classes of a dataset not made yet
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == preset
        assert size in done.stderr
    # What the help says can be typed.
    preset = re.search(r"gantrain train (\S+) --dataset", " ".join(gantrain("--help").stdout.split()))[1]
    assert preset in gantrain("train").stdout


def test_a_folder_of_ones_own(gantrain, tmp_path):
    """The way of a newcomer with pictures of their own, some of which are no pictures."""
    rng = np.random.RandomState(0)
    for kind in ("cats", "dogs"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for i in range(20):
            pixels = rng.randint(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / kind / f"{i}.jpg")
    (tmp_path / "pets/cats/broken.png").write_bytes(b"no image")
    done = gantrain(
        "prepare", "pets", "--from", "pets", "--resolution", "16", "--labels", "--licence", "CC0-1.0",
        "--title", "Cats & dogs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cats/broken.png" in done.stderr
    typed = ["train", "blobs.toml", "--dataset", "pets-16", "--name", "pets", "--set", "conditional=true"]
    done = gantrain(*typed, "--max-minutes", "0")
    assert done.returncode == 0, done.stderr
    assert f"go on with: gantrain {' '.join(typed)} --resume\n" in done.stderr
    done = gantrain(*typed, "--resume")
    assert done.returncode == 0, done.stderr
    done = gantrain("export", "runs/pets", "--format", "both")
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "model_repository/pets-mapping/config.pbtxt").read_text()
    assert '"CC0-1.0' in config.replace("\\", "")
    assert "cats" in config
    card = read_config(tmp_path / "model_repository", "pets-mapping")[1]
    assert card["title"] == "Cats & dogs"
    assert card["training_command"] == f"gantrain {' '.join(typed)}"
