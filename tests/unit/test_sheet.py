import numpy as np
import pytest

from service.images.sheet import GAP, contact_sheet, sheet_size


def tiles(n: int) -> list[np.ndarray]:
    return [np.full((4, 6, 3), index, np.uint8) for index in range(n)]


@pytest.mark.parametrize(("n", "rows", "columns"), [(2, 1, 2), (3, 2, 2), (5, 2, 3), (16, 4, 4), (17, 4, 5)])
def test_layout(n: int, rows: int, columns: int) -> None:
    sheet = contact_sheet(tiles(n))
    assert sheet.shape == (rows * (4 + GAP) - GAP, columns * (6 + GAP) - GAP, 3)
    assert sheet.shape[:2] == sheet_size(n, 4, 6)
    for index in range(n):
        top, left = index // columns * (4 + GAP), index % columns * (6 + GAP)
        assert (sheet[top : top + 4, left : left + 6] == index).all()
    assert (sheet[4] == 255).all() if rows > 1 else (sheet[:, 6] == 255).all()


def test_one_image_is_itself() -> None:
    (image,) = tiles(1)
    assert contact_sheet([image]) is image


def test_no_image() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
