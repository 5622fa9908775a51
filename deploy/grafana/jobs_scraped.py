"""Names of the scrape jobs that rules and dashboards count on; whoever scrapes gives targets these."""

from __future__ import annotations

from typing import Final

GATEWAY: Final = "ganserve-gateway"
WORKER: Final = "ganserve-worker"
TRITON: Final = "ganserve-triton"
TRAINING: Final = "ganserve-training"
