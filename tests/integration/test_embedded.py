"""The embedded Triton and its ONNX Runtime backend, on the toy generator."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime as ort
import psutil
import pytest
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from service.embedded import tritonserver
from tests.toy_repository import NUM_WS, Z_DIM, write_toy_repository
from tests.triton_process import TritonProcess

START = Callable[[Path], TritonProcess]


def tensor(name: str, value: np.ndarray, datatype: str) -> grpc.InferInput:
    result = grpc.InferInput(name, list(value.shape), datatype)
    result.set_data_from_numpy(value)
    return result


def mapping_arrays(seeds: list[int], psi: float = 0.7, cutoff: int = -1) -> dict[str, np.ndarray]:
    n = len(seeds)
    return {
        "z": np.stack([np.random.RandomState(seed).randn(Z_DIM) for seed in seeds]).astype(np.float32),
        "truncation_psi": np.full((n, 1), psi, np.float32),
        "truncation_cutoff": np.full((n, 1), cutoff, np.int32),
    }


def synthesis_arrays(ws: np.ndarray, gain: float = 1, noise_seed: int = -1) -> dict[str, np.ndarray]:
    n = len(ws)
    return {
        "ws": ws,
        "noise_gain": np.full((n, 1), gain, np.float32),
        "noise_seed": np.full((n, 1), noise_seed, np.int64),
    }


def infer_inputs(arrays: dict[str, np.ndarray]) -> list[grpc.InferInput]:
    datatypes = {"float32": "FP32", "int32": "INT32", "int64": "INT64"}
    return [tensor(name, value, datatypes[value.dtype.name]) for name, value in arrays.items()]


def direct(repository: Path, model: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What ONNX Runtime computes without Triton."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(repository / model / "1" / "model.onnx", options)
    return session.run(None, arrays)[0]


@pytest.fixture(scope="module")
def client(triton: TritonProcess) -> grpc.InferenceServerClient:
    return grpc.InferenceServerClient(triton.grpc_url)


def test_serves_every_model_of_the_repository(triton: TritonProcess) -> None:
    index = triton.index()
    assert {"toy-mapping", "toy-synthesis"} <= index.keys()
    assert {entry["state"] for entry in index.values()} == {"READY"}, index


def test_listens_on_this_machine_only(triton: TritonProcess) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(triton.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_answers_what_onnx_runtime_answers(triton: TritonProcess, client: grpc.InferenceServerClient) -> None:
    arrays = mapping_arrays([0, 1, 2], psi=0.5, cutoff=2)
    ws = client.infer("toy-mapping", infer_inputs(arrays)).as_numpy("ws")
    np.testing.assert_array_equal(ws, direct(triton.repository, "toy-mapping", arrays))
    assert ws.shape[1] == NUM_WS
    arrays = synthesis_arrays(ws, noise_seed=3)
    images = client.infer("toy-synthesis", infer_inputs(arrays)).as_numpy("images")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, direct(triton.repository, "toy-synthesis", arrays))


def test_the_same_image_whatever_else_is_in_the_batch(triton: TritonProcess) -> None:
    """64 requests of different sizes at once: Triton batches them, each gets its own images."""
    expected = direct(triton.repository, "toy-mapping", mapping_arrays(list(range(16))))

    async def run() -> list[tuple[list[int], np.ndarray]]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        random = np.random.RandomState(0)
        requests = [random.permutation(16)[: random.randint(1, 6)].tolist() for _ in range(64)]
        results = await asyncio.gather(
            *(client.infer("toy-mapping", infer_inputs(mapping_arrays(seeds))) for seeds in requests)
        )
        await client.close()
        return [(seeds, result.as_numpy("ws")) for seeds, result in zip(requests, results, strict=True)]

    before = execution_count(triton, "toy-mapping")
    for seeds, ws in asyncio.run(run()):
        np.testing.assert_array_equal(ws, expected[seeds])
    assert execution_count(triton, "toy-mapping") - before < 64, "nothing was batched"


def test_a_burst_of_requests_is_not_held_up(triton: TritonProcess) -> None:
    """What a queue policy in the model's config brings about: half seconds in which nothing happens."""

    async def run() -> list[float]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        inputs = infer_inputs(mapping_arrays([0]))
        seconds = []
        for _ in range(9):
            start = time.monotonic()
            await asyncio.gather(*(client.infer("toy-mapping", inputs) for _ in range(48)))
            seconds.append(time.monotonic() - start)
        await client.close()
        return seconds

    seconds = asyncio.run(run())
    assert sorted(seconds)[4] < 0.4, seconds


