"""Steps the models of pytorch-CycleGAN-and-pix2pix, from a local clone, as these step themselves."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import torch

from tests.benchmarks.reference_process import Settings, Step

CLASSES = {"pix2pix": ("pix2pix_model", "Pix2PixModel"), "cyclegan": ("cycle_gan_model", "CycleGANModel")}


def build(settings: Settings) -> tuple[str, Step]:
    """Builds the model of the sizes in the settings.

    Args:
        settings: `config`, a run of our Pix2Pix or CycleGAN as plain values, and `device`.

    Returns:
        What it is, and its step.
    """
    config, device = settings["config"], torch.device(settings["device"])
    module, name = CLASSES[config["family"]]
    model = getattr(importlib.import_module(f"models.{module}"), name)(options(config, device))
    shape = (config["optimization"]["batch"], 3, config["data"]["resolution"], config["data"]["resolution"])
    pixels = {side: torch.randint(0, 256, shape, dtype=torch.uint8, device=device) for side in "AB"}

    def step(number: int) -> None:
        images: dict[str, Any] = {side: value.float() / 127.5 - 1 for side, value in pixels.items()}
        model.set_input({**images, "A_paths": [], "B_paths": []})
        model.optimize_parameters()

    return "pytorch-CycleGAN-and-pix2pix", step


def options(config: dict[str, Any], device: torch.device) -> SimpleNamespace:
    """The options of their command line that make the networks and losses of a run of ours."""
    g, d, o = config["generator"], config["discriminator"], config["optimization"]
    unet = g["network"] == "unet"
    return SimpleNamespace(
        isTrain=True,
        device=device,
        gpu_ids=[] if device.type == "cpu" else [device.index or 0],
        checkpoints_dir="",
        name="",
        preprocess="none",
        direction="AtoB",
        input_nc=3,
        output_nc=3,
        ngf=g["channels"],
        netG=f"unet_{2 ** g['num_downs']}" if unet else f"resnet_{g['blocks']}blocks",
        norm=g["norm"],
        no_dropout=g["dropout"] == 0,
        ndf=d["channels"],
        netD="n_layers",
        n_layers_D=d["n_layers"],
        init_type="normal",
        init_gain=0.02,
        gan_mode={"vanilla": "vanilla", "least-squares": "lsgan", "wgan-gp": "wgangp"}[o["loss"]],
        pool_size=o.get("pool_size", 0),
        lr=o["g_lr"],
        beta1=o["beta1"],
        lambda_L1=o.get("l1_weight"),
        lambda_A=o.get("cycle_weight"),
        lambda_B=o.get("cycle_weight"),
        lambda_identity=o.get("identity_weight"),
    )
