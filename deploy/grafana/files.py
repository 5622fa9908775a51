"""Everything that is generated, by the path it is written to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deploy.grafana.alerts import GROUPS
from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.rule_files import alert_file, alert_tests, recording_file, recording_tests
from deploy.grafana.runbook import runbook

CHART_FILES: Final = Path("deploy/helm/ganserve/files")
PROMETHEUS: Final = Path("deploy/prometheus")


def generated() -> dict[Path, str]:
    """Contents by path below the root of the repository."""
    rules, tests = CHART_FILES / "rules", PROMETHEUS / "tests"
    above = Path("../../helm/ganserve/files/rules")
    files = {
        rules / "recording.yaml": recording_file(),
        tests / "recording_test.yaml": recording_tests(str(above / "recording.yaml")),
        PROMETHEUS / "runbook.md": runbook(),
    }
    for group in GROUPS:
        files[rules / f"{group}.yaml"] = alert_file(group)
        files[tests / f"{group}_test.yaml"] = alert_tests(group, str(above / f"{group}.yaml"))
    for dashboard in DASHBOARDS:
        text = json.dumps(dashboard.as_json(), indent=1, ensure_ascii=False) + "\n"
        files[CHART_FILES / "dashboards" / f"{dashboard.uid}.json"] = text
    return files
