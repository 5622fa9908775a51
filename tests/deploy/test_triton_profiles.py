"""Production settings of Triton: strict configs, one table, and what of it a Triton without a GPU can run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from service.cli import app
from service.repository.config_text import CONFIG, RepositoryError, read_config
from service.repository.profiles import GPU_SLOTS, PROFILE_NAMES, PROFILES, VERSIONS_KEPT, ProfileName
from service.repository.rendering import SLOT, render_config, render_repository
from service.repository.server_flags import FLAGS, OPERATOR_KEY, flags_file, server_flags
from tests.conftest import SHIPPED_MODELS

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.parent.name for path in SHIPPED_MODELS.glob(f"*/{CONFIG}"))
Group = model_config_pb2.ModelInstanceGroup
# As ONNX calls the types that Triton calls TYPE_….
ELEMENTS = {
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.INT64: "TYPE_INT64",
    onnx.TensorProto.UINT8: "TYPE_UINT8",
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[ProfileName, Path]:
    """The shipped models in every profile. Read only."""
    folders = {name: tmp_path_factory.mktemp("rendered") / name for name in PROFILE_NAMES}
    for name, folder in folders.items():
        assert render_repository(SHIPPED_MODELS, folder, PROFILES[name]) == SHIPPED
    return folders


def configs(folder: Path) -> dict[str, model_config_pb2.ModelConfig]:
    return {name: read_config(folder / name / CONFIG) for name in SHIPPED}


def tensors(values: object, shape: str = "dims") -> list[tuple[str, str, list[int]]]:
    data_type = model_config_pb2.DataType
    return [(each.name, data_type.Name(each.data_type), list(each.dims)) for each in values]  # type: ignore[attr-defined]


def test_a_config_is_read_strictly(tmp_path: Path) -> None:
    """What Triton would not know is an error, and says where it is."""
    good = (SHIPPED_MODELS / SHIPPED[0] / CONFIG).read_text()
    for line in ("respnse_cache { enable: true }\n", "max_batch_size: many\n", 'parameters { key: "x" \n'):
        (tmp_path / CONFIG).write_text(good + line)
        with pytest.raises(RepositoryError, match=CONFIG):
            read_config(tmp_path / CONFIG)


def test_tensors_of_every_config_are_those_of_its_graph(rendered: dict[ProfileName, Path]) -> None:
    """Shipped and rendered; the batch axis, which Triton's configs leave out, is open in each graph."""
    for name in SHIPPED:
        graph = onnx.load(str(SHIPPED_MODELS / name / "1" / "model.onnx")).graph
        for values, field in ((graph.input, "input"), (graph.output, "output")):
            expected = []
            for value in values:
                dims = [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim]
                assert dims[0] == -1
                expected.append((value.name, ELEMENTS[value.type.tensor_type.elem_type], dims[1:]))
            for folder in (SHIPPED_MODELS, *rendered.values()):
                said = tensors(getattr(read_config(folder / name / CONFIG), field))
                # Triton fixes what the graph leaves open where all images of the model are of one size.
                assert [(n, t) for n, t, _ in said] == [(n, t) for n, t, _ in expected], (folder, name)
                for (_, _, dims), (_, _, of_graph) in zip(said, expected, strict=True):
                    assert len(dims) == len(of_graph), (folder, name)
                    assert all(g in (-1, d) for d, g in zip(dims, of_graph, strict=True)), (folder, name)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_profile_changes_settings_and_nothing_else(
    profile: ProfileName, rendered: dict[ProfileName, Path], tmp_path: Path
) -> None:
    before, after = configs(SHIPPED_MODELS), configs(rendered[profile])
    for name in SHIPPED:
        old, new = before[name], after[name]
        assert new.parameters["card"].string_value == old.parameters["card"].string_value
        assert new.parameters["profile"].string_value == profile
        assert (new.name, new.backend, new.input, new.output) == (
            old.name,
            old.backend,
            old.input,
            old.output,
        )
        assert 1 <= new.max_batch_size <= old.max_batch_size
        assert new.version_policy.latest.num_versions == VERSIONS_KEPT
        # No preferred sizes, delays, policies, priorities: with them, bursts stand still in Triton 2.51.
        assert new.HasField("dynamic_batching")
        assert not new.dynamic_batching.ListFields()
        assert {warmup.batch_size for warmup in new.model_warmup} == {1, new.max_batch_size}
        for warmup in new.model_warmup:
            assert set(warmup.inputs) == {tensor.name for tensor in new.input}
        model = (rendered[profile] / name / "1" / "model.onnx").read_bytes()
        assert model == (SHIPPED_MODELS / name / "1" / "model.onnx").read_bytes()
    again = tmp_path / "again"
    shutil.copytree(rendered[profile], again)
    render_repository(again, again, PROFILES[profile])
    assert configs(again) == after
    # From any profile to any other, with what the export said of batches.
    render_repository(again, again, PROFILES["cpu"])
    render_repository(again, again, PROFILES[profile])
    assert configs(again) == after


