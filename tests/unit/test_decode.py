"""Decoding of files that strangers send: the corpus of hostile images, limits, memory and time."""

import json
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.api.errors.problems import PROBLEMS
from service.images.containers.base import MAX_COUNTED_FRAMES, MEDIA_TYPES
from service.images.decode import DecodeLimits, ImageError, decode, inspect
from service.images.exif import orientation, upright
from service.settings import Settings
from tests.hostile_images import CASES, HOSTILE
from tests.image_cases import ALPHA, PICTURE, Case
from tests.image_files import interlaced, orientation_exif, png, saved, unfiltered
from tests.odd_images import ODD

LIMITS = DecodeLimits(
    max_pixels=Settings.model_fields["max_image_pixels"].default,
    max_frames=Settings.model_fields["max_image_frames"].default,
)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert len(ODD) >= 60
    assert len(HOSTILE) >= 60
    assert all(case.expected == "ok" or case.expected in PROBLEMS for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_corpus(case: Case) -> None:
    assert len(case.data) < 1 << 20
    if case.expected == "ok":
        found = decode(case.data, LIMITS, frame=case.frame)
        if case.check:
            case.check(found)
        assert inspect(case.data).format == found.format
    else:
        with pytest.raises(ImageError) as raised:
            decode(case.data, LIMITS, frame=case.frame)
        assert raised.value.slug == case.expected
        assert raised.value.detail.endswith(".")
        json.dumps(raised.value.members)
        assert 400 <= PROBLEMS[case.expected].status < 500


_CHILD = """
import json, resource, sys, time
from pathlib import Path
from service.images.decode import DecodeLimits, ImageError, decode
limits = DecodeLimits(*json.loads(sys.argv[2]))
files = sorted(Path(sys.argv[1]).iterdir())
decode((Path(sys.argv[1]) / files[0].name).read_bytes(), limits)  # everything is imported and warm by now
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[3]), resource.RLIM_INFINITY))
for file in files:
    data, began = file.read_bytes(), time.process_time()
    try:
        decode(data, limits)
        answer = "ok"
    except ImageError as error:
        answer = error.slug
    except MemoryError:
        answer = "out of memory"
    print(json.dumps([file.name, answer, time.process_time() - began]))
"""


def test_bombs_cost_little_memory_and_time(tmp_path) -> None:
    """Every file without `frame=`, in a process that may take 48 MiB more than it has."""
    cases = {case.name: case for case in CASES if case.frame is None}
    (tmp_path / "0").write_bytes(saved(Image.fromarray(PICTURE), "PNG"))
    for case in cases.values():
        (tmp_path / case.name).write_bytes(case.data)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path), json.dumps([LIMITS.max_pixels, LIMITS.max_frames]),
         str(48 << 20)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = {name: (answer, seconds) for name, answer, seconds in map(json.loads, done.stdout.splitlines())}
    assert len(answers) == len(cases) + 1
    for name, case in cases.items():
        answer, seconds = answers[name]
        assert answer == case.expected, name
        assert seconds < 1.5, name


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_files_are_refused_or_decoded_and_nothing_else(seed: int) -> None:
    choose = random.Random(seed)
    data = bytearray(choose.choice([case for case in CASES if 0 < len(case.data) < 20_000]).data)
    for _ in range(choose.choice([1, 2, 8])):
        at = choose.randrange(min(len(data), choose.choice([64, 200, 100_000])))
        kind = choose.random()
        if kind < 0.6:
            data[at] = choose.choice([0, 1, 127, 128, 255, choose.randrange(256)])
        elif kind < 0.8:
            data[at : at + 4] = choose.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff", b"\0\0\1\0\0\0"]
            )
        else:
            del data[at : at + choose.randrange(1, 9)]
        data = data or bytearray(b"\0")
    _mend_checksums(data)
    try:
        found = decode(bytes(data), DecodeLimits(1 << 20, 100), frame=choose.choice([None, 0, 1, 5]))
    except ImageError as error:
        PROBLEMS[error.slug]  # a slug without a row would raise
    else:
        assert found.pixels.dtype == np.uint8
        assert found.pixels.shape[2:] == (3,)
        assert found.pixels.shape[0] * found.pixels.shape[1] <= 1 << 20
        assert found.alpha is None or found.alpha.shape == found.pixels.shape[:2]