def execution_count(triton: TritonProcess, model: str) -> int:
    statistics = httpx.get(f"{triton.http_url}/v2/models/{model}/stats", trust_env=False).json()
    return int(statistics["model_stats"][0]["execution_count"])


def test_a_file_that_is_not_the_cards_is_refused_and_others_serve(
    tmp_path: Path, start_triton: START
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="swapped")
    write_toy_repository(repository, name="corrupt")
    # A valid graph, only not the one the card tells of.
    shutil.copy(
        repository / "toy-mapping" / "1" / "model.onnx", repository / "swapped-synthesis" / "1" / "model.onnx"
    )
    corrupt = repository / "corrupt-mapping"
    (corrupt / "1" / "model.onnx").write_bytes(b"not an ONNX file")
    config = (corrupt / "config.pbtxt").read_text()
    (corrupt / "config.pbtxt").write_text(config.replace('\\"digest\\"', '\\"no_digest\\"'))
    index = start_triton(repository).index()
    assert {name for name, entry in index.items() if entry["state"] == "READY"} == {
        "toy-mapping",
        "toy-synthesis",
        "swapped-mapping",
        "corrupt-synthesis",
    }
    assert "is not the file its card describes: sha256 is" in index["swapped-synthesis"]["reason"]
    assert "ONNX Runtime cannot open" in index["corrupt-mapping"]["reason"]


