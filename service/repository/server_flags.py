"""The command line of Triton in production: each flag that differs from the default, with its reason."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.repository.profiles import GPU_SLOTS, ProfileName
from service.repository.rendering import SLOT

OPERATOR_KEY: Final = "$(TRITON_OPERATOR_KEY)"
"""Stands for the key that opens what is closed to everybody else: Kubernetes puts the environment variable in
its place. Whoever starts Triton otherwise has to, since what is left as it is here everybody knows."""
OPERATOR_HEADER: Final = "triton-operator"
"""The HTTP header that key is sent in."""
OPERATOR_METADATA: Final = f"triton-grpc-protocol-{OPERATOR_HEADER}"
"""The same in gRPC, where Triton puts this before it."""
CACHE_BYTES: Final = 256 << 20
"""Of the response cache: some 20,000 images of 64², or 80 of 1024²."""


@dataclass(frozen=True)
class Flag:
    """One flag of tritonserver.

    Attributes:
        name: Without dashes.
        value: As on the command line; empty for a flag that stands alone.
        reason: Why it is there.
        gpu_only: Whether it means nothing, or is refused, where there is no GPU.
    """

    name: str
    value: str
    reason: str
    gpu_only: bool = False

    def __str__(self) -> str:
        return f"--{self.name}={self.value}" if self.value else f"--{self.name}"


_CLOSED_HTTP: Final = "inference,shared-memory,model-config,model-repository,statistics,trace,logging"
_CLOSED_GRPC: Final = "shared-memory,statistics,trace,logging"

FLAGS: Final[Sequence[Flag]] = (
    Flag("model-control-mode", "explicit", "models change when the gateway is told to, never by themselves"),
    Flag("load-model", "*", "all there are at the start"),
    Flag("exit-on-error", "false", "a model that cannot be loaded does not keep the others from serving"),
    Flag("strict-readiness", "false", "the same for readiness; the gateway knows which models serve"),
    Flag("disable-auto-complete-config", "", "a config says all there is, or the model is refused"),
    Flag("exit-timeout-secs", "60", "what runs when Triton is told to stop may finish"),
    Flag("rate-limit", "execution_count", "for models that ask for slots: those of the profile gpu-shared"),
    Flag(
        "rate-limit-resource",
        f"{SLOT}:{GPU_SLOTS}",
        "executions of such models on one GPU at a time",
        gpu_only=True,
    ),
    Flag(
        "cache-config", f"local,size={CACHE_BYTES}", "for models with `response_cache`; fixed, from the start"
    ),
    Flag("grpc-keepalive-time", "60000", "the connection of a gateway that vanished is noticed in 80 s"),
    Flag("grpc-keepalive-timeout", "20000", "and what it had waiting is cancelled"),
    Flag(
        "grpc-max-connection-age",
        "600000",
        "gateways connect anew every ten minutes, and so find Tritons that were added",
    ),
    Flag("grpc-max-connection-age-grace", "660000", "longer than the longest deadline a gateway grants"),
    Flag(
        "http-restricted-api",
        f"{_CLOSED_HTTP}:{OPERATOR_HEADER}={OPERATOR_KEY}",
        "gateways speak gRPC: HTTP is for probes, and for an operator with the key",
    ),
    Flag(
        "grpc-restricted-protocol",
        f"{_CLOSED_GRPC}:{OPERATOR_HEADER}={OPERATOR_KEY}",
        "what no gateway needs; shared memory would let callers read the server's",
    ),
    Flag("metrics-interval-ms", "5000", "as often as it is scraped, about"),
    Flag(
        "metrics-config", "summary_latencies=true", "quantiles of queueing and computing, for the dashboards"
    ),
    Flag("log-format", "ISO8601", "times that sort beside the gateway's"),
    Flag(
        "pinned-memory-pool-byte-size", str(256 << 20), "two batches of 1024² images each way", gpu_only=True
    ),
    Flag("cuda-memory-pool-byte-size", f"0:{256 << 20}", "the same on the GPU", gpu_only=True),
    Flag("buffer-manager-thread-count", "2", "batches are gathered beside computing", gpu_only=True),
    Flag(
        "model-load-gpu-limit",
        "0:0.9",
        "a model that would fill the GPU is refused, before those that serve fail",
        gpu_only=True,
    ),
)


def operator_key_or_random(key: str | None) -> str:
    """The key, or one that nobody knows."""
    return key or secrets.token_urlsafe(24)


def server_flags(profile: ProfileName, operator_key: str = OPERATOR_KEY) -> list[str]:
    """Arguments of tritonserver besides ports, repository and tracing, which depend on the place.

    Args:
        profile: What machine it is for.
        operator_key: What opens the restricted endpoints, in the header `OPERATOR_HEADER`.
    """
    flags = [str(flag) for flag in FLAGS if profile != "cpu" or not flag.gpu_only]
    return [flag.replace(OPERATOR_KEY, operator_key) for flag in flags]


def flags_file(profile: ProfileName) -> str:
    """The same as a file: one a line, each below its reason, for images and charts to read."""
    machine = "cpu" if profile == "cpu" else "gpu"
    lines = [f"# Written by `ganserve repository flags --profile {machine} --reasons`."]
    for flag in FLAGS:
        if profile != "cpu" or not flag.gpu_only:
            lines += [f"# {flag.reason}", str(flag)]
    return "\n".join(lines) + "\n"
