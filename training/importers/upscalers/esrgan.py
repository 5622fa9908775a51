"""ESRGAN and Real-ESRGAN: residual-in-residual dense blocks, in the three layouts that people have.

The first repository numbered its layers (`model.1.sub.0.RDB1.conv1.0`), its successors named them
(`RRDB_trunk.0.RDB1.conv1`, then `body.0.rdb1.conv1`); what they compute is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.importers.base import (
    Imported,
    Recognised,
    StoredFile,
    Tensors,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.state_dicts import state_dict_of
from training.importers.upscalers.upscaler_weights import (
    PARTS,
    check_extent,
    check_shapes,
    count,
    count_while,
    outline,
    precision_notes,
    upscaler_card,
    widened,
    width,
    with_weights,
)
from training.networks.rrdb import RRDBNet


@dataclass(frozen=True)
class Layout:
    """What one repository calls the layers, without `.weight` and `.bias`.

    Attributes:
        title: Whose layout it is.
        first: The first convolution.
        dense: A convolution of a dense block: `{i}` counts blocks from 0, `{j}` dense blocks and `{k}`
            convolutions from 1.
        body: The convolution after the trunk; `{n}` is the number of blocks.
        up: The convolution after an enlargement; `{u}` counts from 1 and `{u3}` in threes.
        hr: The last but one; `{h}` follows from the number of enlargements.
        last: The last one, `{l}` likewise.
    """

    title: str
    first: str
    dense: str
    body: str
    up: str
    hr: str
    last: str


REAL_ESRGAN = Layout(
    "BasicSR, Real-ESRGAN",
    "conv_first",
    "body.{i}.rdb{j}.conv{k}",
    "conv_body",
    "conv_up{u}",
    "conv_hr",
    "conv_last",
)
REALSR = Layout(
    "ESRGAN test code, RealSR, BSRGAN",
    "conv_first",
    "RRDB_trunk.{i}.RDB{j}.conv{k}",
    "trunk_conv",
    "upconv{u}",
    "HRconv",
    "conv_last",
)
# Upsampling, convolution and activation are layers of their own there, so that numbers go in threes.
OLD = Layout(
    "ESRGAN, first repository",
    "model.0",
    "model.1.sub.{i}.RDB{j}.conv{k}.0",
    "model.1.sub.{n}",
    "model.{u3}",
    "model.{h}",
    "model.{l}",
)
LAYOUTS = (REAL_ESRGAN, REALSR, OLD)


@dataclass(frozen=True)
class Size:
    """The hyper-parameters of a network, as far as names of layers depend on them.

    Attributes:
        blocks: Residual-in-residual blocks.
        ups: Enlargements by 2 after the trunk.
    """

    blocks: int
    ups: int


def layer_names(layout: Layout, size: Size) -> dict[str, str]:
    """What each layer of our network is called, without `.weight` and `.bias`."""
    blocks, ups = size.blocks, size.ups
    names = {"conv_first": layout.first, "conv_body": layout.body.format(n=blocks)}
    for i in range(blocks):
        for j in (1, 2, 3):
            for k in range(1, 6):
                names[f"body.{i}.rdb{j}.conv{k}"] = layout.dense.format(i=i, j=j, k=k)
    for u in range(1, ups + 1):
        names[f"conv_up{u}"] = layout.up.format(u=u, u3=3 * u)
    names["conv_hr"] = layout.hr.format(h=3 * ups + 2)
    names["conv_last"] = layout.last.format(l=3 * ups + 4)
    return names


def tensor_names(layout: Layout, size: Size) -> dict[str, str]:
    """What each tensor of our network is called."""
    return {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in layer_names(layout, size).items()
        for kind in ("weight", "bias")
    }


class ESRGANFormat(WeightFormat):
    """RRDB networks; written in the layout of Real-ESRGAN."""

    name = "esrgan"
    title = "ESRGAN, Real-ESRGAN, RealSR, BSRGAN (RRDB)"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Finds the layout by the first convolution of the first dense block."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        part_name, tensors = found
        for layout in LAYOUTS:
            if layout.dense.format(i=0, j=1, k=1) + ".weight" in tensors:
                return _recognise(stored.path, tensors, layout, part_name, self.name)
        return None

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """`{'params_ema': …}` as Real-ESRGAN's network loads it.

        One that enlarges just once by 2 is given in the layout of BSRGAN, whose network for scale 2 is such a
        one; those that enlarge not at all or three times after the trunk have numbered layers.

        Raises:
            UnsupportedWeightsError: If it enlarges by 3, which no public network does.
        """
        if not isinstance(network, RRDBNet):
            return None
        if 3 in network.steps:
            raise UnsupportedWeightsError(
                "no public RRDB network enlarges by 3; train for scale 4, or serve the model from here"
            )
        size = Size(len(network.body), len(network.steps))
        layout = {2: REAL_ESRGAN, 1: REALSR}.get(size.ups, OLD)
        if network.size_multiple > 1 and layout is not REAL_ESRGAN:
            raise UnsupportedWeightsError(
                "networks with unshuffled input enlarge by 4 after the trunk in public; this one does not"
            )
        state = network.state_dict()
        weights = {
            theirs: state[ours].detach().clone() for ours, theirs in tensor_names(layout, size).items()
        }
        return {"params_ema": weights} if layout is REAL_ESRGAN else weights


def _recognise(path: Path, tensors: Tensors, layout: Layout, part: str, name: str) -> Recognised:
    def dense(i: int, k: int = 1) -> str:
        return layout.dense.format(i=i, j=1, k=k) + ".weight"

    blocks = count_while(lambda i: dense(i) in tensors)
    growth, features = width(tensors, dense(0), 0), width(tensors, dense(0), 1)
    if growth < 1:
        raise UnsupportedWeightsError(f"{path} has dense blocks that make no features")
    ups = _count_ups(tensors, layout)
    size = Size(blocks, ups)
    architecture = f"RRDB, {blocks} blocks of {features}, growth {growth}"
    for key in tensors:
        if "conv1x1" in key:
            raise UnsupportedWeightsError(
                f"{path} is an ESRGAN+ ({key!r}), which adds noise and 1×1 convolutions to each dense "
                "block; the nearest that can be imported is an ESRGAN or Real-ESRGAN without them"
            )
    channels = width(tensors, layer_names(layout, size)["conv_first"] + ".weight", 1)
    unshuffle = {3: 1, 12: 2, 48: 4}.get(channels)
    last = layer_names(layout, size)["conv_last"] + ".weight"
    if unshuffle is None or (last in tensors and width(tensors, last, 0) != 3):
        raise UnsupportedWeightsError(
            f"{path} ({architecture}) takes {channels} channels; networks from three colours to three can be "
            "imported, also with pixels unshuffled by 2 or 4"
        )
    if ups > 3 or 2**ups % unshuffle:
        raise UnsupportedWeightsError(
            f"{path} ({architecture}) enlarges {ups} times by 2 after unshuffling by {unshuffle}, which is "
            "no network that was published"
        )
    scale = 2**ups // unshuffle

    def make() -> nn.Module:
        return RRDBNet(scale, features, blocks, growth, unshuffle)

    names = tensor_names(layout, size)
    title = f"RRDB upscaler ×{scale}, {blocks} blocks"
    check_extent(path, title, scale, features, blocks, features * scale**2)
    check_shapes(path, title, tensors, outline(make), names)

    def build() -> Imported:
        plain = widened(tensors)
        notes = precision_notes(tensors)
        if ups == 1 and layout is OLD:
            notes.append("the file does not say by how much it enlarges: 2, as with other numbers of layers")
        return Imported(
            with_weights(make, tensors, names),
            lambda x: reference(plain, layer_names(layout, size), size, unshuffle, x),
            upscaler_card(scale, architecture, features * scale**2),
            notes,
        )

    return Recognised(
        name,
        title,
        "upscaler",
        "srgan",
        part,
        {
            "layout": layout.title,
            "scale": scale,
            "features": features,
            "blocks": blocks,
            "growth": growth,
            "unshuffle": unshuffle,
        },
        count(tensors),
        build,
    )


def _count_ups(tensors: Tensors, layout: Layout) -> int:
    if layout is OLD:  # numbers say nothing by themselves: the last two convolutions are no enlargements
        after = [
            key for key in tensors if re.fullmatch(r"model\.\d+\.weight", key) and key != "model.0.weight"
        ]
        return max(0, len(after) - 2)
    return count_while(lambda u: layout.up.format(u=u + 1) + ".weight" in tensors)


@torch.no_grad()
def reference(tensors: Tensors, names: Mapping[str, str], size: Size, unshuffle: int, x: Tensor) -> Tensor:
    """Wang et al. (2018), figures 3 and 4, step by step; [N, 3, H, W] in [0, 1] → [N, 3, s·H, s·W].

    Args:
        tensors: Under their own names.
        names: Those of layers, by ours.
        size: What repeats.
        unshuffle: Side of the blocks of pixels that become channels first.
        x: Images.
    """

    def conv(x: Tensor, layer: str) -> Tensor:
        return F.conv2d(x, tensors[names[layer] + ".weight"], tensors[names[layer] + ".bias"], padding=1)

    def active(x: Tensor, layer: str) -> Tensor:
        y = conv(x, layer)
        return torch.where(y < 0, 0.2 * y, y)

    if unshuffle > 1:
        s = unshuffle
        rows = [x[:, :, i::s, j::s] for i in range(s) for j in range(s)]
        x = torch.stack(rows, dim=2).flatten(1, 2)
    first = x = conv(x, "conv_first")
    for i in range(size.blocks):
        block = x
        for j in (1, 2, 3):
            dense = [x]
            for k in range(1, 5):
                dense.append(active(torch.cat(dense, 1), f"body.{i}.rdb{j}.conv{k}"))
            x = x + 0.2 * conv(torch.cat(dense, 1), f"body.{i}.rdb{j}.conv5")
        x = block + 0.2 * x
    x = first + conv(x, "conv_body")
    for u in range(1, size.ups + 1):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = active(x, f"conv_up{u}")
    return conv(active(x, "conv_hr"), "conv_last")
