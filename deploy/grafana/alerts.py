"""All alerts, in groups as Prometheus evaluates them."""

from __future__ import annotations

from typing import Final

from deploy.grafana.alert import Alert
from deploy.grafana.alerts_gateways import GATEWAY_ALERTS
from deploy.grafana.alerts_jobs import JOB_ALERTS
from deploy.grafana.alerts_models import MODEL_ALERTS
from deploy.grafana.alerts_objectives import OBJECTIVE_ALERTS
from deploy.grafana.alerts_training import TRAINING_ALERTS

GROUPS: Final[dict[str, tuple[Alert, ...]]] = {
    "objectives": OBJECTIVE_ALERTS,
    "gateways": GATEWAY_ALERTS,
    "models": MODEL_ALERTS,
    "jobs": JOB_ALERTS,
    "training": TRAINING_ALERTS,
}
ALERTS: Final = tuple(alert for group in GROUPS.values() for alert in group)
