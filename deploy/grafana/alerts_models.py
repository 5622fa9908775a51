"""Alerts about models and the Triton that runs them."""

from __future__ import annotations

from deploy.grafana.alert import Alert, Case
from deploy.grafana.jobs_scraped import GATEWAY

MODELS = "ganserve-models"

_MODEL = 'model="toy", namespace="gan"'

MODEL_ALERTS = (
    Alert(
        "GanserveTritonDown",
        "page",
        "min by (namespace) (ganserve_triton_up)",
        "== 0",
        "1m",
        "Triton does not answer",
        "A gateway or worker in {{ $labels.namespace }} cannot reach its Triton: calls get 503 "
        "triton-unavailable. "
        "Batch jobs wait and lose nothing.",
        (
            "Is the pod there and ready: `kubectl get pods -l app.kubernetes.io/component=triton`; "
            "`kubectl logs --previous` says why it ended. Killed for memory: raise the limit, or load "
            "fewer models.",
            "It runs and is ready, but is not reached: NetworkPolicy, Service, GANSERVE_TRITON_URL.",
            "GPU gone (`nvidia-smi` fails, Xid errors in dmesg): cordon the node and delete the pod.",
            "Nothing else is to be done: gateways find a Triton that is back by themselves within seconds.",
        ),
        MODELS,
        (
            Case(
                {
                    f'ganserve_triton_up{{job="{GATEWAY}", instance="a:1", namespace="gan"}}': "1+0x5 0+0x30",
                    f'ganserve_triton_up{{job="{GATEWAY}", instance="b:1", namespace="gan"}}': "1+0x40",
                },
                labels={"namespace": "gan"},
                value="0",
            ),
            Case({f'ganserve_triton_up{{job="{GATEWAY}", instance="a:1", namespace="gan"}}': "1+0x29 0+0x5"}),
        ),
    ),
    Alert(
        "GanserveNoModels",
        "page",
        "max by (namespace) (ganserve_models)",
        "== 0",
        "5m",
        "Triton is there and serves no model",
        "Every call gets 404 or 503; /readyz is 503, so that balancers send nobody.",
        (
            "`ganserve models` and Triton's log say what became of them: an empty repository (is the volume "
            "mounted?), files that cannot be loaded, or all of them refused (GanserveModelRefused).",
            "With explicit model control: load them, `POST /v1/models/{model}/load`.",
        ),
        MODELS,
        (
            Case(
                {
                    'ganserve_models{instance="a:1", namespace="gan"}': "0+0x40",
                    'ganserve_triton_up{instance="a:1", namespace="gan"}': "1+0x40",
                },
                labels={"namespace": "gan"},
                value="0",
            ),
            Case(
                {
                    'ganserve_models{instance="a:1", namespace="gan"}': "0+0x40",
                    'ganserve_triton_up{instance="a:1", namespace="gan"}': "0+0x40",
                }
            ),
        ),
        also="and on (namespace) max by (namespace) (ganserve_triton_up) == 1",
    ),
    Alert(
        "GanserveModelRefused",
        "page",
        'max by (namespace, model) (ganserve_model_state{state="REFUSED"})',
        "== 1",
        "0m",
        "{{ $labels.model }} does not make the pixels its card says, and is refused",
        "The golden check ran the new version and got other images. It takes no traffic; if Triton still has "
        "the version before it, that serves on.",
        (
            "`GET /v1/models/{{ $labels.model }}`: `reason` says which image differs and by how much, "
            "`newer` that "
            "an older version serves.",
            "Other weights than the card's: the upload was cut short or mixed up; put the version there "
            "again, "
            "and compare its sha256 with `digest` of the card.",
            "Same weights, other runtime (TensorRT, half precision, another ONNX Runtime): export again "
            "with that "
            "runtime, so that the card has its pixels. GANSERVE_GOLDEN_CHECK=off serves unchecked.",
            "Take it back: remove the version's folder and load the model.",
        ),
        MODELS,
        (
            Case(
                {
                    f'ganserve_model_state{{state="REFUSED", {_MODEL}}}': "0+0x20 1+0x20",
                    f'ganserve_model_state{{state="READY", {_MODEL}}}': "1+0x20 0+0x20",
                },
                labels={"model": "toy", "namespace": "gan"},
                value="1",
            ),
            Case({f'ganserve_model_state{{state="REFUSED", {_MODEL}}}': "0+0x40"}),
        ),
    ),
    Alert(
        "GanserveModelFailing",
        "page",
        "max by (namespace, model) (ganserve_breaker_state)",
        "== 1",
        "1m",
        "{{ $labels.model }} fails and is out of service",
        "Its calls failed as if its process had died. It is tried again every few seconds and comes back by "
        "itself; until then calls get 503 model-unavailable.",
        (
            "Triton's log says why: a process killed for memory, a CUDA error, a corrupt file.",
            "Load it anew: `POST /v1/models/{{ $labels.model }}/load`. If that does not help, restart "
            "Triton.",
            "It fails for some requests only and crashes each time: find them in the access log (outcome "
            "inference-failed) and report them.",
        ),
        MODELS,
        (
            Case(
                {f"ganserve_breaker_state{{{_MODEL}}}": "0+0x20 1+0x20"},
                labels={"model": "toy", "namespace": "gan"},
                value="1",
            ),
            Case({f"ganserve_breaker_state{{{_MODEL}}}": "0+0x29 1+0x5"}),
        ),
    ),
    Alert(
        "GanserveModelMisfit",
        "ticket",
        "max by (namespace) (ganserve_models_misfit)",
        "> 0",
        "10m",
        "{{ $value }} models that Triton has ready have no card that fits",
        "They are loaded and cost memory, and nobody can call them.",
        (
            "The gateway's log has a line `model is not served` with name and reason for each.",
            "Export the model with `gantrain export`, which writes the card, or take it out of the "
            "repository.",
            "Half a generator: mapping and synthesis have to be there both, in matching versions.",
        ),
        MODELS,
        (
            Case(
                {'ganserve_models_misfit{namespace="gan"}': "2+0x40"}, labels={"namespace": "gan"}, value="2"
            ),
            Case({'ganserve_models_misfit{namespace="gan"}': "0+0x40"}),
        ),
    ),
    Alert(
        "GanserveTritonQueueing",
        "ticket",
        "sum by (namespace, model) (rate(nv_inference_queue_duration_us[10m])) / "
        "(sum by (namespace, model) (rate(nv_inference_request_success[10m])) > 0) / 1e6",
        "> 0.5",
        "10m",
        "Requests wait {{ $value | humanizeDuration }} within Triton for {{ $labels.model }}",
        "Gateways keep their queues outside of Triton; what waits inside shows that Triton has more than "
        "it can "
        "take: several gateways, long batches, or too few instances.",
        (
            "Compute time up too: the GPU is slower than it was (clocks, a neighbour), or batches are "
            "larger.",
            "Else more instances of this model, or another Triton.",
        ),
        MODELS,
        (
            Case(
                {
                    f"nv_inference_queue_duration_us{{{_MODEL}}}": "0+60000000x40",
                    f"nv_inference_request_success{{{_MODEL}}}": "0+60x40",
                },
                labels={"model": "toy", "namespace": "gan"},
                value="1s",
            ),
            Case(
                {
                    f"nv_inference_queue_duration_us{{{_MODEL}}}": "0+600000x40",
                    f"nv_inference_request_success{{{_MODEL}}}": "0+60x40",
                }
            ),
        ),
    ),
    Alert(
        "GanserveInferenceFailures",
        "ticket",
        'sum by (namespace, model) (rate(nv_inference_request_failure{reason=~"BACKEND|OTHER"}[10m]))',
        "> 0.01",
        "5m",
        "{{ $labels.model }} fails in Triton, {{ $value | humanize }} times a second",
        "The model's backend returns errors: clients get 502 inference-failed.",
        (
            "Triton's log and the gateway's line `inference failed` say why: out of GPU memory, a shape "
            "that the "
            "engine was not built for.",
            "Out of memory: smaller batches, fewer instances, or fewer models on that GPU.",
        ),
        MODELS,
        (
            Case(
                {f'nv_inference_request_failure{{reason="BACKEND", {_MODEL}}}': "0+6x40"},
                labels={"model": "toy", "namespace": "gan"},
                value="100m",
            ),
            Case({f'nv_inference_request_failure{{reason="CANCELED", {_MODEL}}}': "0+6x40"}),
        ),
    ),
    Alert(
        "GanserveGpuMemory",
        "ticket",
        "max by (namespace, instance, gpu_uuid) (nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes)",
        "> 0.95",
        "10m",
        "GPU {{ $labels.gpu_uuid }} of {{ $labels.instance }} has {{ $value | humanizePercentage }} of its "
        "memory "
        "in use",
        "The next larger batch, or the next model that is loaded, may fail for lack of memory.",
        (
            "Which models are on it: the dashboard's table of models. Unload those that nobody calls.",
            "Lower max_batch_size or the count of instances of the largest, or give it a GPU of its own.",
            "It rises without new models or batches: report it, and restart Triton when traffic is low.",
        ),
        MODELS,
        (
            Case(
                {
                    'nv_gpu_memory_used_bytes{gpu_uuid="gpu", instance="t:1", namespace="gan"}': "98+0x40",
                    'nv_gpu_memory_total_bytes{gpu_uuid="gpu", instance="t:1", namespace="gan"}': "100+0x40",
                },
                labels={"gpu_uuid": "gpu", "instance": "t:1", "namespace": "gan"},
                value="98%",
            ),
            Case(
                {
                    'nv_gpu_memory_used_bytes{gpu_uuid="gpu", instance="t:1", namespace="gan"}': "60+0x40",
                    'nv_gpu_memory_total_bytes{gpu_uuid="gpu", instance="t:1", namespace="gan"}': "100+0x40",
                }
            ),
        ),
    ),
)
