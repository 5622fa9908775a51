import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from service.triton import (
    InferenceError,
    ModelDownError,
    TritonChangedError,
    TritonDeadlineError,
    TritonQueueFullError,
    _translate,
)

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size", TritonQueueFullError),
        (UNAVAILABLE, "Request timeout expired", TritonDeadlineError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", TritonDeadlineError),
        (UNAVAILABLE, "Request for unknown model: 'toy' has no available versions", TritonChangedError),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'toy' is not found", TritonChangedError),
        (UNAVAILABLE, "failed to connect to all addresses", TritonChangedError),
        (UNAVAILABLE, "Socket closed", TritonChangedError),
        (grpc.StatusCode.CANCELLED, "", TritonChangedError),
        (grpc.StatusCode.INTERNAL, "Stub process is not healthy.", ModelDownError),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'z'", InferenceError),
    ],
)
def test_what_triton_says_and_what_it_means(code, details: str, kind: type) -> None:
    assert type(_translate(AioRpcError(code, Metadata(), Metadata(), details))) is kind
