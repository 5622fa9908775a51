"""All dashboards."""

from __future__ import annotations

from typing import Final

from deploy.grafana.jobs_board import JOBS
from deploy.grafana.models_board import MODELS
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.training_board import TRAINING

DASHBOARDS: Final = (OVERVIEW, MODELS, JOBS, TRAINING)
