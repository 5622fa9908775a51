"""The tiles of photographs, sent straight to Triton."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from service.cards import read_triton_model, single_model
from service.settings import Settings
from service.tile_inference import grid_for
from service.tiling import cut

_AT_A_TIME = 16
_OPTIONS = [("grpc.max_receive_message_length", 1 << 28), ("grpc.max_send_message_length", 1 << 28)]


class TileLoad:
    """Requests ready to be sent, the very tiles that a job makes of the photographs.

    Attributes:
        count: How many.
        shape: Height and width of the first.
    """

    def __init__(self, url: str, model: str, photographs: Sequence[Path]) -> None:
        """Decodes the photographs and cuts them.

        Args:
            url: Of Triton.
            model: The upscaler.
            photographs: The files.
        """
        self._url = url
        with grpc.insecure_channel(url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=model)).config
        served = single_model(read_triton_model(config, "1"))
        self._requests: list[Any] = []
        for path in photographs:
            image = np.asarray(Image.open(path).convert("RGB"))
            grid = grid_for(served, *image.shape[:2], Settings().upscale_tile)
            self.shape = grid.tile_shape
            for row in grid.rows:
                for column in grid.columns:
                    tile = np.ascontiguousarray(cut(image, row, column))[None]
                    asked = service_pb2.ModelInferRequest(model_name=model)
                    asked.inputs.add(name="source", datatype="UINT8", shape=tile.shape)
                    asked.raw_input_contents.append(tile.tobytes())
                    asked.outputs.add(name="images")
                    self._requests.append(asked)
        self.count = len(self._requests)

    def send(self, count: int | None = None) -> tuple[float, float]:
        """Sends them, sixteen at a time.

        Args:
            count: Only so many of them.

        Returns:
            Seconds until the last answer, and of this process's CPU.
        """
        cpu, started = time.process_time(), time.perf_counter()
        asyncio.run(self._send(self._requests[:count]))
        return time.perf_counter() - started, time.process_time() - cpu

    async def _send(self, requests: Sequence[Any]) -> None:
        async with grpc.aio.insecure_channel(self._url, options=_OPTIONS) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            left = iter(requests)

            async def client() -> None:
                for asked in left:
                    await stub.ModelInfer(asked)

            await asyncio.gather(*(client() for _ in range(_AT_A_TIME)))
