"""Alerts about gateways: whether they are there, their queues and what else they have so much of."""

from __future__ import annotations

from deploy.grafana.alert import Alert, Case
from deploy.grafana.jobs_scraped import GATEWAY, TRITON, WORKER

OVERVIEW = "ganserve-overview"

_GATEWAY_UP = f'up{{job="{GATEWAY}", instance="a:1"}}'

GATEWAY_ALERTS = (
    Alert(
        "GanserveGatewayDown",
        "page",
        f'(sum(up{{job="{GATEWAY}"}}) or vector(0))',
        "== 0",
        "1m",
        "No gateway answers",
        "Prometheus reaches no gateway: nobody is served, or nobody is watched.",
        (
            "Is the service there from outside? `curl https://HOST/healthz`. If so, only monitoring is cut "
            "off.",
            "Are there pods, and why do they end: `kubectl get pods`, `kubectl logs --previous`. A gateway "
            "that "
            "cannot begin says in its last line which setting is wrong.",
            "Did it begin with a rollout? `helm rollback`.",
        ),
        OVERVIEW,
        (
            Case({_GATEWAY_UP: "0+0x40"}, labels={}, value="0"),
            Case({'up{job="other"}': "1+0x40"}, labels={}, value="0"),
            Case({_GATEWAY_UP: "1+0x40", f'up{{job="{GATEWAY}", instance="b:1"}}': "0+0x40"}),
        ),
    ),
    Alert(
        "GanserveTargetDown",
        "ticket",
        f'up{{job=~"{GATEWAY}|{WORKER}|{TRITON}"}}',
        "== 0",
        "3m",
        "{{ $labels.job }} on {{ $labels.instance }} is not scraped",
        "The process is down, hangs, or cannot be reached by Prometheus. The others go on.",
        (
            "`kubectl describe pod`: is it restarted again and again, killed for memory (OOMKilled), or "
            "pending?",
            "If it runs and is ready, look at the NetworkPolicy: Prometheus' namespace has to be let in.",
        ),
        OVERVIEW,
        (
            Case(
                {f'up{{job="{WORKER}", instance="w-0:8081", namespace="gan"}}': "1+0x10 0+0x30"},
                labels={"job": WORKER, "instance": "w-0:8081", "namespace": "gan"},
                value="0",
            ),
            Case({f'up{{job="{WORKER}", instance="w-0:8081", namespace="gan"}}': "1+0x25 0 0 1+0x10"}),
        ),
    ),
    Alert(
        "GanserveInternalErrors",
        "ticket",
        "sum by (namespace) (increase(ganserve_internal_errors_total[15m]))",
        "> 0",
        "0m",
        "{{ $value | humanize }} requests met a fault in the gateway",
        "Answers were 500 internal-error: that is always a bug, or a machine that is out of disk or memory.",
        (
            "Find the traces: log lines with `request failed` carry the request id and the stack.",
            "Report them; if they began with a rollout, take that back.",
        ),
        OVERVIEW,
        (
            Case(
                {'ganserve_internal_errors_total{namespace="gan"}': "0+0x20 4+0x20"},
                labels={"namespace": "gan"},
                value="4",
            ),
            Case({'ganserve_internal_errors_total{namespace="gan"}': "7+0x40"}),
        ),
    ),
    Alert(
        "GanserveQueueSaturated",
        "page",
        "max by (namespace, model) (ganserve_queue_depth / ganserve_queue_limit)",
        "> 0.9",
        "5m",
        "The queue of {{ $labels.model }} is {{ $value | humanizePercentage }} full",
        "Calls to {{ $labels.model }} wait as long as they are let, and more of them get 503 queue-full "
        "with a "
        "Retry-After.",
        (
            "Is Triton slower than usual (infer time, queue time of Triton)? Then see to that: a GPU that "
            "throttles, a neighbour, one instance that failed.",
            "One caller alone? The panel of calls by key shows it; keys have rates of their own.",
            "Else it is load: add gateways' Tritons, or instances of the model (deploy/README.md, capacity).",
            "GANSERVE_QUEUE_LIMIT makes the queue longer; that turns refusals into waiting, and helps nobody "
            "for longer than a burst.",
        ),
        OVERVIEW,
        (
            Case(
                {
                    'ganserve_queue_depth{model="toy", instance="a", namespace="gan"}': "62+0x40",
                    'ganserve_queue_limit{model="toy", instance="a", namespace="gan"}': "64+0x40",
                },
                labels={"model": "toy", "namespace": "gan"},
                value="96.88%",
            ),
            Case(
                {
                    'ganserve_queue_depth{model="toy", instance="a", namespace="gan"}': "9+0x22 64 64 9+0x9",
                    'ganserve_queue_limit{model="toy", instance="a", namespace="gan"}': "64+0x50",
                }
            ),
        ),
    ),
    Alert(
        "GanserveCallsRefused",
        "ticket",
        "sum by (namespace, model) (rate(ganserve_rejected_total[10m]))",
        "> 0.1",
        "10m",
        "{{ $value | humanize }} calls a second to {{ $labels.model }} are refused for overload",
        "For a quarter of an hour callers of {{ $labels.model }} have been told to come back later.",
        (
            "As for GanserveQueueSaturated.",
            "Reason triton-queue-full: several gateways share one Triton whose "
            "max_queue_size is smaller than their queues; raise it in the model's config.pbtxt.",
        ),
        OVERVIEW,
        (
            Case(
                {'ganserve_rejected_total{model="toy", reason="queue-full", namespace="gan"}': "0+60x40"},
                labels={"model": "toy", "namespace": "gan"},
                value="1",
            ),
            Case({'ganserve_rejected_total{model="toy", reason="queue-full", namespace="gan"}': "0+1x40"}),
        ),
    ),
    Alert(
        "GanserveConnectionsSaturated",
        "ticket",
        "max by (namespace, instance) (ganserve_connections / (ganserve_connections_limit > 0))",
        "> 0.85",
        "5m",
        "{{ $labels.instance }} holds {{ $value | humanizePercentage }} of the connections it may",
        "Beyond the limit clients get 503 too-many-connections.",
        (
            "Many idle ones: the proxy in front keeps more than it needs; bound its pool.",
            "Many that do not read (ganserve_unread_connections_total rises): slow clients; a proxy that "
            "buffers "
            "takes them off the gateway.",
            "Else raise GANSERVE_MAX_CONNECTIONS, and `ulimit -n` with it.",
        ),
        OVERVIEW,
        (
            Case(
                {
                    'ganserve_connections{instance="a:1", namespace="gan"}': "470+0x40",
                    'ganserve_connections_limit{instance="a:1", namespace="gan"}': "500+0x40",
                },
                labels={"instance": "a:1", "namespace": "gan"},
                value="94%",
            ),
            Case(
                {
                    'ganserve_connections{instance="a:1", namespace="gan"}': "20+0x40",
                    'ganserve_connections_limit{instance="a:1", namespace="gan"}': "500+0x40",
                }
            ),
        ),
    ),
    Alert(
        "GanserveFileDescriptors",
        "ticket",
        f'max by (namespace, job, instance) (process_open_fds{{job=~"{GATEWAY}|{WORKER}"}}'
        " / process_max_fds)",
        "> 0.8",
        "5m",
        "{{ $labels.job }} on {{ $labels.instance }} has {{ $value | humanizePercentage }} of its files open",
        "When none is left it can accept no connection and open no file.",
        ("Raise `ulimit -n` of the container.", "If connections are few and files many, report a leak."),
        OVERVIEW,
        (
            Case(
                {
                    f'process_open_fds{{job="{GATEWAY}", instance="a:1"}}': "900+0x40",
                    f'process_max_fds{{job="{GATEWAY}", instance="a:1"}}': "1000+0x40",
                },
                labels={"job": GATEWAY, "instance": "a:1"},
                value="90%",
            ),
            Case(
                {
                    f'process_open_fds{{job="{GATEWAY}", instance="a:1"}}': "90+0x40",
                    f'process_max_fds{{job="{GATEWAY}", instance="a:1"}}': "1000+0x40",
                }
            ),
        ),
    ),
    Alert(
        "GanserveSigningCertificateExpires",
        "ticket",
        "min by (namespace) (ganserve_signing_certificate_expires_timestamp_seconds - time())",
        "< 14 * 86400",
        "1h",
        "The certificate that files are signed with expires in {{ $value | humanizeDuration }}",
        "From then on calls that ask for a signature, or all of them, fail with 502 signing-failed.",
        (
            "Have the authority issue a new one, and put chain and key where GANSERVE_C2PA_CERTIFICATE and "
            "its "
            "key point.",
            "Restart gateways and workers one after the other: they read it when they begin.",
        ),
        OVERVIEW,
        (
            Case(
                {'ganserve_signing_certificate_expires_timestamp_seconds{namespace="gan"}': "90000+0x150"},
                at="2h",
                labels={"namespace": "gan"},
                value="23h 0m 0s",
            ),
            Case(
                {'ganserve_signing_certificate_expires_timestamp_seconds{namespace="gan"}': "9000000+0x150"},
                at="2h",
            ),
        ),
    ),
)
