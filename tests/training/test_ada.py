"""Adaptive augmentation: what it does to images, what it lets through, and how it adapts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.augment import (
    DRAWS,
    Augmentation,
    AugmentConfig,
    augment,
    inverse_blit,
    inverse_geometry,
    recolouring,
)
from training.engine import Engine
from training.warp import SYM6, warp

ALL = ("blit", "geom", "color")


def smooth_images(n: int, size: int) -> torch.Tensor:
    """Random images without detail that resampling would blur."""
    return F.interpolate(torch.randn(n, 3, 4, 4), size=(size, size), mode="bicubic") / 3


def augmented(images: torch.Tensor, p: float, categories: Sequence = ALL) -> torch.Tensor:
    n = len(images)
    uniform = torch.rand(n, sum(DRAWS[c][0] for c in categories))
    normal = torch.randn(n, sum(DRAWS[c][1] for c in categories))
    return augment(images, uniform, normal, p, categories)


def inverse_of(x: float = 0, y: float = 0, angle: float = 0, sx: float = 1, sy: float = 1) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[[sx * c, -s, x], [s, sy * c, y], [0, 0, 1]]])


class TestWarp:
    def test_the_filter_is_orthonormal_so_that_nothing_is_lost_by_supersampling(self):
        f = np.array(SYM6)
        for shift in range(0, 12, 2):
            assert np.dot(f[shift:], f[: 12 - shift]) == pytest.approx(float(shift == 0), abs=1e-9)
        assert f.sum() == pytest.approx(math.sqrt(2))
        x = torch.randn(1, 3, 16, 16)
        inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
        torch.testing.assert_close(warp(x, inverse_of())[inside], x[inside], rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        ("inverse", "expected"),
        [
            (inverse_of(sx=-1), lambda x: x.flip(3)),
            (inverse_of(x=3), lambda x: F.pad(x, (0, 3, 0, 0), mode="reflect")[..., 3:]),
            (inverse_of(y=-2), lambda x: F.pad(x, (0, 0, 2, 0), mode="reflect")[:, :, :-2]),
            (inverse_of(angle=math.pi / 2), lambda x: x.rot90(1, (2, 3))),
            (inverse_of(angle=math.pi), lambda x: x.flip(2, 3)),
        ],
    )
    def test_pixels_arrive_where_they_should(self, inverse, expected):
        x = smooth_images(1, 32)
        torch.testing.assert_close(warp(x, inverse), expected(x), rtol=0, atol=0.03)

    def test_halving_the_scale_shows_twice_as_much(self):
        x = smooth_images(1, 32)
        small = warp(x, inverse_of(sx=2, sy=2))[:, :, 8:24, 8:24]
        torch.testing.assert_close(
            small[..., 2:-2, 2:-2], F.avg_pool2d(x, 2)[..., 2:-2, 2:-2], rtol=0, atol=0.05
        )

    def test_a_constant_stays_itself_wherever_it_is_moved(self):
        inverse = inverse_of(x=40.3, y=-11.7, angle=0.7, sx=1.4, sy=0.6)
        torch.testing.assert_close(
            warp(torch.full((1, 3, 16, 16), 0.5), inverse), torch.full((1, 3, 16, 16), 0.5)
        )

    def test_gradients_of_first_and_second_order(self):
        x = torch.randn(1, 1, 8, 8, requires_grad=True)
        inverse = inverse_of(x=0.3, y=1.2, angle=0.5)

        def energy_of_gradient(x):
            (gradient,) = torch.autograd.grad(warp(x, inverse).pow(3).sum(), x, create_graph=True)
            return gradient.square().sum()

        (second,) = torch.autograd.grad(energy_of_gradient(x), x)
        direction = torch.randn_like(x)
        step = 1e-2 * direction
        numeric = (energy_of_gradient(x + step) - energy_of_gradient(x - step)) / 2e-2
        assert (second * direction).sum().item() == pytest.approx(numeric.item(), rel=0.02)


class TestPipeline:
    def test_at_probability_zero_images_are_untouched(self):
        x = torch.randn(8, 3, 16, 16)
        assert torch.equal(augmented(x, 0.0), x)
        augmentation = Augmentation(AugmentConfig(mode="ada"), Engine(0, device="cpu"), 8)
        assert augmentation(x, augmentation.draw(8)) is x

    def test_images_that_nothing_happens_to_come_out_bit_for_bit(self):
        x = torch.randn(256, 3, 8, 8)
        same = (augmented(x, 0.02) == x).flatten(1).all(dim=1).float().mean().item()
        # 12 changes, of which mirror and luma flip do nothing half the time, turns by 90° a quarter.
        assert same == pytest.approx(0.98**9 * 0.99**2 * 0.985, abs=0.07)

    @pytest.mark.parametrize("category", ALL)
    def test_at_probability_one_every_category_changes_images(self, category):
        x = smooth_images(16, 16)
        changed = (augmented(x, 1.0, [category]) - x).abs().flatten(1).amax(dim=1)
        assert (changed > 0.01).float().mean() > 0.9

    def test_strengths_are_those_of_the_paper(self):
        n = 20_000
        u, g = torch.rand(7, n), torch.randn(4, n)
        blit = inverse_blit(u, 1.0, 64)
        assert set(blit[:, :2, :2].round().det().tolist()) == {-1.0, 1.0}
        assert blit[:, :2, 2].abs().max().item() == pytest.approx(8, abs=0.01)  # an eighth of the side
        geometry = inverse_geometry(u, g, 1.0, 64)
        determinant = geometry[:, :2, :2].det()
        assert determinant.log2().std().item() == pytest.approx(2 * 0.2, rel=0.05)  # scale in both directions
        unscaled = torch.isclose(inverse_geometry(u, g, 0.36, 64)[:, :2, :2].det(), torch.ones(n))
        assert unscaled.float().mean().item() == pytest.approx(0.64, abs=0.02)

    def test_half_the_turns_happen_before_and_half_after_the_stretch(self):
        """At least one of the two with probability p."""
        n, p = 20_000, 0.36
        u, g = torch.rand(7, n), torch.zeros(4, n)
        turned = (inverse_geometry(u, g, p, 64)[:, 0, 1] != 0).float().mean().item()
        assert turned == pytest.approx(p, abs=0.02)

    def test_colours(self):
        never, g = torch.ones(7, 1), torch.zeros(3, 1)

        def only(gate: int, **values: float) -> torch.Tensor:
            u = never.clone()
            u[gate] = 0
            for column, value in values.items():
                u[int(column[1:])] = value
            return recolouring(u, g, 0.5)[0]

        grey, red = torch.tensor([0.3, 0.3, 0.3, 1.0]), torch.tensor([1.0, 0.0, 0.0, 1.0])
        assert torch.equal(recolouring(never, g, 0.5)[0], torch.eye(4))
        torch.testing.assert_close(
            only(2, u3=0.9) @ grey, torch.tensor([-0.3, -0.3, -0.3, 1.0])
        )  # luma flipped
        flipped = only(2, u3=0.9) @ red
        torch.testing.assert_close(flipped[:3] - flipped[:3].mean(), red[:3] - red[:3].mean())  # not its hue
        third = only(4, u5=0.5 + 1 / 3)  # a third of the circle
        torch.testing.assert_close(third @ grey, grey)
        torch.testing.assert_close(third @ red, torch.tensor([0.0, 1.0, 0.0, 1.0]), rtol=0, atol=1e-6)
        g[:] = torch.tensor([[1.0], [-2.0], [1.0]])
        torch.testing.assert_close(only(0) @ grey, torch.tensor([0.5, 0.5, 0.5, 1.0]))  # brighter by 0.2
        torch.testing.assert_close(only(1) @ grey, torch.tensor([0.15, 0.15, 0.15, 1.0]))  # half the contrast
        torch.testing.assert_close(only(6) @ grey, grey)
        saturated = only(6) @ red
        torch.testing.assert_close(saturated[:3] - 1 / 3, 2 * (red[:3] - 1 / 3))

    def test_gradients_reach_the_images_and_can_be_differentiated_again(self):
        """What R1 needs of the pipeline."""
        x = smooth_images(8, 16).requires_grad_(True)
        w = torch.randn(3 * 16 * 16, requires_grad=True)
        logits = (augmented(x, 0.8).flatten(1) @ w).pow(2)
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        gradient.square().sum().backward()
        for found in (gradient, w.grad, x.grad):
            assert torch.isfinite(found).all()
            assert found.abs().sum() > 0

    def test_parts_of_a_batch_are_augmented_as_the_whole(self):
        x = smooth_images(8, 16)
        augmentation = Augmentation(AugmentConfig(mode="fixed", p=0.7), Engine(0, device="cpu"), 8)
        uniform, normal = augmentation.draw(8)
        whole = augmentation(x, [uniform, normal])
        odd = augmentation(x[1::2], [uniform[1::2], normal[1::2]])
        torch.testing.assert_close(odd, whole[1::2])


class TestControl:
    def control(self, **changes) -> Augmentation:
        return Augmentation(AugmentConfig(mode="ada", kimg=0.32, **changes), Engine(0, device="cpu"), 8)

    def run(self, augmentation: Augmentation, logit: float, steps: int, first: int = 0) -> None:
        for step in range(first, first + steps):
            augmentation.observe(torch.full((8, 1), logit))
            augmentation.adapt(step)

    def test_p_rises_while_the_discriminator_is_sure_of_real_images(self):
        augmentation = self.control()
        self.run(augmentation, 1.0, 3)
        assert augmentation.p == 0  # adapted every fourth step
        self.run(augmentation, 1.0, 1, first=3)
        assert augmentation.p == pytest.approx(0.1)  # 32 images of 320
        self.run(augmentation, 1.0, 16)
        assert augmentation.p == pytest.approx(0.5)
        self.run(augmentation, -1.0, 4)
        assert augmentation.p == pytest.approx(0.4)

    def test_p_stays_between_zero_and_one(self):
        augmentation = self.control(p=0.95)
        self.run(augmentation, 1.0, 8)
        assert augmentation.p == 1
        self.run(augmentation, -1.0, 80)
        assert augmentation.p == 0

    def test_p_rests_at_the_target(self):
        """Logits of which 80% are positive have the mean sign 0.6."""
        augmentation = self.control(p=0.5)
        for step in range(400):
            augmentation.observe(torch.where(torch.rand(8, 1) < 0.8, 1.0, -1.0))
            augmentation.adapt(step)
        assert 0 < augmentation.p < 1

    def test_a_constant_probability_stays(self):
        augmentation = Augmentation(AugmentConfig(mode="fixed", p=0.3), Engine(0, device="cpu"), 8)
        self.run(augmentation, 1.0, 8)
        assert augmentation.p == 0.3
        assert augmentation.engine.take_reports() == {"ada/p": pytest.approx(0.3), "ada/r_t": 1.0}

    def test_state_is_kept_between_two_adaptations(self):
        whole, first, second = self.control(p=0.5), self.control(p=0.5), self.control()
        self.run(whole, 1.0, 6)
        self.run(whole, -1.0, 2, first=6)
        self.run(first, 1.0, 6)
        second.load_state_dict(first.state_dict())
        self.run(second, -1.0, 2, first=6)
        assert second.p == whole.p == pytest.approx(0.5)  # up and down again
        assert second.state_dict()["p"] == whole.state_dict()["p"]
