"""Prints values.schema.json: `python -m deploy.helm.values_schema > deploy/helm/ganserve/values.schema.json`.

Names, types, defaults and descriptions are those of values.yaml and its comments; the tables here add what a
default cannot say. `settings` are those of `service.settings` that are an operator's to choose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import yaml

from service.settings import Settings

VALUES: Final = Path(__file__).with_name("ganserve") / "values.yaml"

DECIDED_BY_CHART: Final = frozenset(
    [
        "host",
        "port",
        "worker_port",
        "worker_id",
        "triton_url",
        "state_folder",
        "artifacts_url",
        "keys_file",
        "allow_open",
        "drain_seconds",
        "stop_timeout_seconds",
        "c2pa_certificate",
        "c2pa_key",
    ]
)
"""Settings that follow from other values."""

SECRET: Final = frozenset(["database_url", "webhook_secret", "rate_limit_storage"])
"""Settings that come from Secrets."""

ELSEWHERE: Final = frozenset(
    [
        "model_repository",
        "triton_host",
        "triton_grpc_port",
        "triton_http_port",
        "triton_metrics_port",
        "run_worker",
        "start_timeout_seconds",
        "restart_limit",
        "restart_window_seconds",
    ]
)
"""Settings of the embedded Triton, which gateway and worker do not read."""

_TEXT_MAP: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
_QUANTITY: Final = {
    "type": ["string", "integer"],
    "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
}
_QUANTITIES: Final = {
    "type": "object",
    "additionalProperties": _QUANTITY,
    "required": ["cpu", "memory"],
}
_PEERS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "namespaceSelector": {"type": "object"},
            "podSelector": {"type": "object"},
            "ipBlock": {"type": "object"},
        },
    },
}
_RESOURCES: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["requests", "limits"],
    "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES},
}
_ENVIRONMENT: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "value": {"type": "string"},
            "valueFrom": {"type": "object"},
        },
    },
}
_PATHS: Final = {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^/"}}
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_SECONDS: Final = {"type": "integer", "minimum": 0, "maximum": 86_400}
_COUNT: Final = {"type": "integer", "minimum": 0}
_ROLLOUT: Final = {"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+%$"}
_DURATION: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}

# By the name of the key, wherever it is.
_BY_KEY: Final[dict[str, dict[str, Any]]] = {
    "affinity": {"type": "object"},
    "annotations": _TEXT_MAP,
    "backoffLimit": _COUNT,
    "commonLabels": _TEXT_MAP,
    "count": {"type": "integer", "minimum": 1},
    "cpuUtilization": {"type": "integer", "minimum": 0, "maximum": 100},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "engine": {"enum": ["hpa", "keda"]},
    "extraEnv": _ENVIRONMENT,
    "labels": _TEXT_MAP,
    "maxReplicas": {"type": "integer", "minimum": 1},
    "maxSurge": _ROLLOUT,
    "maxUnavailable": _ROLLOUT,
    "minReplicas": _COUNT,
    "nodeSelector": _TEXT_MAP,
    "oldestPendingSeconds": _COUNT,
    "paths": _PATHS,
    "pendingItems": _COUNT,
    "podAnnotations": _TEXT_MAP,
    "podLabels": _TEXT_MAP,
    "port": _PORT,
    "metricsPort": _PORT,
    "prometheusAddress": {"type": "string", "pattern": "^https?://"},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "queueDepth": {"type": "number", "minimum": 0},
    "queueWaitSeconds": {"type": "number", "minimum": 0},
    "registry": {"type": "string", "pattern": "^[a-z0-9.:/_-]*[a-z0-9]$|^$"},
    "replicas": {"type": "integer", "minimum": 1},
    "resources": _RESOURCES,
    "interval": _DURATION,
    "scrapeTimeout": _DURATION,
    "sharedMemory": _QUANTITY,
    "sizeLimit": _QUANTITY,
    "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
    "temporarySizeLimit": _QUANTITY,
    "to": _PEERS,
    "tolerations": _OBJECTS,
    "topologySpreadConstraints": _OBJECTS,
    "user": {"type": "integer", "minimum": 1},
}

# By the whole path, before that.
_BY_PATH: Final[dict[str, dict[str, Any]]] = {
    "topology": {"enum": ["shared", "paired"]},
    "images.pullSecrets": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
        },
    },
    "artifacts.url": {"type": "string", "pattern": "^(s3://[^/]+(/.*)?)?$"},
    "database.url": {"type": "string", "pattern": "^(postgres(ql)?://.+)?$"},
    "gateway.service.type": {"enum": ["ClusterIP", "LoadBalancer", "NodePort"]},
    "gateway.shutdown.stopTimeoutSeconds": {"type": "integer", "minimum": 10, "maximum": 86_400},
    "httpRoute.hostnames": {"type": "array", "items": {"type": "string"}},
    "httpRoute.parentRefs": _OBJECTS,
    "ingress.nginx.bodySize": {"type": "string", "pattern": "^[0-9]+[kmgKMG]?$"},
    "keda.pollingSeconds": {"type": "integer", "minimum": 1},
    "models.image.profile": {"enum": ["", "cpu", "gpu", "gpu-tensorrt", "gpu-shared"]},
    "models.image.mount": {"enum": ["copy", "volume"]},
    "models.image.path": {"type": "string", "pattern": "^/"},
    "models.load": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "models.objectStore.url": {"type": "string", "pattern": "^(s3://.+)?$"},
    "models.source": {"enum": ["bundled", "pvc", "image", "objectStore"]},
    "networkPolicy.clients": _PEERS,
    "networkPolicy.dns": _PEERS,
    "networkPolicy.extraEgress.gateway": _OBJECTS,
    "networkPolicy.extraEgress.training": _OBJECTS,
    "networkPolicy.extraEgress.triton": _OBJECTS,
    "networkPolicy.extraEgress.worker": _OBJECTS,
    "networkPolicy.prometheus": _PEERS,
    "networkPolicy.webhooks.except": {"type": "array", "items": {"type": "string", "pattern": "/[0-9]+$"}},
    "networkPolicy.webhooks.ports": {"type": "array", "items": _PORT},
    "tracing.endpoint": {"type": "string", "pattern": "^(https?://.+)?$"},
    "training.arguments": {"type": "array", "items": {"type": "string"}},
    "training.gpus": {"type": "integer", "minimum": 0, "maximum": 64},
    "training.name": {"type": "string", "pattern": "^([a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?)?$"},
    "triton.extraArgs": {"type": "array", "items": {"type": "string"}},
    "triton.flavour": {"enum": ["gpu", "cpu"]},
    "triton.responseCacheBytes": {"type": "integer", "minimum": 1 << 20},
    "triton.shutdown.exitTimeoutSeconds": {"type": "integer", "minimum": 3, "maximum": 3600},
    "triton.startupSeconds": {"type": "integer", "minimum": 15, "maximum": 86_400},
    "triton.update": {"enum": ["surge", "recreate"]},
    "worker.shutdown.stopTimeoutSeconds": {"type": "integer", "minimum": 10, "maximum": 86_400},
}


def chosen_settings() -> dict[str, Any]:
    """The settings of gateway and worker that are an operator's to choose.

    Returns:
        Schemas by the name without prefix, in capitals.
    """
    return {
        name.upper(): {"description": field.description, **_accepts(field.annotation)}
        for name, field in Settings.model_fields.items()
        if name not in DECIDED_BY_CHART | SECRET | ELSEWHERE
    }


def schema() -> dict[str, Any]:
    """The JSON schema of the chart's values."""
    text = VALUES.read_text("utf-8")
    node = yaml.compose(text)
    made = _object(node, yaml.safe_load(text), text.splitlines(), "")
    made["properties"]["settings"] = {
        **{key: made["properties"]["settings"][key] for key in ("description",)},
        "type": "object",
        "additionalProperties": False,
        "properties": chosen_settings(),
    }
    # What Helm hands to a chart by itself.
    made["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of ganserve", **made}


