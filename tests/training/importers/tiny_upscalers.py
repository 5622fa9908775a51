"""Tiny checkpoints of upscalers, in the layouts and containers that people have them in."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]

OLD_ENDS = {0: (2, 4), 1: (5, 7), 2: (8, 10), 3: (11, 13)}
"""Numbers of the last two convolutions of the first ESRGAN repository, by enlargements."""


class Maker:
    """Draws weights that matter, one seed for all."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def conv(self, name: str, features_in: int, out: int, kernel: int = 3) -> None:
        """A convolution that keeps the size of signals, with a bias."""
        shape = (out, features_in, kernel, kernel)
        self.state[f"{name}.weight"] = torch.randn(shape, generator=self.rng) / (features_in**0.5 * kernel)
        self.state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=self.rng)

    def slope(self, name: str, count: int) -> None:
        """Slopes of a PReLU."""
        self.state[f"{name}.weight"] = 0.1 + 0.3 * torch.rand(count, generator=self.rng)

    def norm(self, name: str, features: int) -> None:
        """Batch normalisation with statistics of some training."""
        self.slope(name, features)
        for kind in ("bias", "running_mean"):
            self.state[f"{name}.{kind}"] = 0.2 * torch.randn(features, generator=self.rng)
        self.state[f"{name}.running_var"] = 0.05 + 0.1 * torch.rand(features, generator=self.rng)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def rrdb(layout: str, *, ups: int = 2, channels: int = 3, features: int = 8, blocks: int = 2) -> State:
    """An RRDB network in the layout `new`, `realsr` or `old`."""
    make, growth = Maker(), 4
    hr, last = OLD_ENDS[ups]
    first, trunk, body, up = {
        "new": ("conv_first", "body.{}.rdb{}.conv{}", "conv_body", "conv_up{}"),
        "realsr": ("conv_first", "RRDB_trunk.{}.RDB{}.conv{}", "trunk_conv", "upconv{}"),
        "old": ("model.0", "model.1.sub.{}.RDB{}.conv{}.0", f"model.1.sub.{blocks}", ""),
    }[layout]
    make.conv(first, channels, features)
    for i in range(blocks):
        for j in (1, 2, 3):
            for k in range(1, 6):
                out = growth if k < 5 else features
                make.conv(trunk.format(i, j, k), features + (k - 1) * growth, out)
    make.conv(body, features, features)
    for u in range(1, ups + 1):
        make.conv(up.format(u) if up else f"model.{3 * u}", features, features)
    make.conv({"new": "conv_hr", "realsr": "HRconv", "old": f"model.{hr}"}[layout], features, features)
    make.conv(f"model.{last}" if layout == "old" else "conv_last", features, 3)
    return make.state


def compact(scale: int = 4, *, features: int = 8, blocks: int = 3, slopes: bool = True) -> State:
    """A compact network of Real-ESRGAN."""
    make = Maker()
    for i in range(blocks + 1):
        make.conv(f"body.{2 * i}", features if i else 3, features)
        if slopes:
            make.slope(f"body.{2 * i + 1}", features)
    make.conv(f"body.{2 * blocks + 2}", features, 3 * scale**2)
    return make.state


def msrresnet(scale: int, *, features: int = 8, blocks: int = 2) -> State:
    """BasicSR's MSRResNet."""
    make = Maker()
    make.conv("conv_first", 3, features)
    for i in range(blocks):
        make.conv(f"body.{i}.conv1", features, features)
        make.conv(f"body.{i}.conv2", features, features)
    for u in range(2 if scale == 4 else 1):
        make.conv(f"upconv{u + 1}", features, features * (9 if scale == 3 else 4))
    make.conv("conv_hr", features, features)
    make.conv("conv_last", features, 3)
    return make.state


def leftthomas(ups: int = 2, *, features: int = 8, blocks: int = 5) -> State:
    """The generator of leftthomas/SRGAN."""
    make = Maker()
    make.conv("block1.0", 3, features, 9)
    make.slope("block1.1", 1)
    for i in range(2, blocks + 2):
        make.conv(f"block{i}.conv1", features, features)
        make.norm(f"block{i}.bn1", features)
        make.slope(f"block{i}.prelu", 1)
        make.conv(f"block{i}.conv2", features, features)
        make.norm(f"block{i}.bn2", features)
    make.conv(f"block{blocks + 2}.0", features, features)
    make.norm(f"block{blocks + 2}.1", features)
    for u in range(ups):
        make.conv(f"block{blocks + 3}.{u}.conv", features, 4 * features)
        make.slope(f"block{blocks + 3}.{u}.prelu", 1)
    make.conv(f"block{blocks + 3}.{ups}", features, 3, 9)
    return make.state


