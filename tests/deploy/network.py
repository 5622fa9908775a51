"""Network policies as the network sees them: may this one connect to that one on that port?"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Place:
    """A pod, or something outside of the cluster.

    Attributes:
        address: Its IP address.
        namespace: Of a pod; nothing outside.
        labels: Of a pod.
    """

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def may_connect(
    policies: Sequence[Mapping[str, Any]], source: Place, target: Place, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection is let out at its source and in at its target.

    Args:
        policies: NetworkPolicy objects.
        source: Who connects.
        target: To whom.
        port: A number.
        protocol: TCP or UDP.
    """
    return _passes(policies, "Egress", source, target, port, protocol) and _passes(
        policies, "Ingress", target, source, port, protocol
    )


def policies_for(policies: Sequence[Mapping[str, Any]], pod: Place, way: str) -> list[Mapping[str, Any]]:
    """The policies that hold for a pod, for `Ingress` or `Egress`."""
    return [
        each
        for each in policies
        if each["metadata"].get("namespace", pod.namespace) == pod.namespace
        and pod.namespace
        and way in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], pod.labels)
    ]


def _passes(
    policies: Sequence[Mapping[str, Any]], way: str, pod: Place, other: Place, port: int, protocol: str
) -> bool:
    holding = policies_for(policies, pod, way)
    if not holding:
        return True
    peers = "to" if way == "Egress" else "from"
    return any(
        _has_port(rule, port, protocol)
        and (not rule.get(peers) or any(_is_peer(peer, pod, other) for peer in rule[peers]))
        for each in holding
        for rule in each["spec"].get(way.lower()) or ()
    )


def _has_port(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        each.get("protocol", "TCP") == protocol and each.get("port", port) == port for each in ports
    )


def _is_peer(peer: Mapping[str, Any], pod: Place, other: Place) -> bool:
    if "ipBlock" in peer:
        address, block = ipaddress.ip_address(other.address), peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(each) for each in block.get("except", ())
        )
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": other.namespace}
        if not _selects(peer["namespaceSelector"], names):
            return False
    elif other.namespace != pod.namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "these tests know matchLabels alone"
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
