"""The chart as `helm template` renders it, and its objects checked against schemas.

jsonschema compiles grammars when it is imported, for seconds: only what checks schemas imports it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from referencing import Registry, Resource

from tests.operator_tools import tool

if TYPE_CHECKING:
    import jsonschema

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "ganserve"
VALUE_FILES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
SERVING = [name for name in VALUE_FILES if name != "training"]
NAMESPACE = "images"
OLDEST, MIDDLE, NEWEST = VERSIONS = ("1.29", "1.33", "1.37")

_SCHEMAS = Path(importlib.util.find_spec("kubernetes_validate").origin).with_name("kubernetes-json-schema")
_CRD_SCHEMAS = Path(__file__).with_name("crd_schemas")
_WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod")

Object = dict[str, Any]


class RenderError(Exception):
    """Helm refused; the text is what it said."""


def helm(*arguments: str) -> str:
    """What helm prints."""
    done = subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RenderError(done.stderr + done.stdout)
    return done.stdout


@functools.cache
def rendered(
    values: str,
    *,
    version: str = NEWEST,
    release: str = "x",
    sets: tuple[str, ...] = (),
    strings: tuple[str, ...] = (),
    chart: Path = CHART,
) -> tuple[Object, ...]:
    """The objects that one of the value files makes; not to be changed.

    Args:
        values: Stem of a file in `ci/`, or nothing for the defaults.
        version: Of Kubernetes.
        release: Name of the release.
        sets: What `--set` changes.
        strings: The same, taken as text whatever they look like.
        chart: Another chart than ours.
    """
    files = ("--values", str(CHART / "ci" / f"{values}.yaml")) if values else ()
    changes = [argument for change in sets for argument in ("--set", change)]
    changes += [argument for change in strings for argument in ("--set-string", change)]
    text = helm(
        "template", release, str(chart), "--namespace", NAMESPACE, "--kube-version", version, *files, *changes
    )
    return tuple(each for each in yaml.load_all(text, _StrictLoader) if each is not None)


def find(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """The object of that kind whose name ends so."""
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    assert len(found) == 1, [(each["kind"], each["metadata"]["name"]) for each in objects]
    return found[0]


def workloads(objects: tuple[Object, ...]) -> list[Object]:
    """What makes pods."""
    return [each for each in objects if each["kind"] in _WORKLOADS]


def pod_of(workload: Object) -> Object:
    """The pod a workload makes: metadata and spec."""
    made: Object = workload if workload["kind"] == "Pod" else workload["spec"]["template"]
    return made


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, those that run before the others first."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def container(workload: Object, name: str) -> Object:
    """One container by its name."""
    (found,) = (each for each in containers(pod_of(workload)) if each["name"] == name)
    return found


def problems(objects: tuple[Object, ...], version: str) -> list[str]:
    """What a strict server of that version would refuse."""
    import jsonschema

    found = []
    for each in objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        path = _CRD_SCHEMAS / f"{each['kind'].lower()}.json"
        try:
            if path.exists():
                _custom(path).validate(each)
            else:
                _core(version, each["kind"], each["apiVersion"]).validate(each)
        except jsonschema.ValidationError as error:
            found.append(f"{name}, {version}: {'.'.join(map(str, error.path))}: {error.message}")
    return found


# `kubernetes_validate.validate` reads all definitions of a version again for each object.
@functools.cache
def _core(version: str, kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    """Of a kind of Kubernetes' own; one that the version does not know raises FileNotFoundError."""
    import jsonschema

    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    text = (_SCHEMAS / f"v{version}.0-local-strict" / f"{kind.lower()}-{group}.json").read_text("utf-8")
    return jsonschema.Draft202012Validator(json.loads(text), registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    text = (_SCHEMAS / f"v{version}.0-local-strict" / "_definitions.json").read_text("utf-8")
    return Resource.from_contents(json.loads(text)) @ Registry()


@functools.cache
def _custom(path: Path) -> jsonschema.Draft202012Validator:
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(path.read_text("utf-8")))


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that is there twice, as Kubernetes does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"twice the same key: {twice}", node.start_mark
            )
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]
