"""FastAPI and ONNX Runtime in one process; one image a request, in FastAPI's threads.

python -m tests.benchmarks.others.plain_fastapi PORT REPOSITORY MODEL
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

from tests.benchmarks.others.model import Model, png


class Seed(BaseModel):
    """What is asked for."""

    seed: int


def create_app(repository: str, name: str) -> FastAPI:
    """The application."""
    app, model = FastAPI(), Model(repository, name)

    @app.post("/predict")
    def predict(body: Seed) -> Response:
        return Response(png(model.images([body.seed])[0]), media_type="image/png")

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(*sys.argv[2:4]), port=int(sys.argv[1]), log_level="warning")