def _object(node: Any, values: dict[str, Any], lines: list[str], path: str) -> dict[str, Any]:
    properties = {}
    for key_node, value_node in node.value:
        key = key_node.value
        properties[key] = _property(key_node, value_node, values[key], lines, f"{path}.{key}".lstrip("."))
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(key_node: Any, node: Any, value: Any, lines: list[str], path: str) -> dict[str, Any]:
    description = _comment(key_node, lines)
    key = key_node.value
    made = {"description": description} if description else {}
    known = _BY_PATH.get(path) or _BY_KEY.get(key)
    if known is None and key.endswith("Seconds"):
        known = _SECONDS
    if known is not None:
        return made | known
    if isinstance(value, dict):
        return made | _object(node, value, lines, path)
    for kind, name in ((bool, "boolean"), (int, "integer"), (str, "string")):
        if isinstance(value, kind):
            return made | {"type": name}
    raise TypeError(f"{path}: a default does not say what may be in it; add it to a table here")


def _comment(key_node: Any, lines: list[str]) -> str:
    """What stands before the key, at its column, and behind its value."""
    line, column = key_node.start_mark.line, key_node.start_mark.column
    before: list[str] = []
    while not lines[line][:column].strip() and lines[line - 1 - len(before)].startswith(" " * column + "#"):
        before.insert(0, lines[line - 1 - len(before)].strip(" #"))
    first_on_line = not lines[line][:column].strip()
    _, _, behind = lines[line].partition("  # ") if first_on_line else ("", "", "")
    return " ".join([*before, *([behind] if behind else [])])


def _accepts(annotation: Any) -> dict[str, Any]:
    """What YAML may hold for a setting: its text, or a number or truth value as such."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is bool:
        return {"type": ["boolean", "string"]}
    if annotation in (int, float):
        return {"type": ["integer" if annotation is int else "number", "string"]}
    return {"type": "string"}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