class NcnnWriter:
    """Writes `.param` and `.bin` as ncnn's converters do: `Split` wherever a blob has several readers."""

    def __init__(self) -> None:
        self.layers: list[tuple[str, list[str], str, str]] = []
        self.bin = b""

    def add(self, kind: str, inputs: list[str], parameters: str = "") -> str:
        """A layer with one output, whose name it gives."""
        out = f"blob{len(self.layers)}"
        self.layers.append((kind, list(inputs), out, parameters))
        return out

    def conv(self, state: State, name: str, blob: str, slope: float | None = None) -> str:
        """A convolution with weights in half precision and biases in single, as published files have them."""
        weight = state[f"{name}.weight"]
        fused = "" if slope is None else f" 9=2 -23310=1,{slope:e}"
        halves = weight.numpy().astype("<f2").tobytes()
        self.bin += struct.pack("<I", 0x01306B47) + halves + bytes(-len(halves) % 4)
        self.bin += state[f"{name}.bias"].numpy().astype("<f4").tobytes()
        parameters = f"0={len(weight)} 1=3 4=1 5=1 6={weight.numel()}{fused}"
        return self.add("Convolution", [blob], parameters)

    def prelu(self, state: State, name: str, blob: str) -> str:
        """Slopes."""
        slopes = state[f"{name}.weight"]
        self.bin += slopes.numpy().astype("<f4").tobytes()
        return self.add("PReLU", [blob], f"0={len(slopes)}")

    def write(self, path: Path, output: str) -> Path:
        """Both files beside each other; gives the `.param`."""
        readers: dict[str, int] = {}
        for _, inputs, _, _ in self.layers:
            for blob in inputs:
                readers[blob] = readers.get(blob, 0) + 1
        given = dict.fromkeys(readers, 0)

        def take(blob: str) -> str:
            if readers[blob] == 1:
                return blob
            given[blob] += 1
            return f"{blob}_split_{given[blob] - 1}"

        lines, blobs = [], 0
        for i, (kind, inputs, out, parameters) in enumerate(self.layers):
            name = "output" if out == output else out
            taken = [take(blob) for blob in inputs]
            lines.append(" ".join((kind, f"{kind}_{i}", str(len(taken)), "1", *taken, name, parameters)))
            blobs += 1
            if readers.get(out, 0) > 1:
                names = [f"{out}_split_{k}" for k in range(readers[out])]
                lines.append(" ".join(("Split", f"split_{i}", "1", str(len(names)), out, *names)))
                blobs += len(names)
        path.with_suffix(".param").write_text(f"7767517\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n")
        path.with_suffix(".bin").write_bytes(self.bin)
        return path.with_suffix(".param")


def ncnn_rrdb(path: Path, state: State, *, blocks: int = 2) -> Path:
    """An RRDB network of layout `new`, enlarging by 4, as realesrgan-x4plus is written."""
    net = NcnnWriter()
    first = x = net.conv(state, "conv_first", net.add("Input", []))
    for i in range(blocks):
        block = x
        for j in (1, 2, 3):
            seen = [x]
            for k in range(1, 5):
                joined = net.add("Concat", seen) if k > 1 else x
                seen.append(net.conv(state, f"body.{i}.rdb{j}.conv{k}", joined, 0.2))
            last = net.conv(state, f"body.{i}.rdb{j}.conv5", net.add("Concat", seen))
            x = net.add("Eltwise", [last, x], "0=1 -23301=2,2.000000e-01,1.000000e+00")
        x = net.add("Eltwise", [x, block], "0=1 -23301=2,2.000000e-01,1.000000e+00")
    x = net.add("BinaryOp", [first, net.conv(state, "conv_body", x)], "0=0")
    for u in (1, 2):
        x = net.add("Interp", [x], "0=1 1=2.000000e+00 2=2.000000e+00")
        x = net.conv(state, f"conv_up{u}", x, 0.2)
    x = net.conv(state, "conv_last", net.conv(state, "conv_hr", x, 0.2))
    return net.write(path, x)


def ncnn_compact(path: Path, state: State, *, scale: int = 4, reduced: int = 4) -> Path:
    """A compact network as realesr-animevideov3 is written, reduced to another scale at its end."""
    net = NcnnWriter()
    image = x = net.add("Input", [])
    last = max(int(key.split(".")[1]) for key in state)
    for i in range(0, last + 1, 2):
        x = net.conv(state, f"body.{i}", x)
        if i < last:
            x = net.prelu(state, f"body.{i + 1}", x)
    x = net.add("PixelShuffle", [x], f"0={scale}")
    x = net.add("BinaryOp", [x, net.add("Interp", [image], f"0=1 1={scale:e} 2={scale:e}")], "0=0")
    if reduced != scale:
        ratio = reduced / scale
        x = net.add("Interp", [x], f"0=3 1={ratio:e} 2={ratio:e}")
    return net.write(path, x)


def as_halves(state: State) -> State:
    """What is left of weights that a file keeps in half precision."""
    return {
        name: torch.from_numpy(t.numpy().astype(np.float16).astype(np.float32)) if t.ndim == 4 else t
        for name, t in state.items()
    }
