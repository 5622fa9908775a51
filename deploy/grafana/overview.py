"""The dashboard `Overview`: are promises kept, what is asked, how fast, and how full everything is."""

from __future__ import annotations

from typing import Final

from deploy.grafana.objectives import NOT_SERVED, OBJECTIVES, PAGED, TICKETED
from deploy.grafana.panels import PLAIN, Dashboard, Panel, Query, Row
from deploy.grafana.parts import (
    ALERTS_MARK,
    JOB,
    JOB_VARIABLE,
    MODEL,
    MODEL_VARIABLE,
    NAMESPACE,
    NAMESPACE_VARIABLE,
    UP_OR_DOWN,
    VERSIONS_MARK,
    mean,
    quantile,
    rate,
)

_SERVED: Final = f'{NAMESPACE}, {JOB}, operation!~"{NOT_SERVED}"'
_OF_MODEL: Final = f'{_SERVED}, model=~"$model|"'
"""Calls that name no model, such as those about jobs, are counted with any choice of models."""
_PROCESS: Final = f"{NAMESPACE}, {JOB}"
_SERVER: Final = ', fault="server"'
_NOT_CLIENT: Final = ', fault!="client"'
_MODEL_OR_NONE: Final = 'model=~"$model|none"'
"""Uploads and verifications are refused before any model is known."""

_OBJECTIVE_STATS: Final = [
    Panel(
        "stat",
        objective.title.partition(" (")[0],
        f"{objective.description} The goal is {objective.goal:.2%}, over 30 days.",
        "percentunit",
        [Query(f'ganserve:slo_good:ratio30d{{{NAMESPACE}, objective="{objective.name}"}}', objective.name)],
        width=4,
        height=5,
        thresholds=(
            (None, "red"),
            (objective.goal, "orange"),
            (1 - (1 - objective.goal) * 0.75, "green"),
        ),
        minimum=None,
        decimals=3,
    )
    for objective in OBJECTIVES
]

_OBJECTIVES: Final = Row(
    "Objectives",
    [
        *_OBJECTIVE_STATS,
        Panel(
            "stat",
            "Alerts",
            "Alerts that fire now. What to do is in the runbook, one section each.",
            "short",
            [Query('count(ALERTS{alertstate="firing", alertname=~"Ganserve.*"}) or vector(0)', "firing")],
            width=4,
            height=5,
            thresholds=((None, "green"), (1, "red")),
        ),
        Panel(
            "stat",
            "Triton",
            "Whether every gateway and worker reaches its Triton.",
            "short",
            [Query(f"min(ganserve_triton_up{{{_PROCESS}}})", "Triton")],
            width=4,
            height=5,
            thresholds=((None, "red"), (1, "green")),
            words=UP_OR_DOWN,
        ),
        Panel(
            "stat",
            "Models",
            "Models that take traffic.",
            "short",
            [Query(f"max(ganserve_models{{{_PROCESS}}})", "models")],
            width=4,
            height=5,
            thresholds=((None, "red"), (1, "green")),
        ),
        Panel(
            "bargauge",
            "Error budget left",
            "Of what may fail, or be slow, in 30 days. Below a quarter, put off what is risky; below 0 the "
            "objective is missed.",
            "percentunit",
            [Query(f"ganserve:slo_budget:left30d{{{NAMESPACE}}}", "{{objective}}")],
            width=8,
            thresholds=((None, "red"), (0.0, "orange"), (0.25, "green")),
            maximum=1,
        ),
        Panel(
            "timeseries",
            "Burn rate over an hour",
            "How many times faster than allowed the error budget is spent. 1 spends all of it in 30 days; at "
            f"{PAGED[0].rate:g} somebody is woken.",
            "short",
            [Query(f"ganserve:slo_burn:rate1h{{{NAMESPACE}}}", "{{objective}}")],
            thresholds=((None, "green"), (TICKETED[1].rate, "orange"), (PAGED[0].rate, "red")),
            lines=True,
        ),
        Panel(
            "timeseries",
            "Burn rate over six hours and three days",
            "The slow burn, which makes tickets: above 1 the objective will be missed.",
            "short",
            [
                Query(f"ganserve:slo_burn:rate6h{{{NAMESPACE}}}", "{{objective}}, 6 h"),
                Query(f"ganserve:slo_burn:rate3d{{{NAMESPACE}}}", "{{objective}}, 3 d"),
            ],
            thresholds=((None, "green"), (TICKETED[1].rate, "orange"), (PAGED[1].rate, "red")),
            lines=True,
        ),
    ],
)

