"""`gantrain` as people type it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import training
from tests.exported_models import read_config
from tests.triton_process import free_ports
from training.checkpoint import load_checkpoint
from training.cli import app
from training.metrics.features import EfficientNetLite0Features
from training.metrics.kid import KID
from training.metrics.memorization import Memorization
from training.metrics.path_length import PathLength
from training.metrics.results import GeneratorMetrics, RunMetrics

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

EVALUATED = RunMetrics(
    family="stylegan2",
    step=1,
    kimg=0.008,
    device="CPU",
    models={
        "blobs": GeneratorMetrics(
            kid=KID(mean=0.2, std=0.01),
            kid_real=KID(mean=0.001, std=0.02),
            kid_untrained=KID(mean=0.9, std=0.03),
            fid=3,
            fid_real=1,
            fid_untrained=9,
            precision=0.4,
            recall=0.5,
            path_length=PathLength(full=7, end=6, steps=10, distance="…"),
            memorization=Memorization(generated=4, held_out=5, ratio=0.8, suspicious=0.01, searched=100),
            features="…",
            protocol="…",
        )
    },
)


def documented_metrics() -> set[str]:
    text = Path(training.__file__).with_name("README.md").read_text()
    return set(re.findall(r"^\| `(gantrain_\w+)", text, re.MULTILINE))


Series = dict[frozenset[tuple[str, str]], float]


def parsed(text: str) -> dict[str, Series]:
    """Every series by the name of its metric; of a histogram the sum."""
    metrics: dict[str, Series] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_count")):
                series = metrics.setdefault(sample.name.removesuffix("_sum"), {})
                series[frozenset(sample.labels.items())] = sample.value
    return metrics


def scraped(port: int) -> dict[str, Series]:
    try:
        return parsed(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text)
    except httpx.ConnectError:
        return {}


def value(metrics: dict[str, Series], metric: str, /, **labels: str) -> float:
    [found] = [x for key, x in metrics[metric].items() if labels.items() <= dict(key).items()]
    return found


SMALL = """\
family = "dcgan"
name = "small"
title = "Blobs"
[data]
recipe = "blobs"
resolution = 16
[generator]
z_dim = 8
channels = 8
[discriminator]
channels = 8
[optimization]
batch = 8
kimg = 0.04
"""


@pytest.fixture
def folder(tmp_path, blobs):
    """Where somebody types commands: with a dataset and presets of their own."""
    (tmp_path / "data").symlink_to(blobs.parent)
    (tmp_path / "blobs.toml").write_text(PRESET)
    (tmp_path / "small.toml").write_text(SMALL)  # whose graphs are exported in a fifth of the time
    return tmp_path


@pytest.fixture
def gantrain(folder, monkeypatch):
    """Runs a command in this process, as PyTorch is loaded here already."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GANTRAIN_METRICS_PORT", raising=False)
    monkeypatch.setattr("training.cli.keep_freed_memory", lambda: None)  # this process has other tests to do

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return run


