import base64

import numpy as np
import pytest

from service.golden import (
    TOLERANCE,
    Golden,
    GoldenError,
    compare,
    pixels_sha256,
    read_golden,
    source_picture,
    thumbnail,
)

RANDOM = np.random.RandomState(0)
IMAGE = RANDOM.randint(10, 240, (24, 40, 3)).astype(np.uint8)
GOLDEN = Golden({"7": pixels_sha256(IMAGE)}, {"7": thumbnail(IMAGE)})


def brighter(levels: int) -> np.ndarray:
    return IMAGE + np.uint8(levels)


def test_the_very_pixels() -> None:
    assert compare(GOLDEN, {"7": IMAGE}, "strict") == "exact"


def test_last_bits_may_differ_unless_asked_not_to() -> None:
    other = IMAGE ^ (RANDOM.rand(*IMAGE.shape) < 0.3).astype(np.uint8)
    assert compare(GOLDEN, {"7": other}, "close") == "close"
    with pytest.raises(GoldenError, match="seed 7 are not those of the card"):
        compare(GOLDEN, {"7": other}, "strict")


def test_tolerance() -> None:
    assert compare(GOLDEN, {"7": brighter(TOLERANCE)}, "close") == "close"
    with pytest.raises(GoldenError, match="differ by up to 4 levels"):
        compare(GOLDEN, {"7": brighter(TOLERANCE + 1)}, "close")


def test_a_card_without_thumbnails_is_held_to_its_hashes() -> None:
    with pytest.raises(GoldenError, match="no thumbnail"):
        compare(Golden(GOLDEN.hashes, {}), {"7": brighter(1)}, "close")


def test_thumbnail_is_the_mean_of_fields() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:2, :2, 0] = [[1, 2], [3, 4]]  # 2.5, rounded half up
    image[14:, 14:] = 200
    made = thumbnail(image)
    assert made.shape == (8, 8, 3)
    assert made[0, 0].tolist() == [3, 0, 0]
    assert made[7, 7].tolist() == [200, 200, 200]
    assert thumbnail(image[:5, :3]).shape == (5, 3, 3)
    odd = RANDOM.randint(0, 256, (21, 13, 3)).astype(np.uint8)
    rows, columns = [i * 21 // 8 for i in range(9)], [i * 13 // 8 for i in range(9)]
    for y in range(8):
        for x in range(8):
            field = odd[rows[y] : rows[y + 1], columns[x] : columns[x + 1]].reshape(-1, 3)
            assert thumbnail(odd)[y, x].tolist() == np.floor(field.mean(0) + 0.5).astype(int).tolist()


@pytest.mark.parametrize(
    "golden",
    [
        "text",
        {},
        {"pixels_sha256": {}},
        {"pixels_sha256": {"one": "0"}},
        {"pixels_sha256": {"1": "0"}, "noise": "none"},
        {"pixels_sha256": {"1": "0"}, "thumbnails": {"1": "!"}},
        {"pixels_sha256": {"1": "0"}, "thumbnails": {"1": base64.b64encode(bytes(3)).decode()}},
        {"pixels_sha256": {str(seed): "0" for seed in range(17)}},
    ],
)
def test_a_golden_of_another_form_is_refused(golden: object) -> None:
    with pytest.raises(GoldenError, match="not understood"):
        read_golden({"golden": golden}, is_generator=True)


def test_a_source_picture_larger_than_any_card_needs_is_refused() -> None:
    golden = {"pixels_sha256": {"source": "0"}, "source": {"height": 1 << 20, "width": 8}}
    with pytest.raises(GoldenError, match="not understood"):
        read_golden({"golden": golden}, is_generator=False)
    assert read_golden({}, is_generator=False) is None


def test_both_packages_know_the_same_picture_and_thumbnail() -> None:
    """They do not import each other, and yet have to agree."""
    from training.export import golden as exported  # needs PyTorch, as the service's tests do not

    picture = source_picture(48, 56)
    assert np.array_equal(picture, exported.source_picture(48, 56))
    for image in (picture, IMAGE, RANDOM.randint(0, 256, (21, 13, 3)).astype(np.uint8)):
        assert np.array_equal(thumbnail(image), exported.thumbnail(image))
