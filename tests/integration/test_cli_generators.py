"""`ganserve generate`, `interpolate`, `mix` and `verify` against a real gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.cli import app
from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_pixels
from tests.triton_process import TritonProcess

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(gateway: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder."""
    monkeypatch.setenv("GANSERVE_URL", gateway.url)
    monkeypatch.chdir(tmp_path)

    def command(line: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, line.split())
        return result.exit_code, result.stdout, result.stderr

    return command


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_images_that_are_there_are_kept(run: Run) -> None:
    assert run("generate --model terrain --seeds 0-2 --out out")[:2] == (0, "3 images in out\n")
    Path("out/terrain-seed0001.png").write_bytes(b"mine")
    text = "2 images in out, 3 were there already (--overwrite makes them again)\n"
    assert run("generate --model terrain --seeds 0-4 --out out")[:2] == (0, text)
    assert Path("out/terrain-seed0001.png").read_bytes() == b"mine"
    assert run("generate --model terrain --seeds 0-4 --out out --overwrite")[:2] == (0, "5 images in out\n")
    assert pixels("out/terrain-seed0001.png").shape == (64, 64, 3)


def test_edits_and_labels_make_files_of_their_own(run: Run) -> None:
    run("generate --model terrain --seeds 7 --out out")
    edited = "generate --model terrain --seeds 7 --out out --edit direction-01=2.5 --edit direction-02=-1"
    assert run(edited)[:2] == (0, "1 image in out\n")
    assert run("generate --model emoji --label Objects --seeds 7 --out out")[0] == 0
    plain, changed = "terrain-seed0007.png", "terrain-direction-01+2.5-direction-02-1-seed0007.png"
    assert names("out") == ["emoji-Objects-seed0007.png", changed, plain]
    assert not np.array_equal(pixels(f"out/{plain}"), pixels(f"out/{changed}"))


def test_styles_go_to_a_file_and_come_back(run: Run) -> None:
    assert run("generate --model terrain --seeds 3-4 --truncation 0.5 --out a --save-ws styles.npy")[0] == 0
    styles = np.load("styles.npy", allow_pickle=False)
    assert (styles.shape, styles.dtype) == ((2, 10, 128), np.float32)
    assert run("generate --model terrain --ws styles.npy --out b")[:2] == (0, "2 images in b\n")
    assert names("b") == ["terrain-ws0000.png", "terrain-ws0001.png"]
    for seed, index in ((3, 0), (4, 1)):
        original, again = f"a/terrain-seed{seed:04}.png", f"b/terrain-ws{index:04}.png"
        np.testing.assert_array_equal(pixels(original), pixels(again))


def test_licences_are_shown(run: Run) -> None:
    table = {line.split()[0]: line for line in run("models")[1].splitlines()}
    assert table["my-stylegan3"].endswith("LicenseRef-NVIDIA-Source-Code-License-NC (not commercial)")
    assert table["terrain"].endswith("Apache-2.0")
    card = run("models my-stylegan3")[1]
    for text in ("rotation, translation", "Not for commercial use: ", "toy.pkl (toy), sha256 000000000000"):
        assert text in card
    assert "notice" not in run("models terrain")[1]


def test_pictures_are_turned_and_moved(run: Run, triton: TritonProcess) -> None:
    command = "generate --model my-stylegan3 --seeds 7 --rotate 30 --translate -0.25,0.5 --out out"
    assert run(command)[:2] == (0, "1 image in out\n")
    moved = toy_pixels(triton.repository, 7, name="my-stylegan3", rotation=30, translation=[-0.25, 0.5])
    np.testing.assert_array_equal(pixels("out/my-stylegan3-rotated+30-moved-0.25+0.5-seed0007.png"), moved)
    assert (
        run("mix --model my-stylegan3 --rows 7 --columns 7 --rotate 30 --translate -0.25,0.5 --out g")[0] == 0
    )
    np.testing.assert_array_equal(pixels("g/my-stylegan3-row0007-column0007.png"), moved)


