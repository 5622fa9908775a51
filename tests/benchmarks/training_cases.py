"""What is trained in the benchmark: each family at the sizes of its paper, smaller without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.config import RunConfig
from training.config_files import parse_config

Tree = dict[str, Any]

ONE_STEP = ((1, 1.0),)
LAZY_STEPS = ((1, 12 / 16), (4, 3 / 16), (16, 1 / 16))
"""Of 16 steps of StyleGAN2 three regularise path lengths, and one both those and R1."""


@dataclass(frozen=True)
class Case:
    """One family at one size.

    Attributes:
        name: What it is called on the command line.
        title: What it is.
        tree: Its configuration on a GPU.
        on_cpu: What is different without one, by section.
        steps: Numbers of the steps that are timed, and the share of all steps that each stands for.
        reference: Which reference implementation does the same, if one does.
    """

    name: str
    title: str
    tree: Tree
    on_cpu: Mapping[str, Tree]
    steps: tuple[tuple[int, float], ...] = ONE_STEP
    reference: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def config(self, *, small: bool) -> RunConfig:
        """The configuration, `small` for a CPU."""
        tree: Tree = {"name": self.name, "title": self.title, **self.more}
        for name, section in self.tree.items():
            tree[name] = dict(section)
        if small:
            for name, section in self.on_cpu.items():
                tree.setdefault(name, {}).update(section)
        tree["data"] = {"recipe": "made-up", "mirror": False, **tree["data"]}
        tree["optimization"] = {"kimg": 1000, **tree["optimization"]}
        return parse_config(tree)


def _stylegan2(resolution: int, gpu_batch: int, cpu_batch: int, precision: str) -> Case:
    small = {"channel_base": 2048, "channel_max": 128}
    return Case(
        f"stylegan2-{resolution}",
        f"StyleGAN2, {resolution}²",
        {
            "data": {"resolution": resolution},
            "compute": {"precision": precision},
            "optimization": {"batch": gpu_batch, "r1_gamma": 1.0},
        },
        {
            "compute": {"precision": "fp32"},
            "generator": {"z_dim": 128, "w_dim": 128, "mapping_layers": 4, "num_fp16_res": 0, **small},
            "discriminator": {"num_fp16_res": 0, **small},
            "optimization": {"batch": cpu_batch},
        },
        LAZY_STEPS,
        "stylegan",
        {"family": "stylegan2"},
    )


def _srgan(stage: str, title: str) -> Case:
    return Case(
        f"srgan-{stage}",
        title,
        {"data": {"resolution": 128, "crop": 96}, "optimization": {"batch": 16}},
        {"generator": {"features": 32}, "discriminator": {"features": 32}, "optimization": {"batch": 4}},
        more={"family": "srgan", "stage": stage},
    )


CASES = {
    case.name: case
    for case in (
        _stylegan2(64, 64, 8, "fp32"),
        _stylegan2(256, 32, 2, "fp16"),
        Case(
            "pix2pix-256",
            "Pix2Pix, 256², U-Net and 70 × 70 patches",
            {"data": {"resolution": 256}, "optimization": {"batch": 1}},
            {"generator": {"channels": 32}, "discriminator": {"channels": 32}},
            reference="pix2pix",
            more={"family": "pix2pix"},
        ),
        Case(
            "cyclegan-256",
            "CycleGAN, 256², ResNet",
            {"data": {"resolution": 256}, "optimization": {"batch": 1}},
            {"generator": {"channels": 16, "blocks": 6}, "discriminator": {"channels": 16}},
            reference="pix2pix",
            more={"family": "cyclegan", "backward_name": "backward", "backward_title": "Backward"},
        ),
        _srgan("pixels", "SRResNet ×4, crops of 96², on pixels"),
        _srgan("gan", "SRGAN ×4, crops of 96², adversarial and perceptual"),
        Case(
            "dcgan-64",
            "DCGAN, 64²",
            {"data": {"resolution": 64}, "optimization": {"batch": 128}},
            {"generator": {"channels": 32}, "discriminator": {"channels": 32}, "optimization": {"batch": 16}},
            more={"family": "dcgan"},
        ),
    )
}
"""Every case by name."""
