"""LitServe with its own batching.

python -m tests.benchmarks.others.litserve_server PORT REPOSITORY MODEL
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
from fastapi import Response

from tests.benchmarks.others.model import Model, png


class Generate(litserve.LitAPI):
    """A seed to a PNG."""

    def __init__(self, repository: str, name: str) -> None:
        super().__init__(max_batch_size=16, batch_timeout=0.005)
        self.where = (repository, name)

    def setup(self, device: Any) -> None:
        """In the process that computes."""
        self.generator = Model(*self.where)

    def decode_request(self, request: dict[str, int]) -> int:
        """The seed."""
        return request["seed"]

    def batch(self, inputs: list[int]) -> list[int]:
        """Seeds of several requests."""
        return inputs

    def predict(self, seeds: list[int]) -> np.ndarray:
        """Their images."""
        return self.generator.images(seeds)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """One for each."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> Response:
        """A file."""
        return Response(png(output), media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(
        Generate(*sys.argv[2:4]), accelerator="cpu", devices=1, workers_per_device=1, timeout=120
    )
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
