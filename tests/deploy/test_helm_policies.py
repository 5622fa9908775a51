"""What every pod of the chart has to be like, whatever the values; and that a rollout loses no call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.helm_chart import (
    OLDEST,
    VALUE_FILES,
    Object,
    container,
    containers,
    find,
    pod_of,
    rendered,
    workloads,
)


def _pods() -> Iterator[tuple[str, Object, Object]]:
    for values in VALUE_FILES:
        for workload in workloads(rendered(values)):
            yield f"{values} {workload['metadata']['name']}", workload, pod_of(workload)


def _containers() -> Iterator[tuple[str, Object, Object]]:
    for name, _, pod in _pods():
        for each in containers(pod):
            yield f"{name} {each['name']}", each, pod


def test_images_have_a_version_that_stays() -> None:
    for name, each, pod in _containers():
        images = [each["image"], *(v["image"]["reference"] for v in pod["spec"]["volumes"] if "image" in v)]
        for image in images:
            assert re.fullmatch(
                r"[a-z.]+/ganserve/[a-z-]+(:[0-9][0-9a-zA-Z.-]+|@sha256:[0-9a-f]{64})", image
            ), name
            assert not image.endswith(":latest"), name


def test_containers_say_what_they_need_and_are_held_to_it() -> None:
    for name, each, _ in _containers():
        requests, limits = each["resources"]["requests"], each["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests), name
        assert {"cpu", "memory"} <= set(limits), name
        for resource in set(limits) - {"cpu", "memory"}:  # GPUs cannot be requested in another number
            assert resource not in requests, name


def test_what_is_written_is_bounded() -> None:
    for name, _, pod in _pods():
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume:
                assert re.fullmatch("[0-9]+[MG]i", volume["emptyDir"]["sizeLimit"]), (name, volume)


def test_pods_are_restricted() -> None:
    """The level `restricted` of the pod security standards, and a root file system that is read-only."""
    for name, _, pod in _pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] >= 1000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert all(
            set(volume) & {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "image"}
            for volume in spec["volumes"]
        ), name
    for name, each, _ in _containers():
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["runAsNonRoot"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert not security.get("privileged"), name
        assert all("hostPort" not in port for port in each.get("ports", ())), name
        assert "/tmp" in [mount["mountPath"] for mount in each["volumeMounts"]] or each["name"] == "models", (
            name
        )


def test_nobody_has_a_token_for_the_cluster() -> None:
    for name, _, pod in _pods():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name
    for values in VALUE_FILES:
        account = find(rendered(values), "ServiceAccount", "ganserve")
        assert account["automountServiceAccountToken"] is False


def test_whoever_runs_long_has_three_probes() -> None:
    seen = set()
    for name, each, pod in _containers():
        if pod["spec"].get("restartPolicy") == "Never" or each["name"] in ("models", "profile"):
            continue
        seen.add(each["name"])
        live, ready = each["livenessProbe"]["httpGet"], each["readinessProbe"]["httpGet"]
        # That something else is away is a reason to take no calls, never one to be restarted.
        assert live["path"] in ("/healthz", "/v2/health/live"), name
        assert ready["path"] in ("/readyz", "/v2/health/ready"), name
        ports = {port["name"] for port in each["ports"]}
        assert {live["port"], ready["port"], each["startupProbe"]["httpGet"]["port"]} <= ports, name
        start = each["startupProbe"]
        patience = start["periodSeconds"] * start["failureThreshold"]
        assert patience >= (600 if each["name"] in ("triton", "worker") else 120), name
        assert each["readinessProbe"]["timeoutSeconds"] >= (3 if each["name"] == "gateway" else 1), name
    assert seen == {"gateway", "worker", "triton"}


@pytest.mark.parametrize("values", VALUE_FILES)
def test_workloads_survive_a_node_that_is_emptied(values: str) -> None:
    objects = rendered(values)
    budgets = [each for each in objects if each["kind"] == "PodDisruptionBudget"]
    for workload in workloads(objects):
        if workload["kind"] in ("Job", "Pod"):
            continue
        labels = pod_of(workload)["metadata"]["labels"]
        (budget,) = (
            each for each in budgets if each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        )
        assert budget["spec"]["maxUnavailable"] == 1
        spread = pod_of(workload)["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for each in spread:
            assert each["labelSelector"]["matchLabels"].items() <= labels.items()
            assert each["whenUnsatisfiable"] == "ScheduleAnyway"


@pytest.mark.parametrize("values", VALUE_FILES)
def test_selectors_find_the_pods_they_mean_and_no_others(values: str) -> None:
    objects = rendered(values)
    pods = {each["metadata"]["name"]: pod_of(each)["metadata"]["labels"] for each in workloads(objects)}
    meant = {"x-ganserve": "x-ganserve-gateway", "x-ganserve-triton": "x-ganserve-triton"}
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            assert each["spec"]["selector"]["matchLabels"].items() <= pods[each["metadata"]["name"]].items()
        if each["kind"] == "Service":
            selector = each["spec"]["selector"].items()
            found = [name for name, labels in pods.items() if selector <= labels.items()]
            assert found == [meant.get(each["metadata"]["name"], each["metadata"]["name"])]
            (owner,) = (one for one in workloads(objects) if one["metadata"]["name"] == found[0])
            named = {port["name"] for one in containers(pod_of(owner)) for port in one.get("ports", ())}
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= named


@pytest.mark.parametrize("values", VALUE_FILES)
@pytest.mark.parametrize("version", [OLDEST, "1.37"])
def test_pods_have_the_time_they_take_to_stop(values: str, version: str) -> None:
    if (values, version) == ("model-volume", OLDEST):
        return
    objects = rendered(values, version=version)
    for workload in workloads(objects):
        spec = pod_of(workload)["spec"]
        if workload["kind"] in ("Job", "Pod"):
            continue
        main = max(_seconds_to_stop(each, version) for each in spec["containers"])
        after = sum(
            _seconds_to_stop(each, version)
            for each in spec.get("initContainers", ())
            if "restartPolicy" in each
        )
        assert spec["terminationGracePeriodSeconds"] >= main + after + 5
        assert spec["terminationGracePeriodSeconds"] <= main + after + 15, (
            "a crash would be waited for too long"
        )


def _seconds_to_stop(each: Object, version: str) -> int:
    hook = each.get("lifecycle", {}).get("preStop", {})
    assert set(hook) <= ({"exec"} if version == OLDEST else {"sleep"}), "the kubelet of 1.29 cannot sleep"
    before = int(hook["exec"]["command"][1]) if "exec" in hook else hook.get("sleep", {}).get("seconds", 0)
    environment = {one["name"]: one.get("value") for one in each["env"]}
    if "--strict-readiness=false" in each["args"]:
        (limit,) = (one for one in each["args"] if one.startswith("--exit-timeout-secs="))
        return before + int(limit.partition("=")[2])
    return before + int(environment["GANSERVE_STOP_TIMEOUT_SECONDS"])


def test_a_rollout_of_gateways_never_has_fewer_than_before() -> None:
    gateway = find(rendered("model-image"), "Deployment", "-gateway")
    assert gateway["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    environment = {one["name"]: one.get("value") for one in container(gateway, "gateway")["env"]}
    assert int(environment["GANSERVE_DRAIN_SECONDS"]) >= 5
    assert container(gateway, "gateway")["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_a_triton_beside_a_gateway_is_there_before_it_and_after_it() -> None:
    objects = rendered("paired")
    for kind, name in (("Deployment", "-gateway"), ("StatefulSet", "-worker")):
        spec = pod_of(find(objects, kind, name))["spec"]
        (sidecar,) = (each for each in spec["initContainers"] if each["name"] == "triton")
        assert sidecar["restartPolicy"] == "Always"
        assert "--grpc-address=127.0.0.1" in sidecar["args"]
        assert sidecar["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert not [
        each for each in objects if each["metadata"]["name"].endswith("-triton") and each["kind"] == "Service"
    ]


@pytest.mark.parametrize("values", VALUE_FILES)
def test_replicas_are_either_fixed_or_scaled(values: str) -> None:
    objects = rendered(values)
    scaled = {
        (each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"])
        for each in objects
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    there = {(each["kind"], each["metadata"]["name"]): each for each in workloads(objects)}
    assert scaled <= set(there)
    for target, workload in there.items():
        if workload["kind"] not in ("Job", "Pod"):
            assert ("replicas" in workload["spec"]) == (target not in scaled), target


@pytest.mark.parametrize("values", VALUE_FILES)
def test_secrets_are_in_secrets(values: str) -> None:
    objects = rendered(values)
    for each in objects:
        if each["kind"] == "ConfigMap":
            text = str(each["data"]).lower()
            assert not re.search("password|secret|://[^/@ ]+:[^/@ ]+@|whsec_", text), each["metadata"]["name"]
    for name, each, _ in _containers():
        told = " ".join([*each.get("command", ()), *each.get("args", ())]).lower()
        assert not re.search("password|whsec_|://[^/@ ]+:[^/@ ]+@", told), name
        for variable in each.get("env", ()):
            if re.search("SECRET|PASSWORD|_KEY$|KEY_ID|DATABASE_URL|STORAGE", variable["name"]):
                assert "secretKeyRef" in variable.get("valueFrom", {}), (name, variable["name"])


def test_a_changed_setting_replaces_gateways_and_workers_but_not_triton() -> None:
    before = rendered("model-volume")
    after = rendered("model-volume", sets=("settings.QUEUE_LIMIT=7",))
    for kind, name, same in (
        ("Deployment", "-gateway", False),
        ("StatefulSet", "-worker", False),
        ("Deployment", "-triton", True),
    ):
        assert (pod_of(find(before, kind, name)) == pod_of(find(after, kind, name))) is same


def test_migrations_run_before_everything_else_with_their_own_account() -> None:
    job = find(rendered("gpu-production"), "Job", "-migrations")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    each = container(job, "migrations")
    assert each["args"] == ["migrate"]
    assert _secret_of(each, "GANSERVE_DATABASE_URL") == ("ganserve-database-owner", "url")
    gateway = container(find(rendered("gpu-production"), "Deployment", "-gateway"), "gateway")
    assert _secret_of(gateway, "GANSERVE_DATABASE_URL") == ("ganserve-database", "url")
    # A URL from the values is in a Secret that is there before the release is.
    objects = rendered("model-image")
    name, key = _secret_of(
        container(find(objects, "Job", "-migrations"), "migrations"), "GANSERVE_DATABASE_URL"
    )
    secret = find(objects, "Secret", name)
    assert secret["stringData"][key].startswith("postgresql://")
    assert int(secret["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
    assert secret["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def _secret_of(each: Object, variable: str) -> tuple[str, str]:
    (found,) = (one for one in each["env"] if one["name"] == variable)
    reference: dict[str, Any] = found["valueFrom"]["secretKeyRef"]
    return reference["name"], reference["key"]


def test_a_release_that_trains_has_nothing_else() -> None:
    kinds = sorted(each["kind"] for each in rendered("training"))
    assert kinds == ["Job", "NetworkPolicy", "PodMonitor", "ServiceAccount"]


def test_an_evicted_training_run_goes_on() -> None:
    job = find(rendered("training"), "Job", "-train-cats")
    assert job["spec"]["podReplacementPolicy"] == "Failed", "two pods would write one run"
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    each = container(job, "training")
    assert "--resume" in each["command"][-2]
    assert each["args"][:5] == ["--standalone", "--nproc-per-node=8", "-m", "training", "train"]
    assert each["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert each["ports"] == [{"name": "training-metrics", "containerPort": 9400}]


def test_only_the_api_is_published() -> None:
    (rule,) = find(rendered("paired"), "Ingress", "ganserve")["spec"]["rules"]
    paths = [each["path"] for each in rule["http"]["paths"]]
    assert paths == ["/v1", "/docs", "/openapi.json", "/problems"]
    route = find(rendered("gpu-production"), "HTTPRoute", "ganserve")["spec"]
    jobs, others = route["rules"]
    assert [each["path"]["value"] for each in others["matches"]] == paths
    assert jobs["matches"][0]["path"]["value"] == "/v1/jobs"
    assert jobs["timeouts"]["request"] == "0s", "events of a job have no end"
    assert others["timeouts"]["request"] == "660s"


def test_nginx_lets_uploads_and_streams_through() -> None:
    annotations = find(rendered("paired"), "Ingress", "ganserve")["metadata"]["annotations"]
    nginx = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    assert nginx["proxy-body-size"] == "8g"
    assert nginx["proxy-buffering"] == nginx["proxy-request-buffering"] == "off"
    assert int(nginx["proxy-read-timeout"]) > 600
    # What an operator says himself counts.
    said = r"ingress.annotations.nginx\.ingress\.kubernetes\.io/proxy-read-timeout=7200"
    annotations = find(rendered("paired", strings=(said,)), "Ingress", "ganserve")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "7200"
