"""How far influence is seen, where layers reach further."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.export import effective
from training.export.effective import effective_radius
from training.export.fold import fold_factors
from training.export.image_product import image_product
from training.export.upscaler import from_zero_one, to_zero_one
from training.families.base import Deployable
from training.networks.rrdb import FoldedRRDBNet, RRDBNet
from training.networks.srresnet import SRResNet


def shifted(image, by, axis):
    """What lies `by` pixels before each pixel, zero beyond the edge."""
    result = np.zeros_like(image)
    if axis == 1:
        result[:, :, by:] = image[:, :, :-by]
    else:
        result[:, by:] = image[:, :-by]
    return result


@pytest.mark.parametrize("axis", [0, 1])
def test_influence_of_up_to_a_level_is_not_seen(axis):
    def run(inputs):
        image = inputs["source"].astype(np.float64)
        made = 0.5 * image + 0.3 * shifted(image, 12, axis) + 0.003 * shifted(image, 40, axis)
        enlarged = np.rint(made).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
        return {"images": enlarged}

    assert effective_radius(run, 40, 2, 1) == 16  # 12, a quarter more, in steps of 8
    assert effective_radius(run, 14, 2, 1) == 14  # never more than the reach


def test_factors_are_folded_without_a_change():
    network = RRDBNet(2, features=8, blocks=2, growth=4, unshuffle=2).double().eval()
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    folded = fold_factors(network)
    assert isinstance(folded, FoldedRRDBNet)
    assert (folded.scale, folded.size_multiple) == (2, 2)
    x = torch.rand(1, 3, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(folded(x), network(x), rtol=1e-9, atol=1e-9)
    other = SRResNet(2, 4, 1)
    assert fold_factors(other) is other


def test_a_product_that_reaches_far_is_tiled_by_what_is_seen(monkeypatch):
    """The card tells both; one that does not reach far is measured as it is."""
    asked = []

    def found(_run, reach, _scale, _multiple):
        asked.append(reach)
        return 8

    monkeypatch.setattr("training.export.image_product.effective_radius", found)
    network = RRDBNet(2, features=4, blocks=1, growth=2).eval()

    def run(inputs):
        image = inputs["source"]
        return {"images": image.repeat(2, axis=1).repeat(2, axis=2)}

    for largest, card in ((32, {"receptive_radius": 8, "reach": 19}), (1024, {})):
        deployable = Deployable("x", "X", network, card={"scale": 2, "max_size": largest})
        product = image_product(deployable, to_zero_one, from_zero_one, scale=2)
        assert product.card["receptive_radius"] == 19
        measured = product.measure([run], "numpy")
        assert {key: measured.get(key) for key in card} == card
        assert ("reach" in measured) == bool(card)
    assert asked == [19]
    assert effective.MARGIN > 1