def write_picky_model(repository: Path) -> None:
    """A model that fails at run time for some inputs: it looks up 4 values, and `index` can be anything."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["values", "index"], ["value"])],
        "picky",
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["N", 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(np.arange(4, dtype=np.float32) * 10, "values")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (repository / "picky" / "1").mkdir(parents=True)
    onnx.save(model, repository / "picky" / "1" / "model.onnx")
    (repository / "picky" / "config.pbtxt").write_text(
        """backend: "onnxruntime" max_batch_size: 16 dynamic_batching { max_queue_delay_microseconds: 200000 }
        input { name: "index" data_type: TYPE_INT64 dims: [1] }
        output { name: "value" data_type: TYPE_FP32 dims: [1] }"""
    )


def test_a_request_that_fails_takes_no_other_with_it(tmp_path: Path, start_triton: START) -> None:
    write_picky_model(tmp_path / "repository")
    triton = start_triton(tmp_path / "repository")

    async def run(indices: list[int]) -> list[object]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        calls = [client.infer("picky", [tensor("index", np.array([[i]]), "INT64")]) for i in indices]
        results = await asyncio.gather(*calls, return_exceptions=True)
        await client.close()
        return [r if isinstance(r, Exception) else r.as_numpy("value").item() for r in results]

    results = asyncio.run(run([0, 1, 9, 2, 3, -9, 1, 0]))
    assert execution_count(triton, "picky") < 8, "nothing was batched"
    failed = [results.pop(5), results.pop(2)]
    assert results == [0, 10, 20, 30, 10, 0]
    assert all("ONNX Runtime failed" in str(error) for error in failed), failed


def test_a_model_that_mixes_up_a_batch_answers_each_request_for_itself(
    tmp_path: Path, start_triton: START
) -> None:
    """Its one row for a whole batch must not be handed to the first request alone."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1)],
        "mixing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["M", 1])],
        [numpy_helper.from_array(np.array([0]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path / "repository" / "mixing"
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(
        """backend: "onnxruntime" max_batch_size: 16 dynamic_batching { max_queue_delay_microseconds: 200000 }
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "sum" data_type: TYPE_FP32 dims: [1] }"""
    )
    triton = start_triton(tmp_path / "repository")

    async def run() -> list[object]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        batches = [[[1.0]], [[2.0]], [[3.0]], [[4.0], [5.0]]]
        calls = [client.infer("mixing", [tensor("x", np.array(b, np.float32), "FP32")]) for b in batches]
        results = await asyncio.gather(*calls, return_exceptions=True)
        await client.close()
        return [r if isinstance(r, Exception) else r.as_numpy("sum").tolist() for r in results]

    *alone, several = asyncio.run(run())
    assert alone == [[[1.0]], [[2.0]], [[3.0]]]
    assert "output 'sum' is [1, 1] for a batch of 2" in str(several)


def test_cancelled_requests_are_not_computed(tmp_path: Path, start_triton: START) -> None:
    repository = write_toy_repository(tmp_path / "repository", extra_milliseconds=30)
    triton = start_triton(repository)

    async def run() -> tuple[float, float]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        # Batches of 16 cannot be merged, so all but the first wait.
        arrays = synthesis_arrays(np.zeros((16, NUM_WS, 8), np.float32))
        start = time.monotonic()
        calls = [asyncio.create_task(client.infer("toy-synthesis", infer_inputs(arrays))) for _ in range(6)]
        await asyncio.sleep(0.5)
        for call in calls[1:]:
            call.cancel()
        # Behind the cancelled ones, and so computed after them if they were.
        last = asyncio.create_task(
            client.infer("toy-synthesis", infer_inputs(synthesis_arrays(arrays["ws"][:1])))
        )
        await calls[0]
        first_seconds = time.monotonic() - start
        await last
        await client.close()
        return first_seconds, time.monotonic() - start - first_seconds

    first_seconds, last_seconds = asyncio.run(run())
    assert last_seconds < first_seconds / 2, (first_seconds, last_seconds)


def test_a_full_queue_refuses_instead_of_waiting(tmp_path: Path, start_triton: START) -> None:
    repository = write_toy_repository(tmp_path / "repository", extra_milliseconds=50, max_queue_size=4)
    triton = start_triton(repository)

    async def run() -> list[object]:
        client = grpc_aio.InferenceServerClient(triton.grpc_url)
        inputs = infer_inputs(synthesis_arrays(np.zeros((8, NUM_WS, 8), np.float32)))
        results = await asyncio.gather(
            *(client.infer("toy-synthesis", inputs) for _ in range(20)), return_exceptions=True
        )
        await client.close()
        return list(results)

    results = asyncio.run(run())
    refused = [result for result in results if isinstance(result, InferenceServerException)]
    assert refused
    assert len(refused) < len(results)
    assert all("Exceeds maximum queue size" in error.message() for error in refused), refused


def test_stops_by_itself_and_leaves_nothing(tmp_path: Path, toy_repository: Path) -> None:
    process = TritonProcess(toy_repository, tmp_path / "log").start()
    prefix = process._launch.shared_memory_prefix
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    assert len(family) == 3  # itself and a process for each of the two models
    assert list(Path("/dev/shm").glob(f"{prefix}*"))
    assert process.stop() == 0
    process.close()
    assert not any(psutil.pid_exists(pid) for pid in family)
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
    assert not process._directory.path.exists()


def test_leftovers_of_killed_runs_are_removed_and_running_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tritonserver.tempfile, "tempdir", str(tmp_path))
    dead, alive = tritonserver.RunDirectory(), tritonserver.RunDirectory()
    regions = [Path("/dev/shm") / f"{directory.path.name}-1-x" for directory in (dead, alive)]
    for region in regions:
        region.touch()
    dead._lock.close()  # as the kernel does when its process is killed
    tritonserver.remove_leftovers()
    assert [directory.path.exists() for directory in (dead, alive)] == [False, True]
    assert [region.exists() for region in regions] == [False, True]
    alive.remove()
    assert not regions[1].exists()
