"""Steps NVIDIA's stylegan2-ada-pytorch or stylegan3, from a local clone, as their loop on one GPU does."""

from __future__ import annotations

import copy
import importlib
import sys
import types
from typing import Any

import torch

from tests.benchmarks.reference_process import Settings, Step

CLAMP = 256  # what their configurations clamp half-precision layers to


def build(settings: Settings) -> tuple[str, Step]:
    """Builds networks, losses and optimisers of the sizes in the settings, without augmentation.

    Args:
        settings: `config`, a run of our StyleGAN2 as plain values, and `device`.

    Returns:
        What it is, and its step.
    """
    without_downloads()
    config, device = settings["config"], torch.device(settings["device"])
    g, d, o = config["generator"], config["discriminator"], config["optimization"]
    resolution, half = config["data"]["resolution"], config["compute"]["precision"] != "fp32"
    torch.backends.cudnn.benchmark = True
    networks, name = _networks()

    def sizes(section: dict[str, Any]) -> dict[str, Any]:
        return {
            "channel_base": section["channel_base"],
            "channel_max": section["channel_max"],
            "num_fp16_res": section["num_fp16_res"] if half else 0,
            "conv_clamp": CLAMP if half else None,
        }

    common = {"c_dim": 0, "img_resolution": resolution, "img_channels": 3}
    split = name == "stylegan2-ada-pytorch"  # where sizes of synthesis are passed on
    G = networks.Generator(
        z_dim=g["z_dim"],
        w_dim=g["w_dim"],
        mapping_kwargs={"num_layers": g["mapping_layers"]},
        **({"synthesis_kwargs": sizes(g)} if split else sizes(g)),
        **common,
    )
    D = networks.Discriminator(
        epilogue_kwargs={"mbstd_group_size": d["mbstd_group_size"]}, **sizes(d), **common
    )
    G, D = (network.train().requires_grad_(False).to(device) for network in (G, D))
    G_ema = copy.deepcopy(G).eval()
    parts = {"G_mapping": G.mapping, "G_synthesis": G.synthesis} if split else {"G": G}
    loss = importlib.import_module("training.loss").StyleGAN2Loss(
        device=device,
        D=D,
        **parts,
        style_mixing_prob=o["style_mixing_prob"],
        r1_gamma=o["r1_gamma"],
        pl_weight=o["pl_weight"],
        pl_batch_shrink=o["pl_batch_shrink"],
    )
    more = {"sync": True} if split else {"cur_nimg": 0}
    phases = []
    for letter, network, lr, interval in (
        ("G", G, o["g_lr"], o["pl_interval"]),
        ("D", D, o["d_lr"], o["r1_interval"]),
    ):
        c = interval / (interval + 1)
        betas = (o["beta1"] ** c, o["beta2"] ** c)
        optimizer = torch.optim.Adam(network.parameters(), lr=lr * c, betas=betas, eps=1e-8)
        phases += [(f"{letter}main", network, optimizer, 1), (f"{letter}reg", network, optimizer, interval)]
    n = o["batch"]
    reals = torch.randint(0, 256, (n, 3, resolution, resolution), dtype=torch.uint8, device=device)
    labels = torch.zeros(n, 0, device=device)

    def step(number: int) -> None:
        images = reals.float() / 127.5 - 1
        for phase, network, optimizer, interval in phases:
            if number % interval:
                continue
            optimizer.zero_grad(set_to_none=True)
            network.requires_grad_(True)
            loss.accumulate_gradients(
                phase=phase, real_img=images, real_c=labels, gen_z=torch.randn(n, g["z_dim"], device=device),
                gen_c=labels, gain=interval, **more,
            )  # fmt: skip
            network.requires_grad_(False)
            for parameter in network.parameters():
                if parameter.grad is not None:
                    torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
            optimizer.step()
        with torch.no_grad():
            for average, current in zip(G_ema.parameters(), G.parameters(), strict=True):
                average.copy_(current.lerp(average, 0.999))
            for average, current in zip(G_ema.buffers(), G.buffers(), strict=True):
                average.copy_(current)

    return name, step


def _networks() -> tuple[types.ModuleType, str]:
    """The module of the networks, and which of the two repositories it is."""
    try:
        return importlib.import_module("training.networks_stylegan2"), "stylegan3, its StyleGAN2"
    except ModuleNotFoundError:
        return importlib.import_module("training.networks"), "stylegan2-ada-pytorch"


def without_downloads() -> None:
    """Lets their helpers be imported without `requests`, which only downloads need."""
    try:
        importlib.import_module("requests")
    except ModuleNotFoundError:
        sys.modules["requests"] = types.ModuleType("requests")
