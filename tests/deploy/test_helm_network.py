"""Who may reach whom, by the chart's network policies."""

from __future__ import annotations

import pytest

from tests.deploy.helm_chart import NAMESPACE, VALUE_FILES, Object, pod_of, rendered, workloads
from tests.deploy.network import Place, may_connect, policies_for

STRANGERS = {
    "prometheus": Place("10.1.0.1", "monitoring", {"app": "prometheus"}),
    "ingress": Place("10.1.0.2", "gateways", {"app": "envoy"}),
    "neighbour": Place("10.1.0.3", NAMESPACE, {"app": "something"}),
    "another release": Place(
        "10.1.0.4",
        NAMESPACE,
        {
            "app.kubernetes.io/name": "ganserve",
            "app.kubernetes.io/instance": "y",
            "app.kubernetes.io/component": "gateway",
        },
    ),
    "internet": Place("93.184.216.34"),
}
DNS = Place("10.1.0.9", "kube-system", {"k8s-app": "kube-dns"})
INTERNET = STRANGERS["internet"]
DATABASE = Place("10.20.0.7")
METADATA = Place("169.254.169.254")


def _policies(objects: tuple[Object, ...]) -> list[Object]:
    return [each for each in objects if each["kind"] == "NetworkPolicy"]


def _places(objects: tuple[Object, ...]) -> dict[str, Place]:
    """The pods of the release by their component."""
    labels = [pod_of(each)["metadata"]["labels"] for each in workloads(objects)]
    return {
        each["app.kubernetes.io/component"]: Place(f"10.1.1.{number}", NAMESPACE, each)
        for number, each in enumerate(labels)
    }


def _who(objects: tuple[Object, ...], component: str, port: int) -> set[str]:
    places = _places(objects)
    return {
        name
        for name, place in (places | STRANGERS).items()
        if name != component and may_connect(_policies(objects), place, places[component], port)
    }


@pytest.mark.parametrize("values", VALUE_FILES)
def test_no_pod_is_without_a_policy(values: str) -> None:
    objects = rendered(values)
    for place in _places(objects).values():
        for way in ("Ingress", "Egress"):
            assert policies_for(_policies(objects), place, way), (place.labels, way)


@pytest.mark.parametrize("values", ["gpu-production", "model-image", "model-volume"])
def test_gateways_and_workers_alone_run_models(values: str) -> None:
    objects = rendered(values)
    assert _who(objects, "triton", 8001) == {"gateway", "worker"}
    assert _who(objects, "triton", 8002) == {"prometheus"}
    assert _who(objects, "triton", 8000) == set(), "Triton's HTTP endpoint is for probes"


def test_a_triton_of_ones_own_is_reached_by_nobody_else() -> None:
    objects = rendered("paired")
    for component in ("gateway", "worker"):
        assert _who(objects, component, 8001) == set()
        assert _who(objects, component, 8000) == set()
        assert _who(objects, component, 8002) == {"prometheus"}


def test_the_gateway_is_reached_by_those_who_are_named_and_scraped() -> None:
    assert _who(rendered("gpu-production"), "gateway", 8080) == {"ingress", "prometheus", "test"}
    assert _who(rendered("gpu-production"), "worker", 8081) == {"prometheus"}
    # By default anything in the cluster may call it, since that is how an Ingress controller comes.
    assert "internet" not in _who(rendered("model-image"), "gateway", 8080)
    assert "neighbour" in _who(rendered("model-image"), "gateway", 8080)
    assert _who(rendered("cpu-minimal"), "gateway", 8081) == {"prometheus"}
    assert _who(rendered("training"), "training", 9400) == {"prometheus"}


def test_each_reaches_what_it_needs() -> None:
    objects = rendered("gpu-production")
    policies, places = _policies(objects), _places(objects)
    redis = Place("10.1.2.1", NAMESPACE, {"app": "redis"})
    collector = Place("10.1.2.2", "monitoring", {"app": "collector"})
    reached = {
        component: {
            name
            for name, target, port, protocol in (
                ("dns", DNS, 53, "UDP"),
                ("triton", places["triton"], 8001, "TCP"),
                ("database", DATABASE, 5432, "TCP"),
                ("objects", Place("52.219.1.1"), 443, "TCP"),
                ("redis", redis, 6379, "TCP"),
                ("traces", collector, 4318, "TCP"),
                ("webhooks", INTERNET, 443, "TCP"),
                ("any port", INTERNET, 8443, "TCP"),
                ("metadata", METADATA, 80, "TCP"),
                ("neighbour", STRANGERS["neighbour"], 80, "TCP"),
            )
            if may_connect(policies, place, target, port, protocol)
        }
        for component, place in places.items()
    }
    common = {"dns", "triton", "database", "objects", "traces", "webhooks"}
    assert reached == {
        "gateway": common | {"redis"},
        "worker": common,
        "triton": {"dns", "traces"},
        "migrations": {"dns", "database"},
        "test": {"dns"},
    }


def test_without_s3_only_webhooks_leave_the_cluster() -> None:
    objects = rendered("model-image")
    policies, places = _policies(objects), _places(objects)
    assert may_connect(policies, places["worker"], INTERNET, 443)
    assert not may_connect(policies, places["worker"], INTERNET, 80)
    assert not may_connect(policies, places["worker"], Place("192.168.3.4"), 443), "not to private addresses"
    assert not may_connect(policies, places["worker"], METADATA, 443)
    assert not may_connect(policies, places["gateway"], INTERNET, 443)
    assert not may_connect(policies, places["triton"], INTERNET, 443)


def test_triton_reaches_the_object_store_where_models_are_in_one() -> None:
    objects = rendered("paired")
    assert may_connect(_policies(objects), _places(objects)["worker"], Place("52.219.1.1"), 443)


def test_training_reaches_nobody() -> None:
    objects = rendered("training")
    policies, training = _policies(objects), _places(objects)["training"]
    assert may_connect(policies, training, DNS, 53, "UDP")
    for target in (INTERNET, DATABASE, STRANGERS["neighbour"], STRANGERS["another release"]):
        assert not any(may_connect(policies, training, target, port) for port in (80, 443, 5432, 8001, 8080))