_TRAFFIC: Final = Row(
    "Traffic",
    [
        Panel(
            "timeseries",
            "Requests by operation",
            "Requests answered a second, probes left out.",
            "reqps",
            [Query(rate("ganserve_requests_total", _OF_MODEL, "operation"), "{{operation}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "What did not go well",
            "By problem type and whose fault it was. Only `server` spends error budget; `client` is bad "
            "requests, limits and hung-up connections.",
            "reqps",
            [
                Query(
                    rate(
                        "ganserve_requests_total",
                        f'{_OF_MODEL}, outcome!~"ok|not-modified"',
                        "outcome",
                        "fault",
                    ),
                    "{{outcome}} ({{fault}})",
                )
            ],
        ),
        Panel(
            "timeseries",
            "Share that fails",
            "Of all requests but those that fail by the client's own fault.",
            "percentunit",
            [
                Query(
                    f"({rate('ganserve_requests_total', _OF_MODEL + _SERVER)} or vector(0)) / "
                    f"({rate('ganserve_requests_total', _OF_MODEL + _NOT_CLIENT)} > 0)",
                    "failed",
                )
            ],
            thresholds=((None, "green"), (0.001, "orange"), (0.01, "red")),
            lines=True,
        ),
        Panel(
            "timeseries",
            "Images by model",
            "Images, or tiles, that Triton computed a second, batch jobs included.",
            "ops",
            [Query(rate("ganserve_images_total", f"{_PROCESS}, {MODEL}", "model"), "{{model}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Calls by key",
            "The ten keys that call most; `anonymous` where no key is asked for.",
            "reqps",
            [Query(f"topk(10, {rate('ganserve_calls_total', _PROCESS, 'caller')})", "{{caller}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Refused for overload",
            "Calls a second that got 503 and a Retry-After, by model and whose queue was full.",
            "reqps",
            [
                Query(
                    rate("ganserve_rejected_total", f"{_PROCESS}, {_MODEL_OR_NONE}", "model", "reason"),
                    "{{model}}: {{reason}}",
                )
            ],
            thresholds=((None, "green"), (0.1, "red")),
            lines=True,
        ),
    ],
)

_LATENCY: Final = Row(
    "Latency",
    [
        Panel(
            "timeseries",
            "From headers to last byte",
            "Half, 95 % and 99 % of requests are faster. Points are traces.",
            "s",
            [
                Query(
                    quantile(share, "ganserve_request_seconds", _OF_MODEL),
                    f"p{share * 100:g}",
                    exemplars=True,
                )
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        Panel(
            "timeseries",
            "p95 by operation",
            "95 % of requests to the operation are faster than this.",
            "s",
            [
                Query(
                    quantile(0.95, "ganserve_request_seconds", _OF_MODEL, "operation"),
                    "{{operation}}",
                    exemplars=True,
                )
            ],
        ),
        Panel(
            "timeseries",
            "p50 and p99 by operation",
            "The usual case, and the worst in a hundred.",
            "s",
            [
                Query(quantile(0.5, "ganserve_request_seconds", _OF_MODEL, "operation"), "{{operation}} p50"),
                Query(
                    quantile(0.99, "ganserve_request_seconds", _OF_MODEL, "operation"),
                    "{{operation}} p99",
                    exemplars=True,
                ),
            ],
        ),
        Panel(
            "heatmap",
            "All requests by how long they took",
            "Each column is a moment; dark is many. Two bands mean two kinds of requests.",
            "s",
            [Query(rate("ganserve_request_seconds_bucket", _OF_MODEL, "le"), "{{le}}", exemplars=True)],
            width=12,
        ),
        Panel(
            "timeseries",
            "Where the time goes",
            "Means: waiting in the gateway's queue, in Triton (its queue included), and making files of "
            "pixels.",
            "s",
            [
                Query(mean("ganserve_queue_seconds", f"{_PROCESS}, {MODEL}"), "queue"),
                Query(mean("ganserve_infer_seconds", f"{_PROCESS}, {MODEL}"), "Triton"),
                Query(mean("ganserve_encode_seconds", _PROCESS), "encode"),
            ],
            width=12,
            stacked=True,
        ),
    ],
)

_SATURATION: Final = Row(
    "How full it is",
    [
        Panel(
            "timeseries",
            "Queue by model",
            "Images admitted, of those that may be. At 100 % further calls are refused.",
            "percentunit",
            [
                Query(
                    f"max by (model) (ganserve_queue_depth{{{_PROCESS}, {MODEL}}} / ganserve_queue_limit)",
                    "{{model}}",
                )
            ],
            thresholds=((None, "green"), (0.7, "orange"), (0.9, "red")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "timeseries",
            "Requests in flight and connections",
            "Requests being worked on, connections of clients (idle ones included), and those that were "
            "closed since the client did not read its answer.",
            "short",
            [
                Query(f"sum(ganserve_requests_in_flight{{{_PROCESS}}})", "in flight"),
                Query(f"sum(ganserve_connections{{{_PROCESS}}})", "connections"),
                Query(rate("ganserve_unread_connections_total", _PROCESS), "closed unread, a second"),
            ],
        ),
        Panel(
            "timeseries",
            "Processor by process",
            "Cores in use. A gateway uses one at most for Python, and more for encoding.",
            "short",
            [Query(rate("process_cpu_seconds_total", _PROCESS, "job", "instance"), "{{job}} {{instance}}")],
        ),
        Panel(
            "timeseries",
            "Memory by process",
            "Resident memory. It rises with uploads and large images and falls again.",
            "bytes",
            [Query(f"process_resident_memory_bytes{{{_PROCESS}}}", "{{job}} {{instance}}")],
        ),
        Panel(
            "timeseries",
            "Connections and files, of their limits",
            "Of the connections that a gateway may hold, and of the files that a process may open. Beyond "
            "the first, clients get 503; beyond the second, nothing works.",
            "percentunit",
            [
                Query(
                    f"ganserve_connections{{{_PROCESS}}} / (ganserve_connections_limit > 0)",
                    "connections of {{instance}}",
                ),
                Query(f"process_open_fds{{{_PROCESS}}} / process_max_fds", "files of {{job}} {{instance}}"),
            ],
            thresholds=((None, "green"), (0.8, "red")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "stat",
            "Signing certificate",
            "Until it expires; from then on nothing can be signed. Nothing where none is configured.",
            "s",
            [
                Query(
                    f"min(ganserve_signing_certificate_expires_timestamp_seconds{{{_PROCESS}}} - time())",
                    "left",
                )
            ],
            width=4,
            thresholds=((None, "red"), (14 * 86400, "orange"), (30 * 86400, "green")),
            minimum=None,
        ),
        Panel(
            "stat",
            "Versions",
            "What is running; two of them during a rollout.",
            "short",
            [Query(f"count by (version) (ganserve_build_info{{{_PROCESS}}})", "{{version}}")],
            width=4,
            thresholds=PLAIN,
            names_only=True,
        ),
    ],
)

OVERVIEW: Final = Dashboard(
    "ganserve-overview",
    "ganserve: Overview",
    "Whether what is promised is kept, what is asked, how fast it is answered, and how full everything is.",
    [NAMESPACE_VARIABLE, JOB_VARIABLE, MODEL_VARIABLE],
    [_OBJECTIVES, _TRAFFIC, _LATENCY, _SATURATION],
    [ALERTS_MARK, VERSIONS_MARK],
)
