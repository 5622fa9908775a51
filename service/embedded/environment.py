"""The settings of `ganserve up` as the environment of its children."""

from __future__ import annotations

import os
import sys

from pydantic import SecretStr

from service.embedded.tritonserver import ADDRESS
from service.settings import Settings


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment in which gateway and worker read the same settings, and find the embedded Triton."""
    environment = dict(os.environ)
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
        elif isinstance(value, (list, dict, tuple, set, frozenset)):
            text = settings.model_dump_json(include={name}).split(":", 1)[1][:-1]
        else:
            text = str(value)
        environment[f"GANSERVE_{name.upper()}"] = text
    environment["GANSERVE_TRITON_URL"] = f"{ADDRESS}:{settings.triton_grpc_port}"
    if "drain_seconds" not in settings.model_fields_set:
        environment["GANSERVE_DRAIN_SECONDS"] = "0"  # no balancer looks at this one
    if "log_format" not in settings.model_fields_set and sys.stdout.isatty():
        environment["GANSERVE_LOG_FORMAT"] = "console"  # somebody reads along
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def worker_environment(settings: Settings) -> dict[str, str]:
    """The same for the worker, which takes a port only if it was told to: it is watched without one."""
    environment = child_environment(settings)
    if "worker_port" not in settings.model_fields_set:
        environment["GANSERVE_WORKER_PORT"] = "0"
    return environment
