"""Weights of translators between the public layout and ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.importers.base import Tensors, UnsupportedWeightsError
from training.importers.translators.translator_layouts import public_names
from training.networks.antialias import DOWN_TAPS, UP_TAPS, Downsample, Upsample, binomial
from training.networks.norms import ImageNorm2d
from training.networks.resnet import ResNet
from training.networks.unet import UNet

_SHOWN = 3
_COUNTER = "num_batches_tracked"


def as_ours(network: ResNet | UNet, tensors: Tensors) -> tuple[dict[str, Tensor], list[str]]:
    """Stored weights under our names.

    Args:
        network: With the hyper-parameters of the file, on any device.
        tensors: Of the file, without what is of no use, see `without_statistics`.

    Returns:
        The state dict of the network, and names of biases that the file lacks, which are zero.

    Raises:
        UnsupportedWeightsError: If the file is of another network after all: tensors are missing, left over,
            or of other shapes.
    """
    modules, names = dict(network.named_modules()), public_names(network)
    rest = dict(tensors)
    state: dict[str, Tensor] = {}
    without: list[str] = []
    for key, ours in network.state_dict().items():
        layer, _, tensor_name = key.rpartition(".")
        public = f"{names[layer]}.{tensor_name}"
        if public in rest:
            theirs = rest.pop(public)
            if theirs.shape != ours.shape or theirs.is_floating_point() != ours.is_floating_point():
                raise UnsupportedWeightsError(
                    f"{public} is {list(theirs.shape)} of {theirs.dtype}, not {list(ours.shape)} of "
                    f"{ours.dtype}: a variant of the network that is not known"
                )
            state[key] = theirs.to(ours.dtype)
        elif tensor_name == _COUNTER:  # unknown to PyTorch before 0.4.1, and of no use in evaluation
            state[key] = torch.zeros(ours.shape, dtype=ours.dtype)
        elif tensor_name == "bias" and f"{names[layer]}.weight" in tensors:
            state[key] = torch.zeros(ours.shape, dtype=ours.dtype)
            without.append(public)
        else:
            raise UnsupportedWeightsError(f"{public} is missing: the file is cut short, or of a variant")
    for layer, public in names.items():
        kernel = public_filter(modules[layer])
        if kernel is not None:
            stored = rest.pop(f"{public}.filt", kernel)
            if stored.shape != kernel.shape or not torch.allclose(stored.float(), kernel, atol=1e-6):
                raise UnsupportedWeightsError(
                    f"{public}.filt is not the binomial filter of {kernel.shape[2]} taps a side; no other "
                    "can be imported"
                )
    if rest:
        shown = ", ".join(sorted(rest)[:_SHOWN])
        raise UnsupportedWeightsError(
            f"{len(rest)} tensors have no place in a {network.__class__.__name__}, such as {shown}: a "
            "variant that is not known"
        )
    return state, without


def without_statistics(tensors: Tensors, layers: Mapping[str, str]) -> tuple[dict[str, Tensor], int]:
    """Leaves out the averages that instance normalisation kept before PyTorch 0.4, and never used.

    Args:
        tensors: Of the file.
        layers: Public names of the layers.

    Returns:
        The others, and how many were left out.
    """
    names = {f"{public}.{part}" for public in layers.values() for part in ("running_mean", "running_var")}
    names |= {f"{public}.{_COUNTER}" for public in layers.values()}
    kept = {name: tensor for name, tensor in tensors.items() if name not in names}
    return kept, len(tensors) - len(kept)


def published(network: ResNet | UNet) -> dict[str, Tensor]:
    """Weights of ours in the public layout, in the order of computation.

    Args:
        network: What was trained, also as it is served.
    """
    tensors: dict[str, Tensor] = {}
    modules = dict(network.named_modules())
    for here, there in public_names(network).items():
        layer = modules[here]
        if isinstance(layer, ImageNorm2d):
            (layer,) = layer.trained
        for name, tensor in layer.state_dict().items():
            tensors[f"{there}.{name}"] = tensor.detach().cpu().clone()
        if (kernel := public_filter(layer)) is not None:
            tensors[f"{there}.filt"] = kernel
    return tensors


def public_filter(layer: nn.Module) -> Tensor | None:
    """The kernel that a file has of an anti-aliased resampling, [C, 1, k, k]; None of other layers."""
    if isinstance(layer, Downsample):
        return binomial(DOWN_TAPS).repeat(layer.channels, 1, 1, 1)
    if isinstance(layer, Upsample):
        return binomial(UP_TAPS, gain=4.0).repeat(layer.channels, 1, 1, 1)
    return None
