"""Closed-form edit directions against their definition."""

from __future__ import annotations

import pytest
import torch

from tests.training.importers.tiny_stylegan3 import lively_generator
from training.directions import affine_weights, sample_w, sefa
from training.networks.stylegan2 import Generator


@pytest.fixture
def generator():
    return Generator(16, 12, 16, 256, 16, 2, c_dim=3).eval()


def test_the_first_direction_moves_the_styles_the_furthest(generator):
    directions = sefa(generator, n=12)
    a = torch.cat(affine_weights(generator.synthesis)).double()
    unit = torch.nn.functional.normalize(directions.vectors[:, 0].double(), dim=1)
    torch.testing.assert_close(unit @ unit.T, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-5)
    moved = (unit @ a.T).norm(dim=1)
    assert (moved.diff() <= 0).all()
    anything = torch.nn.functional.normalize(torch.randn(1000, 12, dtype=torch.float64), dim=1)
    assert (anything @ a.T).norm(dim=1).max() <= moved[0]
    assert sum(directions.explained) == pytest.approx(1)
    torch.testing.assert_close(
        moved.square() / moved.square().sum(), torch.tensor(directions.explained).double()
    )


def test_strength_one_is_a_standard_deviation_of_w(generator):
    directions = sefa(generator, n=3)
    w = sample_w(generator.mapping)
    for vector in directions.vectors[:, 0].double():
        along = w @ vector / vector.norm()
        assert along.std().item() == pytest.approx(vector.norm().item(), rel=1e-4)


def test_names_signs_and_layers(generator):
    directions = sefa(generator, n=2, layers=[4, 5])
    assert directions.names == ("direction-01", "direction-02")
    assert directions.vectors.shape == (2, 6, 12)
    assert directions.layers == (4, 5)
    assert not directions.vectors[:, :4].any()
    assert torch.equal(directions.vectors[:, 4], directions.vectors[:, 5])
    largest = directions.vectors[:, 5].abs().argmax(dim=1)
    assert (directions.vectors[:, 5].gather(1, largest[:, None]) > 0).all()
    assert torch.equal(directions.vectors, sefa(generator, n=2, layers=[5, 4]).vectors)


def test_a_direction_changes_images_more_than_chance(generator):
    """The point of it all: the first direction beats random ones of equal length."""
    ws = generator.mapping.ws(torch.randn(16, 16), torch.eye(3)[torch.arange(16) % 3])
    first = torch.nn.functional.normalize(sefa(generator, n=1).vectors[0, 0], dim=0)

    def change(v):
        return (generator.synthesis(ws + 0.1 * v, None) - generator.synthesis(ws, None)).abs().mean()

    by_chance = torch.stack(
        [change(torch.nn.functional.normalize(torch.randn(12), dim=0)) for _ in range(16)]
    )
    assert change(first) > by_chance.mean()


def test_what_is_asked_for_must_be_there(generator):
    with pytest.raises(ValueError, match="there are 12 directions; asked for 13"):
        sefa(generator, n=13)
    with pytest.raises(ValueError, match="layers are 0 to 5"):
        sefa(generator, layers=[6])


def test_stylegan3_has_directions_too():
    """Of the Fourier features, by which it turns and moves, and of every layer."""
    generator = lively_generator()
    affines = affine_weights(generator.synthesis)
    assert [len(a) for a in affines] == [4, 7, 7, 7, 7, 6]
    found = sefa(generator, n=2)
    assert found.vectors.shape == (2, 6, 8)
    a = torch.cat(affines).double()
    changes = [(a @ v[0].double()).norm() / v[0].norm() for v in found.vectors]
    assert changes[0] == pytest.approx(torch.linalg.matrix_norm(a, 2).item(), rel=1e-5)
    assert changes[0] > changes[1]
