"""A pool of past fakes, so that a discriminator does not forget what the generator made some time ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from training.engine import Engine


class ImagePool:
    """Keeps some past images and hands out new and old ones in equal shares.

    Each image that comes in while the pool is full is handed on, or, half the time, changes places with one
    drawn from the pool. The images of a step come in one after the other in the order of the whole batch, and
    every process keeps the same pool; so it holds the same whatever number of processes share the batch.
    Source: Shrivastava et al. (CVPR 2017), section 2.3; Zhu et al. (ICCV 2017), section 4, with 50 images.

    Args:
        size: Images kept; 0 hands on what comes in.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor, engine: Engine) -> Tensor:
        """Puts this process's new images in and takes as many out, [n, C, H, W], without gradients."""
        images = images.detach()
        if self.size == 0:
            return images
        draws = _of_all_processes(engine.rand(len(images), 2), engine).tolist()
        result = []
        for image, (swap, place) in zip(_of_all_processes(images, engine), draws, strict=True):
            if len(self.images) < self.size:
                self.images.append(image.clone())
                result.append(image)
            elif swap < 0.5:
                result.append(self.images[int(place * self.size)])
                self.images[int(place * self.size)] = image.clone()
            else:
                result.append(image)
        return torch.stack(result[engine.part])

    def state_dict(self) -> dict[str, Any]:
        """The images in the pool, [k, C, H, W]; nothing while it is empty."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def load_state_dict(self, state: Mapping[str, Any], engine: Engine) -> None:
        """Takes up the state of a checkpoint."""
        self.images = list(state["images"].to(engine.device).unbind()) if "images" in state else []


def _of_all_processes(mine: Tensor, engine: Engine) -> Tensor:
    """The rows of the whole batch, of which each process has its stride."""
    if engine.world_size == 1:
        return mine
    everyone = [torch.empty_like(mine) for _ in range(engine.world_size)]
    dist.all_gather(everyone, mine.contiguous())
    return torch.stack(everyone, dim=1).flatten(0, 1)
