"""What a generator of StyleGAN3 is made by, and a generator of ours, or a reference, with stored tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from training.importers.generators.mapping_reference import Dense, StoredMapping
from training.importers.generators.stylegan3_reference import Layer, Stored
from training.importers.generators.stylegan3_settings import layer_names
from training.networks.stylegan3 import Generator, SynthesisSettings, signals


@dataclass(frozen=True)
class Sizes:
    """A generator, as tensors and options tell it.

    Attributes:
        z_dim: Width of z.
        w_dim: Width of w.
        c_dim: Classes, 0 if it is unconditional.
        image_channels: 3, or 1 if its images are grey.
        mapping_layers: Fully connected layers of the mapping network.
        lr_multiplier: Gain of the mapping network's weights.
        synthesis: Of the synthesis network.
    """

    z_dim: int
    w_dim: int
    c_dim: int
    image_channels: int
    mapping_layers: int
    lr_multiplier: float
    synthesis: SynthesisSettings

    @property
    def configuration(self) -> str:
        """`StyleGAN3-T`, `StyleGAN3-R`, or `StyleGAN3` for a mixture."""
        known = {(3, False): "-T", (1, True): "-R"}
        return "StyleGAN3" + known.get((self.synthesis.conv_kernel, self.synthesis.use_radial_filters), "")

    def title(self) -> str:
        """What it is, for people."""
        labels = f"{self.c_dim} classes" if self.c_dim else "unconditional"
        side = self.synthesis.resolution
        grey = ", grey" if self.image_channels == 1 else ""
        return f"{self.configuration} generator, {side} × {side}, {labels}{grey}"

    def shown(self) -> dict[str, Any]:
        """The hyper-parameters for people."""
        synthesis = asdict(self.synthesis)
        for told_by_channels in ("channel_base", "channel_max"):
            del synthesis[told_by_channels]
        return {
            "configuration": self.configuration,
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "c_dim": self.c_dim,
            "image_channels": self.image_channels,
            "mapping_layers": self.mapping_layers,
            "lr_multiplier": self.lr_multiplier,
            **synthesis,
            "channels": list(self.synthesis.channels or ()),
        }

    def generator(self) -> Generator:
        """An untrained generator of ours."""
        return Generator(
            self.z_dim, self.w_dim, self.synthesis, self.mapping_layers, self.c_dim, self.lr_multiplier
        )

    def names(self) -> dict[str, str]:
        """Names of the layout by our own."""
        with torch.device("meta"):
            ours = self.generator().state_dict()
        colours = f"synthesis.L{self.synthesis.num_layers}_{self.synthesis.resolution}_"
        return {
            name: re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name).replace(
                f"{colours}3.", f"{colours}{self.image_channels}."
            )
            for name in ours
        }

    @torch.no_grad()
    def network(self, tensors: Mapping[str, Tensor]) -> Generator:
        """Our network with the tensors of a file, its filters included."""
        generator = self.generator()
        state = generator.state_dict()
        for mine, theirs in self.names().items():
            state[mine].copy_(tensors[theirs].expand_as(state[mine]))
        return generator.eval().requires_grad_(False)

    def reference(self, tensors: Mapping[str, Tensor]) -> Stored:
        """The original's computation with the tensors of a file."""
        t = {name: tensor.float() for name, tensor in tensors.items()}

        def dense(name: str) -> Dense:
            return Dense(t[f"{name}.weight"], t[f"{name}.bias"])

        g = self.synthesis
        found = signals(g)
        rates = [signal.sampling_rate for signal in found]
        layers = []
        for name, signal, before in zip(layer_names(t), found, [rates[0], *rates[:-1]], strict=True):
            fine = max(before, signal.sampling_rate) * g.lrelu_upsampling
            layers.append(Layer(name, signal.size, fine // before, fine // signal.sampling_rate))
        return Stored(
            StoredMapping(
                [dense(f"mapping.fc{i}") for i in range(self.mapping_layers)],
                self.lr_multiplier,
                dense("mapping.embed") if self.c_dim else None,
                t["mapping.w_avg"],
            ),
            t,
            layers,
            found[0].size,
            found[0].sampling_rate,
            g.first_cutoff,
            g.conv_clamp,
            g.output_scale,
        )
