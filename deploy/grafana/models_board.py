"""The dashboard `Models & Triton`: which models serve, what each costs, and the machine under them."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import GOOD, Dashboard, Panel, Query, Row
from deploy.grafana.parts import (
    ALERTS_MARK,
    JOB,
    JOB_VARIABLE,
    MODEL,
    MODEL_VARIABLE,
    NAMESPACE,
    NAMESPACE_VARIABLE,
    TRITON_MODEL,
    UP_OR_DOWN,
    VERSIONS_MARK,
    WINDOW,
    quantile,
    rate,
)

_KNOWN: Final = f"{NAMESPACE}, {JOB}, {MODEL}"
_IN_TRITON: Final = f"{NAMESPACE}, {TRITON_MODEL}"
_BAD_IF_ANY: Final = ((None, "green"), (1, "red"))


def _count(state: str) -> str:
    return f'sum(max by (model) (ganserve_model_state{{{_KNOWN}, state="{state}"}}))'


def _stat(title: str, description: str, expression: str, alarming: bool = True) -> Panel:
    return Panel(
        "stat",
        title,
        description,
        "short",
        [Query(expression, title.lower())],
        width=4,
        height=5,
        thresholds=_BAD_IF_ANY if alarming else ((None, "red"), (1, "green")),
    )


_STATES: Final = Row(
    "State",
    [
        Panel(
            "stat",
            "Triton",
            "Whether gateways and workers reach it.",
            "short",
            [Query(f"min(ganserve_triton_up{{{NAMESPACE}, {JOB}}})", "Triton")],
            width=4,
            height=5,
            thresholds=((None, "red"), (1, "green")),
            words=UP_OR_DOWN,
        ),
        _stat("Ready", "Models whose newest version serves.", _count("READY"), alarming=False),
        _stat(
            "Refused",
            "Models whose newest version does not make the pixels its card says; an older one may serve.",
            _count("REFUSED"),
        ),
        _stat("Failing", "Models that are out of service since their calls fail.", _count("FAILING")),
        _stat(
            "Without a card",
            "Models that Triton has loaded and nobody can call.",
            f"max(ganserve_models_misfit{{{NAMESPACE}, {JOB}}})",
        ),
        Panel(
            "stat",
            "Not exact",
            "Models whose pixels are close to their card's and not the same: another runtime or processor.",
            "short",
            [Query(f'sum(max by (model) (ganserve_model_golden{{{_KNOWN}, match="close"}}))', "close")],
            width=4,
            height=5,
            thresholds=((None, "green"), (1, "orange")),
        ),
        Panel(
            "table",
            "Models",
            "The version that serves, the state of the newest one, and how well its pixels agree with its "
            "card.",
            "short",
            [
                Query(f"max by (model, version) (ganserve_model_info{{{_KNOWN}}})", table=True),
                Query(f"max by (model, state) (ganserve_model_state{{{_KNOWN}}} == 1)", table=True),
                Query(f"max by (model, match) (ganserve_model_golden{{{_KNOWN}}} == 1)", table=True),
            ],
            join="model",
            columns={"model": "Model", "version": "Version", "state": "State", "match": "Pixels"},
        ),
        Panel(
            "state-timeline",
            "Out of service",
            "When a model took no traffic since its calls failed as if its process had died.",
            "short",
            [Query(f"max by (model) (ganserve_breaker_state{{{_KNOWN}}})", "{{model}}")],
            thresholds=_BAD_IF_ANY,
            words={"0": ("serves", "green"), "1": ("out", "red")},
        ),
        Panel(
            "timeseries",
            "Images by model",
            "Images, or tiles of them, computed a second.",
            "ops",
            [Query(rate("ganserve_images_total", _KNOWN, "model"), "{{model}}")],
            stacked=True,
        ),
    ],
)

_GATEWAY: Final = Row(
    "As the gateway sees it",
    [
        Panel(
            "timeseries",
            "Queue",
            "Images admitted, waiting and running, of all gateways and workers.",
            "short",
            [Query(f"sum by (model) (ganserve_queue_depth{{{_KNOWN}}})", "{{model}}")],
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Wait before Triton",
            "From admission until the images are sent to Triton. It is what autoscaling goes by.",
            "s",
            [
                Query(quantile(0.5, "ganserve_queue_seconds", _KNOWN, "model"), "{{model}} p50"),
                Query(
                    quantile(0.95, "ganserve_queue_seconds", _KNOWN, "model"), "{{model}} p95", exemplars=True
                ),
            ],
        ),
        Panel(
            "timeseries",
            "A batch in Triton",
            "From sending until the pixels are there: Triton's own queue, compute, and the way.",
            "s",
            [
                Query(quantile(0.5, "ganserve_infer_seconds", _KNOWN, "model"), "{{model}} p50"),
                Query(
                    quantile(0.95, "ganserve_infer_seconds", _KNOWN, "model"), "{{model}} p95", exemplars=True
                ),
            ],
        ),
        Panel(
            "timeseries",
            "Pixels to files",
            "Hashing and encoding of one answer.",
            "s",
            [
                Query(
                    quantile(0.95, "ganserve_encode_seconds", f"{NAMESPACE}, {JOB}", "format"),
                    "{{format}} p95",
                    exemplars=True,
                )
            ],
        ),
        Panel(
            "timeseries",
            "Refused for overload",
            "Calls a second that found the gateway's queue, or Triton's, full.",
            "reqps",
            [Query(rate("ganserve_rejected_total", _KNOWN, "model", "reason"), "{{model}}: {{reason}}")],
            thresholds=((None, "green"), (0.1, "red")),
            lines=True,
        ),
        Panel(
            "timeseries",
            "Queue, of its limit",
            "At 100 % further calls are refused.",
            "percentunit",
            [Query(f"max by (model) (ganserve_queue_depth{{{_KNOWN}}} / ganserve_queue_limit)", "{{model}}")],
            thresholds=((None, "green"), (0.7, "orange"), (0.9, "red")),
            lines=True,
            maximum=1,
        ),
    ],
)


def _mean_us(metric: str) -> str:
    every = rate("nv_inference_request_success", _IN_TRITON, "model")
    return f"{rate(metric, _IN_TRITON, 'model')} / ({every} > 0) / 1e6"


_TRITON: Final = Row(
    "As Triton sees it",
    [
        Panel(
            "timeseries",
            "Requests by Triton model",
            "Inferences a second; a generator is two models, mapping and synthesis.",
            "reqps",
            [Query(rate("nv_inference_request_success", _IN_TRITON, "model"), "{{model}}")],
        ),
        Panel(
            "timeseries",
            "Images a batch",
            "How many Triton computed together, on average. More is more throughput, up to max_batch_size.",
            "short",
            [
                Query(
                    f"{rate('nv_inference_count', _IN_TRITON, 'model')} / "
                    f"({rate('nv_inference_exec_count', _IN_TRITON, 'model')} > 0)",
                    "{{model}}",
                )
            ],
        ),
        Panel(
            "timeseries",
            "Waiting within Triton",
            "The mean of a request. Gateways keep their queues outside, so much of it means too few "
            "instances.",
            "s",
            [Query(_mean_us("nv_inference_queue_duration_us"), "{{model}}")],
            thresholds=((None, "green"), (0.5, "red")),
            lines=True,
        ),
        Panel(
            "timeseries",
            "Computing",
            "The mean of a request: copying inputs, the model itself, copying outputs.",
            "s",
            [
                Query(_mean_us("nv_inference_compute_input_duration_us"), "{{model}}: inputs"),
                Query(_mean_us("nv_inference_compute_infer_duration_us"), "{{model}}: model"),
                Query(_mean_us("nv_inference_compute_output_duration_us"), "{{model}}: outputs"),
            ],
        ),
        Panel(
            "timeseries",
            "Requests that wait in Triton",
            "Not begun yet, by model.",
            "short",
            [Query(f"sum by (model) (nv_inference_pending_request_count{{{_IN_TRITON}}})", "{{model}}")],
        ),
        Panel(
            "timeseries",
            "Failures in Triton",
            "By reason: BACKEND is the model itself, CANCELED a client that hung up, REJECTED a full queue.",
            "reqps",
            [
                Query(
                    rate("nv_inference_request_failure", _IN_TRITON, "model", "reason"),
                    "{{model}}: {{reason}}",
                )
            ],
        ),
        Panel(
            "timeseries",
            "Whole requests",
            "The mean from arrival in Triton to the answer.",
            "s",
            [Query(_mean_us("nv_inference_request_duration_us"), "{{model}}")],
            width=12,
        ),
        Panel(
            "timeseries",
            "Answers from the response cache",
            "Share of requests that needed no computing, where a model has the cache enabled.",
            "percentunit",
            [
                Query(
                    f"{rate('nv_cache_num_hits_per_model', _IN_TRITON, 'model')} / "
                    f"({rate('nv_inference_request_success', _IN_TRITON, 'model')} > 0)",
                    "{{model}}",
                )
            ],
            width=12,
            maximum=1,
        ),
    ],
)

_MACHINE: Final = Row(
    "The machine",
    [
        Panel(
            "timeseries",
            "GPU",
            "Share of the time in which an NVIDIA GPU computed. Near 100 % for long: that is all it can do.",
            "percentunit",
            [Query(f"nv_gpu_utilization{{{NAMESPACE}}}", "{{instance}} {{gpu_uuid}}")],
            width=6,
            thresholds=((None, "green"), (0.95, "orange")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "timeseries",
            "GPU memory",
            "Of NVIDIA GPUs: in use, and all there is.",
            "bytes",
            [
                Query(f"nv_gpu_memory_used_bytes{{{NAMESPACE}}}", "{{instance}} {{gpu_uuid}} used"),
                Query(f"nv_gpu_memory_total_bytes{{{NAMESPACE}}}", "{{instance}} {{gpu_uuid}} total"),
            ],
            width=6,
        ),
        Panel(
            "timeseries",
            "GPU power",
            "What NVIDIA GPUs draw, and the limit at which clocks go down.",
            "watt",
            [
                Query(f"nv_gpu_power_usage{{{NAMESPACE}}}", "{{instance}} {{gpu_uuid}}"),
                Query(f"nv_gpu_power_limit{{{NAMESPACE}}}", "{{instance}} {{gpu_uuid}} limit"),
            ],
            width=6,
        ),
        Panel(
            "timeseries",
            "Energy an image",
            "Joules of all NVIDIA GPUs for an image, or tile, that was computed.",
            "joule",
            [
                Query(
                    f"sum(rate(nv_energy_consumption{{{NAMESPACE}}}{WINDOW})) / "
                    f"sum(rate(ganserve_images_total{{{NAMESPACE}}}{WINDOW}) > 0)",
                    "joules",
                )
            ],
            width=6,
        ),
        Panel(
            "timeseries",
            "Processor of Triton's machine",
            "Share of all cores, whoever uses them.",
            "percentunit",
            [Query(f"nv_cpu_utilization{{{NAMESPACE}}}", "{{instance}}")],
            thresholds=((None, "green"), (0.9, "orange")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "timeseries",
            "Memory of Triton's machine",
            "In use, and all there is.",
            "bytes",
            [
                Query(f"nv_cpu_memory_used_bytes{{{NAMESPACE}}}", "{{instance}} used"),
                Query(f"nv_cpu_memory_total_bytes{{{NAMESPACE}}}", "{{instance}} total"),
            ],
        ),
        Panel(
            "timeseries",
            "Pinned memory",
            "Of the pool for copies to and from GPUs. When it is full, copies are slower.",
            "bytes",
            [
                Query(f"nv_pinned_memory_pool_used_bytes{{{NAMESPACE}}}", "{{instance}} used"),
                Query(f"nv_pinned_memory_pool_total_bytes{{{NAMESPACE}}}", "{{instance}} total"),
            ],
            thresholds=GOOD,
        ),
    ],
)

MODELS: Final = Dashboard(
    "ganserve-models",
    "ganserve: Models & Triton",
    "Which models serve and in which state, what each costs, as gateways and as Triton see it, and the "
    "machine.",
    [NAMESPACE_VARIABLE, JOB_VARIABLE, MODEL_VARIABLE],
    [_STATES, _GATEWAY, _TRITON, _MACHINE],
    [ALERTS_MARK, VERSIONS_MARK],
)