def _mend_checksums(data: bytearray) -> None:
    """Lets changes of a PNG file get past its checksums."""
    position = 8
    while data[:4] == b"\x89PNG" and position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_inspect_agrees_with_pillow(image_format: str) -> None:
    header = inspect(saved(Image.fromarray(PICTURE), image_format))
    assert (header.width, header.height, header.frames) == (24, 16, 1)
    assert header.format == {"PPM": "PNM"}.get(image_format, image_format)
    assert header.format in MEDIA_TYPES


def test_frames_are_counted_without_decoding_them() -> None:
    by_name = {case.name: case for case in CASES}
    assert inspect(by_name["gif-1001-frames"].data).frames == 1001
    assert inspect(by_name["apng-animated"].data).frames == 2
    assert inspect(by_name["mpo"].data).frames == 1
    one = by_name["gif-frame-beyond-canvas"].data
    frame = one[19:-1]
    assert inspect(one[:-1] + frame * 20_000 + b";").frames == MAX_COUNTED_FRAMES


@pytest.mark.parametrize("size", [(64, 64), (1, 4096), (4096, 1)])
def test_the_limit_is_exact(size: tuple[int, int]) -> None:
    data = saved(Image.new("RGB", size), "PNG")
    assert decode(data, DecodeLimits(4096, 1)).pixels.shape == (size[1], size[0], 3)
    with pytest.raises(ImageError) as raised:
        decode(data, DecodeLimits(4095, 1))
    assert raised.value.members == {"limit_pixels": 4095}


def test_a_negative_frame_is_out_of_range() -> None:
    with pytest.raises(ImageError) as raised:
        decode(saved(Image.fromarray(PICTURE), "PNG"), LIMITS, frame=-1)
    assert raised.value.slug == "frame-out-of-range"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from([(0, 8), (2, 8), (4, 8), (6, 8), (0, 16)]),
    st.booleans(),
)  # fmt: skip
def test_png_of_any_size_holds_exactly_its_pixels(width: int, height: int, kind: tuple, adam7: bool) -> None:
    colour, depth = kind
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    pixels = np.random.RandomState(0).randint(0, 200, (height, width, channels)).astype(f">u{depth // 8}")
    rows = interlaced(pixels) if adam7 else unfiltered(pixels)
    found = decode(png(width, height, depth, colour, rows, interlace=adam7), LIMITS)
    expected = pixels[..., :3] if channels > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    np.testing.assert_array_equal(found.pixels, np.round(expected / (257 if depth == 16 else 1)))
    for wrong in (rows[:-1], rows + b"\0"):
        with pytest.raises(ImageError, match="holds other than"):
            decode(png(width, height, depth, colour, wrong, interlace=adam7), LIMITS)


def test_orientation_turns_alpha_too() -> None:
    image = Image.fromarray(np.dstack([PICTURE, ALPHA]))
    found = decode(saved(image, "PNG", exif=b"Exif\0\0" + orientation_exif(6)), LIMITS)
    np.testing.assert_array_equal(found.pixels, np.rot90(PICTURE, -1))
    np.testing.assert_array_equal(found.alpha, np.rot90(ALPHA, -1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_says_upright_afterwards_and_is_otherwise_unchanged(order: str) -> None:
    for number in range(1, 9):
        block = orientation_exif(number, order)
        assert orientation(block) == number
        assert upright(block) == orientation_exif(1, order)
    for broken in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", orientation_exif(6, order)[:20], b"x" * 40):
        assert orientation(broken) == 1
        assert upright(broken) == broken


def test_an_unsupported_format_is_named_with_those_that_are_read() -> None:
    with pytest.raises(ImageError, match="AVIF") as raised:
        inspect(b"\0\0\0\x1cftypavif" + bytes(60))
    assert raised.value.members == {"accepted": list(MEDIA_TYPES.values())}
