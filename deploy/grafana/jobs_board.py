"""The dashboard `Batch jobs`: what waits, how fast it is done, who does it, what fails."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import PLAIN, Dashboard, Panel, Query, Row, Variable
from deploy.grafana.parts import (
    ALERTS_MARK,
    NAMESPACE,
    NAMESPACE_VARIABLE,
    UP_OR_DOWN,
    WINDOW,
    mean,
    quantile,
    rate,
)

_OPERATION: Final = f'{NAMESPACE}, operation=~"$operation"'


def _known(metric: str, aggregate: str = "sum") -> str:
    """Every process shows the same of the database: the maximum, not the sum, of processes."""
    return f"{aggregate}(max by (namespace, operation) ({metric}{{{_OPERATION}}}))"


def _by_operation(metric: str) -> str:
    return f"max by (operation) ({metric}{{{_OPERATION}}})"


_BACKLOG: Final = Row(
    "What waits",
    [
        Panel(
            "stat",
            "Open jobs",
            "Jobs that have not ended.",
            "short",
            [Query(_known("ganserve_jobs_open"), "open")],
            width=4,
            height=5,
            thresholds=PLAIN,
        ),
        Panel(
            "stat",
            "Items that wait",
            "Of all jobs. Workers are scaled by this.",
            "short",
            [Query(_known("ganserve_jobs_pending_items"), "waiting")],
            width=4,
            height=5,
            thresholds=PLAIN,
        ),
        Panel(
            "stat",
            "Time until done",
            "Of what waits and runs, at the pace of the last minutes. Nothing while nothing is done.",
            "s",
            [
                Query(
                    f"({_known('ganserve_jobs_pending_items')} + {_known('ganserve_jobs_running_items')}) / "
                    f"({rate('ganserve_job_items_total', _OPERATION)} > 0)",
                    "left",
                )
            ],
            width=4,
            height=5,
            thresholds=((None, "green"), (4 * 3600, "orange")),
        ),
        Panel(
            "stat",
            "Standing still",
            "Of the begun job that stands still for longest: since one of its items began or ended.",
            "s",
            [Query(_known("ganserve_jobs_stalled_seconds", "max"), "standing still")],
            width=4,
            height=5,
            thresholds=((None, "green"), (300, "orange"), (900, "red")),
        ),
        Panel(
            "stat",
            "Workers",
            "That take work now.",
            "short",
            [Query(f'max(ganserve_workers{{{NAMESPACE}, state="running"}})', "running")],
            width=4,
            height=5,
            thresholds=((None, "red"), (1, "green")),
        ),
        Panel(
            "stat",
            "Database",
            "Whether the database of jobs answers all gateways and workers.",
            "short",
            [Query(f"min(ganserve_jobs_database_up{{{NAMESPACE}}})", "database")],
            width=4,
            height=5,
            thresholds=((None, "red"), (1, "green")),
            words=UP_OR_DOWN,
        ),
        Panel(
            "timeseries",
            "Items that wait, and run",
            "By operation. Running is bounded by workers times their concurrency.",
            "short",
            [
                Query(_by_operation("ganserve_jobs_pending_items"), "{{operation}} waiting"),
                Query(_by_operation("ganserve_jobs_running_items"), "{{operation}} running"),
            ],
        ),
        Panel(
            "timeseries",
            "How old the oldest is",
            "Age of the oldest job of which items wait; and how long the begun job that is slowest to move "
            "has "
            "stood still.",
            "s",
            [
                Query(_by_operation("ganserve_jobs_oldest_pending_seconds"), "{{operation}} oldest"),
                Query(_by_operation("ganserve_jobs_stalled_seconds"), "{{operation}} standing still"),
            ],
            thresholds=((None, "green"), (900, "orange"), (4 * 3600, "red")),
        ),
        Panel(
            "timeseries",
            "Jobs",
            "That have not ended, and of these those whose sources are still being listed.",
            "short",
            [
                Query(_by_operation("ganserve_jobs_open"), "{{operation}} open"),
                Query(_by_operation("ganserve_jobs_unlisted"), "{{operation}} being listed"),
            ],
        ),
    ],
)

_DONE: Final = Row(
    "What is done",
    [
        Panel(
            "timeseries",
            "Items done",
            "That ended well, a second, by operation.",
            "ops",
            [
                Query(
                    rate("ganserve_job_items_total", f'{_OPERATION}, outcome="ok"', "operation"),
                    "{{operation}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Items that failed",
            "By problem type and whose fault: `client` is what was sent, `server` is ours.",
            "ops",
            [
                Query(
                    rate("ganserve_job_items_total", f'{_OPERATION}, outcome!="ok"', "outcome", "fault"),
                    "{{outcome}} ({{fault}})",
                )
            ],
        ),
        Panel(
            "timeseries",
            "Items done again",
            "Since they failed, were lost with their worker, or Triton or storage was away.",
            "ops",
            [Query(rate("ganserve_job_item_retries_total", _OPERATION, "reason"), "{{reason}}")],
        ),
        Panel(
            "timeseries",
            "How long an item takes",
            "From the start of its last attempt until its end was recorded.",
            "s",
            [
                Query(
                    quantile(share, "ganserve_job_item_seconds", _OPERATION, "operation"),
                    f"{{{{operation}}}} p{n}",
                )
                for share, n in ((0.5, 50), (0.95, 95))
            ],
        ),
        Panel(
            "timeseries",
            "Where an item's time goes",
            "Means of its stages: waiting for its turn, reading the source, Triton, encoding, writing.",
            "s",
            [Query(mean("ganserve_job_stage_seconds", _OPERATION, "stage"), "{{stage}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Jobs that ended",
            "A minute, by how. A job fails if all its items do, or its sources cannot be listed.",
            "short",
            [
                Query(f"60 * {rate('ganserve_jobs_total', _OPERATION, 'outcome')}", "{{outcome}}"),
            ],
        ),
    ],
)

_WORKERS: Final = Row(
    "Workers",
    [
        Panel(
            "timeseries",
            "Workers by state",
            "Running, draining, and lost: those that fell silent within a day and did not say that they "
            "stop.",
            "short",
            [Query(f"max by (state) (ganserve_workers{{{NAMESPACE}}})", "{{state}}")],
        ),
        Panel(
            "timeseries",
            "Busy",
            "Items that run, of those that all running workers together do at a time.",
            "percentunit",
            [
                Query(
                    f"{_known('ganserve_jobs_running_items')} / "
                    f"(max(ganserve_workers_concurrency{{{NAMESPACE}}}) > 0)",
                    "busy",
                ),
            ],
        ),
        Panel(
            "timeseries",
            "Chunks by worker",
            "Pieces of jobs that each worker has in hand.",
            "short",
            [Query(f"ganserve_job_chunks_running{{{NAMESPACE}}}", "{{instance}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Heartbeat",
            "Since each worker renewed its lease. At 15 s others take its work.",
            "s",
            [Query(f"ganserve_worker_heartbeat_age_seconds{{{NAMESPACE}}}", "{{instance}}")],
            thresholds=((None, "green"), (10, "red")),
            lines=True,
        ),
        Panel(
            "timeseries",
            "Taken over from lost workers",
            "Chunks that were queued again since their worker fell silent.",
            "short",
            [Query(f"sum(increase(ganserve_job_chunks_taken_over_total{{{NAMESPACE}}}{WINDOW}))", "chunks")],
        ),
        Panel(
            "timeseries",
            "Memory of workers",
            "Resident, by worker.",
            "bytes",
            [Query(f'process_resident_memory_bytes{{{NAMESPACE}, job="ganserve-worker"}}', "{{instance}}")],
        ),
    ],
)

_WEBHOOKS: Final = Row(
    "Webhooks",
    [
        Panel(
            "timeseries",
            "Attempts",
            "By outcome: delivered, gone (410: no more are made), refused (no public address), failed "
            "(again later).",
            "ops",
            [Query(rate("ganserve_webhook_deliveries_total", NAMESPACE, "outcome"), "{{outcome}}")],
            width=12,
        ),
        Panel(
            "timeseries",
            "How long receivers take",
            "Of one attempt.",
            "s",
            [
                Query(quantile(0.5, "ganserve_webhook_seconds", NAMESPACE), "p50"),
                Query(quantile(0.95, "ganserve_webhook_seconds", NAMESPACE), "p95"),
            ],
            width=12,
        ),
    ],
)

JOBS: Final = Dashboard(
    "ganserve-jobs",
    "ganserve: Batch jobs",
    "What waits, how fast it is done and who does it, what fails, and whom it is told.",
    [
        NAMESPACE_VARIABLE,
        Variable("operation", "Operation", f"label_values(ganserve_jobs_open{{{NAMESPACE}}}, operation)"),
    ],
    [_BACKLOG, _DONE, _WORKERS, _WEBHOOKS],
    [ALERTS_MARK],
)
