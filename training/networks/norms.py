"""Normalisation layers by name, and a batch normalisation that is the same on one process and on many."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

NormName = Literal["batch", "instance", "instance-affine", "none"]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes (Ioffe & Szegedy 2015, algorithm 1).

    Parameters and buffers are named as in `torch.nn.BatchNorm2d`. Every process must bring as many pixels.

    Attributes:
        over_processes: Whether the statistics are those of all processes, all of which must then compute the
            layer.
    """

    over_processes = True

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        alone = not (self.over_processes and dist.is_initialized() and dist.get_world_size() > 1)
        if alone or not self.training:
            return super().forward(x)
        world_size = dist.get_world_size()
        moments = torch.stack([x.float().mean(dim=(0, 2, 3)), x.float().square().mean(dim=(0, 2, 3))])
        summed: Tensor = _SumOverProcesses.apply(moments)  # type: ignore[no-untyped-call]
        mean, square = summed / world_size
        var = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            n = x.numel() // x.shape[1] * world_size
            momentum = 0.1 if self.momentum is None else self.momentum
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (n / max(n - 1, 1)), momentum)
            self.num_batches_tracked += 1
        scale = torch.rsqrt(var + self.eps) * self.weight
        shift = self.bias - mean * scale
        y: Tensor = (x * scale[:, None, None] + shift[:, None, None]).to(x.dtype)
        return y


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; every process's gradient flows to every summand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape, the same on all processes."""
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The sum of the gradients."""
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def norm_layer(name: NormName, channels: int) -> list[nn.Module]:
    """The layer of a name, or nothing: batch normalisation, or instance normalisation.

    Source of the latter: Ulyanov et al. (2016), equation 4; as in CycleGAN `instance` neither scales nor
    shifts.
    """
    if name == "batch":
        return [BatchNorm2d(channels)]
    if name == "none":
        return []
    return [nn.InstanceNorm2d(channels, affine=name == "instance-affine")]


def has_bias(name: NormName) -> bool:
    """Whether a convolution before such a layer has a bias; the shift of batch normalisation replaces it."""
    return name != "batch"


class ImageNorm2d(nn.InstanceNorm2d):
    """Batch normalisation of each image by its own statistics, which is that of a batch of one.

    Args:
        trained: The layer as it was trained.

    Attributes:
        trained: The same, alone in a tuple: no part of the network, but kept for those who want its averages.
    """

    @torch.no_grad()
    def __init__(self, trained: nn.BatchNorm2d) -> None:
        super().__init__(trained.num_features, eps=trained.eps, affine=True)
        self.weight.copy_(trained.weight)
        self.bias.copy_(trained.bias)
        self.to(trained.weight.device).train(trained.training)
        self.trained = (trained,)


def normalise_by_image(network: nn.Module) -> None:
    """Lets every batch normalisation of a network normalise each image by its own statistics.

    This is what statistics of the batch are for a batch of one image, whatever else is in the batch.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, ImageNorm2d(layer))