def test_only_models_of_fixed_shapes_answer_from_the_cache(rendered: dict[ProfileName, Path]) -> None:
    for folder in rendered.values():
        cached = {name for name, config in configs(folder).items() if config.response_cache.enable}
        assert cached == {name for name in SHIPPED if name.endswith("-synthesis")}


@pytest.mark.parametrize("profile", ["gpu", "gpu-tensorrt", "gpu-shared"])
def test_gpu_profiles(profile: ProfileName, rendered: dict[ProfileName, Path]) -> None:
    """What can be said without a GPU: kinds, accelerators and shapes; whether it computes, cannot."""
    for name, config in configs(rendered[profile]).items():
        (group,) = config.instance_group
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        if name.endswith("-mapping"):
            assert group.kind == Group.KIND_CPU
            assert not accelerators
            assert not group.rate_limiter.resources
            continue
        assert group.kind == Group.KIND_GPU
        assert not group.gpus  # all that Triton sees
        if profile == "gpu-shared":
            (slots,) = group.rate_limiter.resources
            assert (slots.name, getattr(slots, "global")) == (SLOT, False)
            assert 1 <= slots.count <= GPU_SLOTS
            assert group.rate_limiter.priority >= 1
        else:  # whoever waits for a slot may wait for ever
            assert not group.HasField("rate_limiter")
        names = [accelerator.name for accelerator in accelerators]
        tensorrt = profile == "gpu-tensorrt" and name.endswith("-synthesis")
        assert names == (["tensorrt", "cuda"] if tensorrt else ["cuda"])
        for accelerator in accelerators:
            # Triton's backend takes these from the config's parameters as soon as there are any.
            assert not {"cudnn_conv_algo_search", "gpu_mem_limit"} & set(accelerator.parameters)
        fixed = all(-1 not in tensor.dims for tensor in config.input)
        assert config.parameters["cudnn_conv_algo_search"].string_value == ("0" if fixed else "1")
        if tensorrt:
            given = accelerators[0].parameters
            assert given["precision_mode"] == "FP32"
            assert given["trt_engine_cache_enable"] == "0"  # it does not tell weights apart
            assert given["trt_profile_min_shapes"].startswith("ws:1x")
            for tensor in config.input:
                largest = "x".join(map(str, (config.max_batch_size, *tensor.dims)))
                assert f"{tensor.name}:{largest}" in given["trt_profile_max_shapes"].split(",")


@pytest.mark.parametrize(
    ("side", "batches"), [(64, (16, 16)), (256, (4, 16)), (512, (1, 16)), (1024, (1, 16)), (2048, (1, 4))]
)
def test_batches_get_smaller_as_images_get_larger(side: int, batches: tuple[int, int]) -> None:
    """On CPUs as measured: what is larger saves nothing in batches, and takes their memory."""
    path = SHIPPED_MODELS / "terrain-synthesis" / CONFIG
    config = read_config(path)
    config.output[0].dims[:2] = [side, side]
    for profile, batch in zip(("cpu", "gpu"), batches, strict=True):
        new = render_config(config, PROFILES[profile], path)
        assert new.max_batch_size == batch
        assert [warmup.batch_size for warmup in new.model_warmup] == sorted({1, batch})


def test_image_models_warm_up_with_sizes_they_take() -> None:
    path = SHIPPED_MODELS / "photo-x4" / CONFIG
    config = read_config(path)

    def sides() -> set[int]:
        new = render_config(config, PROFILES["gpu"], path)
        return {value.dims[0] for warmup in new.model_warmup for value in warmup.inputs.values()}

    assert sides() == {64, 192}
    card = json.loads(config.parameters["card"].string_value)
    config.parameters["card"].string_value = json.dumps({**card, "min_size": 80, "max_size": 128})
    assert sides() == {80, 128}


