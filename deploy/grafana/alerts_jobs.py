"""Alerts about batch jobs: jobs that stand still, workers, database, storage, webhooks."""

from __future__ import annotations

from deploy.grafana.alert import Alert, Case

JOBS = "ganserve-jobs"

_OPERATION = 'operation="translate", namespace="gan"'
_FOUND = {"operation": "translate", "namespace": "gan"}


def _items(fault: str, outcome: str) -> str:
    return f'ganserve_job_items_total{{fault="{fault}", outcome="{outcome}", {_OPERATION}}}'


JOB_ALERTS = (
    Alert(
        "GanserveJobStuck",
        "ticket",
        "max by (namespace, operation) (ganserve_jobs_stalled_seconds)",
        "> 900",
        "5m",
        "A {{ $labels.operation }} job has stood still for {{ $value | humanizeDuration }}",
        "It was begun and is not done, and in all this time none of its items has begun or ended. Its "
        "results "
        "so far are kept.",
        (
            "Do others move (items a second)? If nothing does: GanserveTritonDown, GanserveJobsDatabaseDown, "
            "GanserveNoWorkers, GanserveJobStorageAway come first.",
            "Find it: `GET /v1/jobs?state=running`, the one whose counts stand still; workers log `job=ID`.",
            "It waits behind jobs of higher priority: that is as asked for; add workers.",
            "Else restart the worker that has its chunk (`kubectl delete pod`): another takes over where "
            "it was. "
            "At worst cancel the job and make it again; `POST /v1/jobs/{job}/retry` does only what failed.",
        ),
        JOBS,
        (
            Case(
                {f"ganserve_jobs_stalled_seconds{{{_OPERATION}}}": "0+60x40"}, labels=_FOUND, value="30m 0s"
            ),
            Case({f"ganserve_jobs_stalled_seconds{{{_OPERATION}}}": "12+0x40"}),
        ),
    ),
    Alert(
        "GanserveJobsWaitLong",
        "ticket",
        "max by (namespace, operation) (ganserve_jobs_oldest_pending_seconds)",
        "> 4 * 3600",
        "15m",
        "The oldest {{ $labels.operation }} job with items that wait is {{ $value | humanizeDuration }} old",
        "Workers do less than is asked for, or one job is very large.",
        (
            "The panel `time until done` says when all of it is done at today's pace.",
            "Add workers (the autoscaler's maximum?) and, if Triton is busy all the time, Tritons.",
            "Interactive traffic goes first by design: batch work keeps a fifth of the turns.",
        ),
        JOBS,
        (
            Case(
                {f"ganserve_jobs_oldest_pending_seconds{{{_OPERATION}}}": "18000+0x40"},
                labels=_FOUND,
                value="5h 0m 0s",
            ),
            Case({f"ganserve_jobs_oldest_pending_seconds{{{_OPERATION}}}": "600+0x40"}),
        ),
    ),
    Alert(
        "GanserveNoWorkers",
        "ticket",
        'max by (namespace) (ganserve_workers{state="running"})',
        "== 0",
        "5m",
        "Jobs wait and no worker runs",
        "Nothing is done until one comes; nothing is lost meanwhile.",
        (
            "`kubectl get pods -l app.kubernetes.io/component=worker`: scaled to nothing, pending, or "
            "crashing?",
            "A worker that cannot begin says in its last log line which setting is wrong.",
            "KEDA scales by ganserve_jobs_pending_items: is its Prometheus reachable?",
        ),
        JOBS,
        (
            Case(
                {
                    'ganserve_workers{state="running", namespace="gan"}': "0+0x40",
                    f"ganserve_jobs_open{{{_OPERATION}}}": "1+0x40",
                },
                labels={"namespace": "gan"},
                value="0",
            ),
            Case(
                {
                    'ganserve_workers{state="running", namespace="gan"}': "0+0x40",
                    f"ganserve_jobs_open{{{_OPERATION}}}": "0+0x40",
                }
            ),
            Case(
                {
                    'ganserve_workers{state="running", namespace="gan"}': "1+0x40",
                    f"ganserve_jobs_open{{{_OPERATION}}}": "3+0x40",
                }
            ),
        ),
        also="and on (namespace) sum by (namespace) (ganserve_jobs_open) > 0",
    ),
    Alert(
        "GanserveWorkersLost",
        "ticket",
        'max by (namespace) (max_over_time(ganserve_workers{state="lost"}[1h]) - '
        'min_over_time(ganserve_workers{state="lost"}[1h]))',
        "> 1",
        "0m",
        "{{ $value }} workers were lost within an hour",
        "They fell silent without saying that they stop: killed for memory, a node that went away, or cut "
        "off "
        "from the database. What they had is taken over; an item that kills workers is given up after some "
        "tries.",
        (
            "`kubectl describe pod`: OOMKilled? Fewer items at a time (GANSERVE_WORKER_CONCURRENCY) or "
            "more memory.",
            "Log lines `item given up` name the item: its input is what to look at.",
        ),
        JOBS,
        (
            Case(
                {'ganserve_workers{state="lost", namespace="gan"}': "0+0x10 1+0x5 3+0x20"},
                labels={"namespace": "gan"},
                value="3",
            ),
            Case({'ganserve_workers{state="lost", namespace="gan"}': "4+0x40"}),
        ),
    ),
    Alert(
        "GanserveWorkerSilent",
        "ticket",
        "max by (namespace, instance) (ganserve_worker_heartbeat_age_seconds)",
        "> 10",
        "1m",
        "{{ $labels.instance }} has not renewed its lease for {{ $value | humanizeDuration }}",
        "After GANSERVE_WORKER_LEASE_SECONDS (15 s) others take its work, and it ends and begins anew.",
        (
            "The database is slow or away: GanserveJobsDatabaseDown.",
            "Only this worker: its node, its network.",
        ),
        JOBS,
        (
            Case(
                {'ganserve_worker_heartbeat_age_seconds{instance="w:1", namespace="gan"}': "0+1x40"},
                labels={"instance": "w:1", "namespace": "gan"},
                value="30s",
            ),
            Case({'ganserve_worker_heartbeat_age_seconds{instance="w:1", namespace="gan"}': "3+0x40"}),
        ),
    ),
    Alert(
        "GanserveJobsDatabaseDown",
        "page",
        "min by (namespace) (ganserve_jobs_database_up)",
        "== 0",
        "1m",
        "The database of jobs does not answer",
        "Calls about jobs get 503 jobs-unavailable and workers pause; all other calls are served.",
        (
            "Is it up, and reached: `psql` from a worker's pod with the URL of GANSERVE_DATABASE_URL.",
            "Full disk, or no connection left: `SELECT count(*) FROM pg_stat_activity` beside "
            "max_connections.",
            "Nothing is to be restarted afterwards: everybody goes on where they were.",
        ),
        JOBS,
        (
            Case(
                {'ganserve_jobs_database_up{instance="a", namespace="gan"}': "1+0x10 0+0x30"},
                labels={"namespace": "gan"},
                value="0",
            ),
            Case({'ganserve_jobs_database_up{instance="a", namespace="gan"}': "1+0x40"}),
        ),
    ),
    Alert(
        "GanserveJobItemsFail",
        "ticket",
        'sum by (namespace, operation) (rate(ganserve_job_items_total{outcome!="cancelled"}[30m]))',
        "> 0.05",
        "10m",
        "{{ $value | humanizePercentage }} of {{ $labels.operation }} items fail, and not for what was sent",
        "Items that fail since their input is no image are not counted: these are faults of the service.",
        (
            "`GET /v1/jobs/{job}/items?state=failed` has the problem of each; the dashboard has them by "
            "outcome.",
            "inference-failed: as GanserveInferenceFailures. output-refused: storage is full, or may not "
            "be written.",
            "Once mended, `POST /v1/jobs/{job}/retry` does the failed ones again.",
        ),
        JOBS,
        (
            Case(
                {_items("server", "inference-failed"): "0+30x60", _items("none", "ok"): "0+30x60"},
                at="50m",
                labels=_FOUND,
                value="50%",
            ),
            Case(
                {_items("client", "image-unreadable"): "0+30x60", _items("none", "ok"): "0+30x60"}, at="50m"
            ),
        ),
        expression=(
            'sum by (namespace, operation) (rate(ganserve_job_items_total{fault="server"}[30m])) / '
            'sum by (namespace, operation) (rate(ganserve_job_items_total{outcome!="cancelled"}[30m])) > 0.05'
        ),
    ),
    Alert(
        "GanserveJobStorageAway",
        "ticket",
        'sum by (namespace) (rate(ganserve_job_item_retries_total{reason="storage-away"}[5m]))',
        "> 0",
        "5m",
        "Items wait for storage",
        "What jobs read or write is away, or full: items are tried again, and given up after "
        "GANSERVE_JOB_PATIENCE_SECONDS.",
        (
            "Log lines with `storage-unavailable` name the place and what it answered.",
            "S3: is the endpoint up, do the credentials hold, is the bucket's quota used up? Folder: `df`.",
        ),
        JOBS,
        (
            Case(
                {f'ganserve_job_item_retries_total{{reason="storage-away", {_OPERATION}}}': "0+2x40"},
                labels={"namespace": "gan"},
                value="0.03333333333333333",
            ),
            Case({f'ganserve_job_item_retries_total{{reason="triton-away", {_OPERATION}}}': "0+2x40"}),
        ),
    ),
    Alert(
        "GanserveWebhooksFail",
        "ticket",
        'sum by (namespace) (rate(ganserve_webhook_deliveries_total{outcome=~"failed|refused"}[30m]))',
        "> 0.01",
        "15m",
        "{{ $value | humanize }} deliveries of webhooks a second fail",
        "Receivers do not answer with 2xx, or may not be called; each message is tried again for days.",
        (
            "Log lines `webhook` name job, status and detail. One receiver alone is down: tell its owner.",
            "refused: the address is not public, or no secret is set; GANSERVE_WEBHOOK_ALLOW, "
            "GANSERVE_WEBHOOK_SECRET.",
            "All fail: egress of the workers (NetworkPolicy, proxy, DNS).",
        ),
        JOBS,
        (
            Case(
                {'ganserve_webhook_deliveries_total{outcome="failed", namespace="gan"}': "0+6x60"},
                at="50m",
                labels={"namespace": "gan"},
                value="100m",
            ),
            Case(
                {'ganserve_webhook_deliveries_total{outcome="delivered", namespace="gan"}': "0+6x60"},
                at="50m",
            ),
        ),
    ),
)
