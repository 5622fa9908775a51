"""Tiny networks of every kind, and what the export makes of them: once for all tests, as it takes seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from google.protobuf import text_format
from torch import nn
from tritonclient.grpc import model_config_pb2

from training.export.export import export_deployables
from training.families.base import Deployable
from training.networks.compact import CompactNet
from training.networks.dcgan import Generator as DCGANGenerator
from training.networks.stylegan2 import Generator
from training.networks.unet import UNet

CLASSES = ["cat", "dog", "owl"]


def tiny_generator() -> Generator:
    """StyleGAN2, 8×8, three classes, with noise and a w_avg that are worth testing."""
    torch.manual_seed(0)
    g = Generator(8, 8, 8, 32, 4, 1, c_dim=len(CLASSES)).eval().requires_grad_(False)
    for conv in g.synthesis.styled_convs():
        conv.noise_strength.fill_(0.3)
    g.mapping.w_avg.normal_()
    return g


def tiny_dcgan() -> DCGANGenerator:
    """DCGAN, 16×16, whose batch normalisation has learnt something."""
    torch.manual_seed(1)
    return lively(DCGANGenerator(8, 16, 4, 8))


def tiny_translator() -> UNet:
    """A U-Net with batch normalisation, for sides that are multiples of 8."""
    torch.manual_seed(2)
    return lively(UNet(num_downs=3, channels=4))


def tiny_upscaler() -> CompactNet:
    """An upscaler, ×3."""
    torch.manual_seed(3)
    return lively(CompactNet(scale=3, features=4, blocks=1))


def lively(network: Any) -> Any:
    """A network in evaluation mode with weights that do something, and statistics as training leaves them."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.3)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval().requires_grad_(False)


def write_exported_models(repository: Path) -> Path:
    """Exports all four, each to both formats: `tiny` and `tiny-torchscript`, and so on; images to MNN too."""
    images = [
        (
            Deployable("sketch", "Sketches", tiny_translator(), card={"size_multiple": 8, "min_size": 8}),
            {"name": "sketch", "kind": "translator"},
        ),
        (
            Deployable("larger", "Larger photos", tiny_upscaler(), card={"scale": 3}),
            {"name": "larger", "kind": "upscaler"},
        ),
    ]
    export_deployables(
        [
            (
                Deployable("tiny", "Größe ×2", tiny_generator()),
                {"name": "tiny", "kind": "generator", "title": "Größe ×2", "classes": CLASSES},
            ),
            (Deployable("digits", "Digits", tiny_dcgan()), {"name": "digits", "kind": "generator"}),
            *images,
        ],
        repository,
        formats=("onnx", "torchscript"),
    )
    named = [(replace(each, name=f"{each.name}-mnn"), card) for each, card in images]
    export_deployables(named, repository, formats=("mnn",))
    return repository


def read_config(repository: Path, model: str) -> tuple[model_config_pb2.ModelConfig, dict[str, Any]]:
    """Triton's config of a model, and its card."""
    text = (repository / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return config, json.loads(config.parameters["card"].string_value)
