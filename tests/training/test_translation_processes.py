"""Two processes that share each batch compute what one does: normalisation, Pix2Pix, CycleGAN, its pools."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.forked import TRAINING, ForkedProcess
from tests.training.test_cyclegan import images
from tests.training.test_cyclegan import tiny as cyclegan_config
from tests.training.test_pix2pix import tiny as pix2pix_config
from training.engine import Engine
from training.families.cyclegan import CycleGAN
from training.families.pix2pix import Pix2Pix
from training.networks.norms import BatchNorm2d
from training.pixels import to_unit_range


def normalisation(part):
    """What a layer computes from its part of a batch, forwards and backwards."""
    torch.manual_seed(0)
    layer = BatchNorm2d(3)
    nn.init.normal_(layer.weight)
    x, target = torch.randn(6, 3, 4, 4) * 2 + 1, torch.randn(6, 3, 4, 4)
    x = x[part].requires_grad_(True)
    y = layer(x)
    (y - target[part]).square().sum().backward()
    return {"y": y.detach(), "x.grad": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}, {
        name: value.clone() for name, value in layer.state_dict().items() if name not in ("weight", "bias")
    }


def runs(part):
    """What generators make of an image before and after five steps, and what pools of fakes then hold."""
    probe = to_unit_range(images(seed=9)["A"])
    results = {}
    for family, config in (
        (CycleGAN, cyclegan_config()),
        (Pix2Pix, pix2pix_config(generator={"dropout": 0.0})),
    ):
        torch.manual_seed(0)
        model = family(config, Engine(0, device="cpu"))
        generators = {name: network for name, network in model.networks.items() if name.startswith("G")}
        before = {name: network.eval()(probe).detach() for name, network in generators.items()}
        for name, network in generators.items():
            network.train(not name.endswith("_ema"))
        for step in range(5):
            model.step({name: value[part] for name, value in images(seed=step).items()}, step)
        for name, network in generators.items():
            results[f"{family.__name__}.{name}"] = before[name], network.eval()(probe).detach()
        if family is CycleGAN:
            for side, pool in model.pools.items():
                held = torch.stack(pool.images)
                results[f"pool {side}"] = torch.zeros_like(held), held
    return results


def gradient(part):
    """The gradient that a step takes: of the mean over the whole batch, which Adam's steps would not tell."""
    engine = Engine(0, device="cpu")
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.detach().clone()
    x = torch.tensor([[1.0], [2.0], [3.0], [6.0]])[part]
    engine.minimize(
        torch.optim.SGD(layer.parameters(), lr=1.0), lambda part: layer(part["x"]).mean(), {"x": x}
    )
    return before - layer.weight.detach()


def share(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    part = slice(rank, None, 2)
    votes = [Engine(0, device="cpu").any(flag) for flag in (rank == 0, rank == 1, False)]
    torch.save([normalisation(part), runs(part), gradient(part), votes], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    with (folder / "output").open("w+b") as output:
        code = f"import {__name__} as t; t.share({{}}, {str(folder)!r})"
        ranks = [ForkedProcess(code.format(n), os.environ, output, TRAINING) for n in range(2)]
        ends = [rank.wait(120) for rank in ranks]
        output.seek(0)
        assert ends == [0, 0], output.read().decode()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_batch_normalisation(shared):
    (whole, buffers), halves = normalisation(slice(None)), [results[0] for results in shared]
    for name in ("y", "x.grad"):
        joined = torch.stack([values[name] for values, _ in halves], dim=1).flatten(0, 1)
        torch.testing.assert_close(joined, whole[name], atol=1e-5, rtol=1e-4)
    for name in ("weight", "bias"):
        torch.testing.assert_close(
            sum(values[name] for values, _ in halves), whole[name], atol=1e-5, rtol=1e-4
        )
    for _, theirs in halves:
        for name, buffer in buffers.items():
            torch.testing.assert_close(theirs[name], buffer)


def test_gradients_are_means_over_processes(shared):
    for _, _, of_whole_batch, _ in shared:
        torch.testing.assert_close(of_whole_batch, torch.tensor([[3.0]]))


def test_one_process_that_is_asked_to_stop_stops_all(shared):
    assert [votes for *_, votes in shared] == [[True, True, False]] * 2


def test_families(shared):
    for name, (start, end) in runs(slice(None)).items():
        for _, results, *_ in shared:
            assert (results[name][1] - end).abs().max() < 0.02 * (end - start).abs().max(), name