def test_slots_of_all_models_are_to_be_had() -> None:
    """An execution that asks for more than the flag gives would wait for ever."""
    (flag,) = (flag for flag in FLAGS if flag.name == "rate-limit-resource")
    resource, count = flag.value.split(":")
    wanted = [settings.slots for profile in PROFILES.values() for settings in profile.parts.values()]
    assert resource == SLOT
    assert max(wanted) <= int(count)


def test_a_repository_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in SHIPPED[:2]:
        shutil.copytree(SHIPPED_MODELS / name, source / name)
    (source / SHIPPED[1] / CONFIG).write_text("name: 1")
    with pytest.raises(RepositoryError, match=SHIPPED[1]):
        render_repository(source, target, PROFILES["cpu"])
    assert not target.exists()
    before = (source / SHIPPED[0] / CONFIG).read_bytes()
    with pytest.raises(RepositoryError, match=SHIPPED[1]):
        render_repository(source, source, PROFILES["cpu"])
    assert (source / SHIPPED[0] / CONFIG).read_bytes() == before
    shutil.rmtree(source / SHIPPED[1])
    render_repository(source, target, PROFILES["cpu"])
    with pytest.raises(RepositoryError, match="models already"):
        render_repository(source, target, PROFILES["gpu"])
    with pytest.raises(RepositoryError, match="no model"):
        render_repository(tmp_path / "nothing", tmp_path / "new", PROFILES["gpu"])
    # A card that does not say what the model is.
    config = read_config(source / SHIPPED[0] / CONFIG)
    config.parameters["card"].string_value = json.dumps({"kind": "painter"})
    (source / SHIPPED[0] / CONFIG).write_text(text_format.MessageToString(config))
    with pytest.raises(RepositoryError, match="painter"):
        render_repository(source, source, PROFILES["gpu"])


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_files_of_flags_are_what_the_table_says(profile: ProfileName) -> None:
    text = (ROOT / f"deploy/triton/tritonserver-{profile}.flags").read_text()
    assert text == flags_file(profile)
    assert [line for line in text.splitlines() if not line.startswith("#")] == server_flags(profile)


def test_the_chart_starts_triton_with_these_flags() -> None:
    """A template has no other way to them than to repeat them; some values are the chart's to set."""
    template = (ROOT / "deploy/helm/ganserve/templates/_triton.tpl").read_text()
    settable = {"load-model", "exit-timeout-secs", "cache-config"}
    for flag in FLAGS:
        wanted = f"--{flag.name}" if flag.name in settable else str(flag)
        assert wanted in template, flag


def test_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke
    target = tmp_path / "models"
    done = run(app, ["repository", "render", str(SHIPPED_MODELS), str(target), "--profile", "gpu"])
    assert done.exit_code == 0, done.output
    assert configs(target)["photo-x4"].parameters["profile"].string_value == "gpu"
    done = run(app, ["repository", "render", str(SHIPPED_MODELS), str(target), "--profile", "gpu"])
    assert done.exit_code == 1
    assert "models already" in done.output
    flags = ["repository", "flags", "--profile", "gpu"]
    printed = run(app, flags).output
    assert OPERATOR_KEY not in printed
    assert printed != run(app, flags).output  # a key that nobody knows
    assert "triton-operator=k3y\n" in run(app, flags, env={"TRITON_OPERATOR_KEY": "k3y"}).output
    assert run(app, [*flags, "--reasons"]).output == flags_file("gpu")


def test_models_of_mnn_stay_on_the_cpu(tmp_path: Path) -> None:
    """Whatever the machine has: the profile of GPUs asks for them and for accelerators of ONNX Runtime."""
    config = read_config(SHIPPED_MODELS / "photo-x4" / CONFIG)
    config.backend = "mnn"
    of_mnn = render_config(config, PROFILES["gpu"], tmp_path)
    assert [group.kind for group in of_mnn.instance_group] == [Group.KIND_CPU]
    assert not of_mnn.HasField("optimization")
    config.backend = "onnxruntime"
    assert render_config(config, PROFILES["gpu"], tmp_path).instance_group[0].kind == Group.KIND_GPU
