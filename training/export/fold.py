"""What a trained network need not compute: normalisations and factors that convolutions can take up."""

from __future__ import annotations

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.export.onnx_graph import ExportError
from training.networks.rrdb import FoldedRRDBNet, RRDBNet


class _Tracer(fx.Tracer):
    """Records which layers feed which; whatever has no layers inside counts as one."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children())


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """A copy in which each batch normalisation right behind a convolution is part of its weights and bias.

    Normalisation scales and shifts a channel by constants once a network is trained, as the convolution can.
    One whose convolution has other readers stays where it is.

    Args:
        network: In evaluation mode.

    Returns:
        A network that computes the same up to rounding.

    Raises:
        ExportError: If a layer would normalise by the statistics of the batch it is given, so that an image
            would depend on its neighbours, or the order of layers cannot be traced.
    """
    network = copy.deepcopy(network)
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        if norm.training or norm.running_mean is None:
            raise ExportError(
                f"layer {name!r} normalises by the statistics of a batch, so that an image would depend "
                "on what it is served with; the family must deploy running statistics or those of each image"
            )
    if not norms:
        return network
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # whatever a network's own code makes of the tracer's stand-ins
        raise ExportError(f"the order of the network's layers cannot be traced: {error}") from error
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or str(node.target) not in norms or calls[str(node.target)] > 1:
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1 or calls[str(before.target)] > 1:
            continue
        conv = network.get_submodule(str(before.target))
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
            transposed = isinstance(conv, nn.ConvTranspose2d)
            folded = fuse_conv_bn_eval(conv, norms[str(node.target)], transposed)
            network.set_submodule(str(before.target), folded)
            network.set_submodule(str(node.target), nn.Identity())
    return network


def fold_factors(network: nn.Module) -> nn.Module:
    """The network, or one that computes the same up to rounding with constant factors in its weights."""
    return FoldedRRDBNet(network) if isinstance(network, RRDBNet) else network