def test_from_training_to_an_exported_model(gantrain, tmp_path, monkeypatch):
    monkeypatch.setattr(EfficientNetLite0Features, "input_size", 96)  # a fifth of the work
    assert "0.04" in (done := gantrain("train", "small.toml")).stderr, done.stderr
    done = gantrain("evaluate", "runs/small", "--images", "100")
    assert done.exit_code == 0, done.stderr
    assert "untrained" in done.stderr
    done = gantrain("export", "runs/small", "--format", "both")
    assert done.exit_code == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "model_repository").iterdir()) == [
        "small-mapping",
        "small-synthesis",
        "small-torchscript-mapping",
        "small-torchscript-synthesis",
    ]
    metrics = json.loads((tmp_path / "runs/small/metrics.json").read_text())["models"]["small"]
    assert metrics["kid_real"]["mean"] < metrics["kid_untrained"]["mean"]
    assert "EfficientNet-Lite0" in metrics["features"]
    again = gantrain("export", "runs/small")
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_ctrl_c_leaves_a_run_that_goes_on(gantrain, folder):
    """The command in a process of its own, watched by Prometheus."""
    port = free_ports(1)[0]
    typed = ["train", "blobs.toml", "--set", "optimization.kimg=100", "--set", "augment.mode=ada"]
    typed += ["--set", "snapshots.kimg=0.2"]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("gantrain"), *typed],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GANTRAIN_METRICS_PORT": str(port), "GANTRAIN_METRICS_HOST": "127.0.0.1"},
    )
    run = folder / "runs/blobs"
    deadline = time.monotonic() + 120
    while not (run / "config.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (run / "metrics.json").write_text(EVALUATED.model_dump_json())
    while not documented_metrics() - {"gantrain_gpu_memory_bytes"} <= (scrape := scraped(port)).keys():
        assert process.poll() is None
        assert time.monotonic() < deadline, documented_metrics() - scrape.keys()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert f"go on with: gantrain {' '.join(typed)}" in process.stderr.read()
    process.stderr.close()
    assert scraped(port) == {}

    assert scrape.keys() <= documented_metrics()
    assert {dict(labels)["run"] for series in scrape.values() for labels in series} == {"blobs"}
    [(what, one)] = scrape["gantrain_info"].items()
    assert one == 1
    assert {"family": "stylegan2", "preset": "blobs"}.items() <= dict(what).items()
    assert value(scrape, "gantrain_target_images") == 100_000
    assert value(scrape, "gantrain_images_total") % 8 == 0
    assert value(scrape, "gantrain_images_total") <= load_checkpoint(run).step * 8
    assert value(scrape, "gantrain_images_per_second") > 0
    assert 0 < value(scrape, "gantrain_data_wait_seconds_total") < value(scrape, "gantrain_step_seconds")
    assert {dict(labels)["name"] for labels in scrape["gantrain_loss"]} == {"G", "D"}
    assert value(scrape, "gantrain_learning_rate", network="D") == pytest.approx(0.0025 * 16 / 17)
    assert 0 <= value(scrape, "gantrain_ada_probability") < 0.1
    assert value(scrape, "gantrain_nonfinite_steps_total") == 0
    assert abs(value(scrape, "gantrain_checkpoint_timestamp_seconds") - time.time()) < 120
    assert abs(value(scrape, "gantrain_evaluation_timestamp_seconds") - time.time()) < 120
    assert value(scrape, "gantrain_metric", model="blobs", name="kid") == 0.2
    assert value(scrape, "gantrain_metric", model="blobs", name="kid.std") == 0.01
    assert value(scrape, "gantrain_metric", model="blobs", name="fid_untrained") == 9
    assert value(scrape, "gantrain_metric", model="blobs", name="path_length.end") == 6

    before = load_checkpoint(run).step
    resume = ["--resume", "--max-minutes", "0", "--metrics-textfile", "node/blobs.prom"]
    done = gantrain(*typed, *resume)
    assert done.exit_code == 0, done.stderr
    left = parsed((folder / "node/blobs.prom").read_text())
    assert value(left, "gantrain_images_total") == (before + 1) * 8
    assert [path.name for path in (folder / "node").iterdir()] == ["blobs.prom"]


def test_metrics_that_cannot_be_had_are_refused_before_anything_is_done(gantrain, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = gantrain("train", "blobs.toml", "--metrics-port", str(port), "--metrics-host", "127.0.0.1")
    assert done.exit_code == 1
    assert f"metrics cannot be served on 127.0.0.1, port {port}: Address already in use" in done.stderr
    done = gantrain("train", "blobs.toml", "--metrics-textfile", "blobs.txt")
    assert "no files but those named *.prom" in done.stderr
    done = gantrain("train", "blobs.toml", "--metrics-textfile", "blobs.toml/blobs.prom")
    assert "blobs.toml/blobs.prom cannot be written: " in done.stderr
    assert not (folder / "runs").exists()


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
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_dry_run(gantrain):
    assert "gantrain prepare terrain" in gantrain("--help").stdout
    assert "terrain" in gantrain("prepare").stdout
    assert "DCGAN" in gantrain("train").stdout or "dcgan" in gantrain("train").stdout
    for preset, size in (("terrain", "1.128 M parameters"), ("emoji", "M parameters")):
        done = gantrain("train", preset, "--dry-run")  # the latter learns classes of a dataset not made yet
        assert done.exit_code == 0, done.stderr
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
    assert done.exit_code == 0, done.stderr
    assert "cats/broken.png" in done.stderr
    typed = ["train", "blobs.toml", "--dataset", "pets-16", "--name", "pets", "--set", "conditional=true"]
    done = gantrain(*typed, "--max-minutes", "0")
    assert done.exit_code == 0, done.stderr
    assert f"go on with: gantrain {' '.join(typed)} --resume\n" in done.stderr
    done = gantrain(*typed, "--resume")
    assert done.exit_code == 0, done.stderr
    done = gantrain("export", "runs/pets", "--format", "torchscript")
    assert done.exit_code == 0, done.stderr
    config = (tmp_path / "model_repository/pets-mapping/config.pbtxt").read_text()
    assert '"CC0-1.0' in config.replace("\\", "")
    assert "cats" in config
    card = read_config(tmp_path / "model_repository", "pets-mapping")[1]
    assert card["title"] == "Cats & dogs"
    assert card["training_command"] == f"gantrain {' '.join(typed)}"