def test_a_picture_that_turns(run: Run, triton: TritonProcess) -> None:
    turn = (
        "interpolate --model my-stylegan3 --keyframes 7,7 --frames 3 --rotate 0 --rotate 180 --translate 1,0"
    )
    for _ in range(2):
        assert run(f"{turn} --out frames")[0] == 0
    halfway = toy_pixels(triton.repository, 7, name="my-stylegan3", rotation=90, translation=[1, 0])
    np.testing.assert_array_equal(pixels("frames/00001.png"), halfway)
    code, _, errors = run(f"{turn} --rotate 270 --out more")
    assert code == 2
    assert "3 values for 2 keyframes" in " ".join(errors.replace("│", " ").split())


def test_wrong_options_of_generate(run: Run) -> None:
    Path("none.npy").write_bytes(b"none")
    np.save("flat.npy", np.zeros(4, np.float32))
    for options, text in (
        ("", "either --seeds or --ws"),
        ("--seeds 1 --captions", "add --sheet"),
        ("--seeds 1 --edit direction-01", "not NAME=AMOUNT"),
        ("--ws none.npy", "none.npy is no .npy file"),
        ("--ws flat.npy", "flat.npy holds no styles"),
        ("--seeds 1 --translate 1", "not X,Y"),
        ("--seeds 1 --rotate 1", "rotation: the model takes no rotation"),
        ("--seeds 1 --edit nothing=1", "edits.nothing: no such direction (accepted: direction-01, "),
    ):
        code, _, errors = run(f"generate --model terrain --out out {options}")
        assert code in (1, 2)
        assert text in " ".join(errors.replace("│", " ").split())


@pytest.mark.parametrize("suffix", ["webp", "gif", "png"])
def test_an_animation_is_one_file(run: Run, suffix: str) -> None:
    command = f"interpolate --model terrain --keyframes 1,5,1 --frames 5 --fps 10 --out new/walk.{suffix}"
    assert run(command)[:2] == (0, f"new/walk.{suffix}\n")
    with Image.open(f"new/walk.{suffix}") as image:
        assert image.n_frames == 5
    there = f"new/walk.{suffix} is there already; --overwrite makes it again.\n"
    assert run(command)[:2] == (0, there)
    assert run(f"{command} --overwrite")[0] == 0


def test_a_filmstrip(run: Run) -> None:
    run("interpolate --model toy --keyframes 1,5 --frames 4 --sheet --out strip.png")
    assert pixels("strip.png").shape == (16, 4 * 16 + 3 * 2, 3)
    code, _, errors = run("interpolate --model toy --keyframes 1,5 --out walk.txt")
    assert code == 2
    assert "ends in none of .webp" in " ".join(errors.replace("│", " ").split())


def test_keyframes_of_a_path_may_differ(run: Run, gateway: GatewayProcess) -> None:
    body = {"model": "terrain", "seeds": [5], "return_ws": True}
    with gateway.client() as client:
        ws = client.post("/v1/generate", json=body).json()["data"][0]["ws"]
        keyframes = [7, {"seed": 9, "truncation": 0.5, "edits": {"direction-01": 2}}, {"ws": ws}]
        body = {"model": "terrain", "keyframes": keyframes, "frames": 5, "format": "apng"}
        expected = client.post("/v1/interpolate", json=body).content
    command = "interpolate --model terrain --frames 5 --keyframes"
    assert run(f"{command} {json.dumps(keyframes, separators=(',', ':'))} --out walk.png")[0] == 0
    assert Path("walk.png").read_bytes() == expected
    for wrong, words in (
        ("[7,", "no JSON list"),
        ('[7,{"speed":1}]', "'speed'"),
        ('[7,"8"]', "neither a seed"),
        ('[7,{"ws":"?"}]', "no JSON list"),
        ("[7,8] --rotate 3", "in JSON"),
    ):
        code, _, errors = run(f"{command} {wrong} --out no.png")
        assert (code, words in " ".join(errors.replace("│", " ").split())) == (2, True), errors


