import numpy as np
from PIL import Image

from service.images.transparency import flatten, spread_colours


def test_flatten_is_what_pillow_composites() -> None:
    random = np.random.RandomState(0)
    pixels = random.randint(0, 256, (300, 40, 3), dtype=np.uint8)
    alpha = random.randint(0, 256, (300, 40), dtype=np.uint8)
    expected = Image.new("RGB", (40, 300), (10, 200, 90))
    expected.paste(Image.fromarray(pixels), mask=Image.fromarray(alpha))
    made = flatten(pixels, alpha, (10, 200, 90))
    assert np.abs(made.astype(int) - np.asarray(expected)).max() <= 1
    np.testing.assert_array_equal(flatten(pixels, np.full_like(alpha, 255), (1, 2, 3)), pixels)
    assert (flatten(pixels, np.zeros_like(alpha), (1, 2, 3)) == (1, 2, 3)).all()


def test_invisible_pixels_get_the_colours_around_them() -> None:
    pixels = np.zeros((37, 51, 3), np.uint8)
    alpha = np.zeros((37, 51), np.uint8)
    pixels[5:9, 10:20] = (200, 40, 40)
    alpha[5:9, 10:20] = 255
    alpha[5, 10] = 1
    made = spread_colours(pixels, alpha)
    assert np.abs(made.astype(int) - (200, 40, 40)).max() <= 1
    np.testing.assert_array_equal(made[alpha > 0], pixels[alpha > 0])


def test_each_side_gets_its_own_colour() -> None:
    pixels = np.zeros((16, 64, 3), np.uint8)
    alpha = np.zeros((16, 64), np.uint8)
    pixels[:, :8], pixels[:, -8:] = (255, 0, 0), (0, 0, 255)
    alpha[:, :8] = alpha[:, -8:] = 255
    made = spread_colours(pixels, alpha)
    assert (made[:, 8:16] == (255, 0, 0)).all()
    assert (made[:, 48:56] == (0, 0, 255)).all()


def test_nothing_to_do() -> None:
    pixels = np.full((3, 5, 3), 7, np.uint8)
    for alpha in (np.zeros((3, 5), np.uint8), np.full((3, 5), 9, np.uint8)):
        np.testing.assert_array_equal(spread_colours(pixels, alpha), pixels)