def test_frames_in_a_folder_go_on(run: Run, http: httpx.Client) -> None:
    command = "interpolate --model terrain --keyframes 1,5 --frames 6 --easing ease-in --out frames"
    assert run(command)[:2] == (0, "6 images in frames\n")
    assert names("frames") == [*(f"{index:05}.png" for index in range(6)), "animation.json"]
    first = http.get("/v1/models/terrain/images/1.png")
    assert (
        hashlib.sha256(pixels("frames/00000.png").tobytes()).hexdigest() == first.headers["x-pixels-sha256"]
    )
    Path("frames/00000.png").write_bytes(b"mine")
    made = Path("frames/00003.png").read_bytes()
    Path("frames/00003.png").unlink()
    assert run(command)[1].startswith("1 image in frames, 5 were there already")
    assert Path("frames/00003.png").read_bytes() == made
    assert Path("frames/00000.png").read_bytes() == b"mine"


def test_frames_of_two_animations_do_not_meet(run: Run) -> None:
    assert run("interpolate --model toy --keyframes 1,5 --frames 6 --out frames")[0] == 0
    other = "interpolate --model toy --keyframes 1,5 --frames 4 --out frames"
    code, _, errors = run(other)
    assert (code, errors) == (
        1,
        "frames has frames of another animation; give another folder, or --overwrite.\n",
    )
    assert run(f"{other} --overwrite")[:2] == (0, "4 images in frames\n")
    assert names("frames") == [*(f"{index:05}.png" for index in range(4)), "animation.json"]


def test_a_grid_and_its_images(run: Run) -> None:
    command = "mix --model terrain --rows 1-2 --columns 10-12 --layers coarse,9"
    assert run(f"{command} --out grid.png")[:2] == (0, "grid.png\n")
    assert pixels("grid.png").shape[1] > pixels("grid.png").shape[0] >= 3 * 64
    assert run(f"{command} --out mixed")[:2] == (0, "6 images in mixed\n")
    assert "terrain-row0002-column0012.png" in names("mixed")
    np.testing.assert_array_equal(
        pixels("grid.png")[-64:, -64:], pixels("mixed/terrain-row0002-column0012.png")
    )
    assert run(f"{command} --out mixed")[1].startswith("0 images in mixed, 6 were there already")
    code, _, errors = run("mix --model terrain --rows 1 --columns 2 --layers some --out grid2.png")
    assert code == 2
    assert "'some' is neither coarse" in " ".join(errors.replace("│", " ").split())


def test_verifying(run: Run) -> None:
    run("generate --model terrain --seeds 7 --out out")
    code, output, _ = run("verify out/terrain-seed0007.png --reproduce")
    assert code == 0
    assert output.startswith("out/terrain-seed0007.png: authentic. ")
    assert "model terrain, seed 7, truncation 1.0" in output
    Path("bad.png").write_bytes(b"bad")
    code, output, _ = run("verify bad.png out/terrain-seed0007.png --json")
    assert code == 1
    bad, good = map(json.loads, output.splitlines())
    assert bad["problem"]["status"] == 422
    assert good["verdict"] == "unsigned-claim"


def test_verifying_what_was_made_of_an_image(run: Run) -> None:
    Image.linear_gradient("L").convert("RGB").resize((24, 20)).save("small.png")
    run("upscale small.png --model photo-x4 --scale 2 --out large")
    code, output, _ = run("verify large/small.png --source small.png")
    assert code == 0
    assert output.startswith("large/small.png: authentic. ")
    code, output, _ = run("verify large/small.png --source large/small.png")
    assert (code, "not the image of the recipe" in output) == (0, True)
    assert run("verify large/small.png --source none.png")[0] == 2


def test_a_card_for_people(run: Run) -> None:
    code, output, _ = run("models terrain")
    assert code == 0
    assert "  layers      coarse [0, 1, 2, 3], middle" in output
    assert "direction-01, direction-02" in output
    assert "relief-to-satellite-unpaired " in run("models")[1]
    assert run("models nope")[0] == 1
