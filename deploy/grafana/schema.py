"""What is wrong with a dashboard's JSON, held against what Grafana imports and what we ask of panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import deploy.grafana.panels as made
from deploy.grafana.promql import metrics

UNITS: Final = frozenset(("short", "percentunit", "reqps", "ops", "s", "bytes", "watt", "joule", "sci"))
"""Ids of Grafana's units that panels may have."""

_COLOURS: Final = frozenset(("green", "orange", "red", "blue"))
_TOP: Final = {
    "uid": str,
    "title": str,
    "description": str,
    "tags": list,
    "schemaVersion": int,
    "version": int,
    "editable": bool,
    "graphTooltip": int,
    "refresh": str,
    "timezone": str,
    "time": dict,
    "timepicker": dict,
    "links": list,
    "annotations": dict,
    "templating": dict,
    "panels": list,
}
_PANEL: Final = {
    "id": int,
    "type": str,
    "title": str,
    "description": str,
    "datasource": dict,
    "gridPos": dict,
    "targets": list,
    "fieldConfig": dict,
    "options": dict,
    "transformations": list,
}
_OWN_VARIABLES: Final = frozenset(("__rate_interval", "__range", "__all"))


def faults(dashboard: dict[str, Any]) -> list[str]:
    """Everything that is wrong, in words; nothing if all is well.

    Args:
        dashboard: As it is imported.
    """
    found = list(_typed("dashboard", dashboard, _TOP))
    if found:
        return found
    if dashboard["schemaVersion"] != made.SCHEMA_VERSION:
        found.append("another schemaVersion")
    if not 4 <= len(dashboard["uid"]) <= 40:
        found.append("a uid has 4 to 40 characters")
    found += _variables(dashboard)
    panels = dashboard["panels"]
    numbers = [panel.get("id") for panel in panels]
    if len(set(numbers)) != len(numbers):
        found.append("two panels have one id")
    for panel in panels:
        name = f"{dashboard['uid']}: {panel.get('title')!r}"
        if panel.get("type") == "row":
            found += [] if panel["title"] and panel["panels"] == [] else [f"{name}: a row has a title alone"]
        else:
            found += _panel(name, panel)
    return [*found, *_overlaps(panels)]


def _typed(name: str, thing: dict[str, Any], types: dict[str, type]) -> Iterator[str]:
    for key in sorted(types.keys() ^ thing.keys()):
        yield f"{name}: {key} is {'missing' if key in types else 'unknown'}"
    for key in types.keys() & thing.keys():
        if type(thing[key]) is not types[key]:
            yield f"{name}: {key} is no {types[key].__name__}"


def _panel(name: str, panel: dict[str, Any]) -> Iterator[str]:
    wrong = list(_typed(name, panel, _PANEL))
    if wrong:
        yield from wrong
        return
    if len(panel["description"]) < 15 or not panel["description"].endswith("."):
        yield f"{name}: the description says too little"
    if not 3 <= len(panel["title"]) <= 50:
        yield f"{name}: a title has 3 to 50 characters"
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["unit"] not in UNITS:
        yield f"{name}: the unit {defaults['unit']!r}"
    steps = defaults["thresholds"]["steps"]
    values = [step["value"] for step in steps]
    if values[0] is not None or values[1:] != sorted(values[1:]) or None in values[1:]:
        yield f"{name}: thresholds begin with null and rise"
    if not {step["color"] for step in steps} <= _COLOURS:
        yield f"{name}: a threshold has another colour"
    if panel["datasource"] != made.DATASOURCE:
        yield f"{name}: the datasource is not the one that is chosen"
    yield from _targets(name, panel)


def _targets(name: str, panel: dict[str, Any]) -> Iterator[str]:
    targets = panel["targets"]
    references = [target["refId"] for target in targets]
    if not targets or len(set(references)) != len(references):
        yield f"{name}: queries, each with a refId of its own"
    for target in targets:
        if target["datasource"] != made.DATASOURCE:
            yield f"{name}: a query asks another datasource"
        if not target["expr"].strip() or not metrics(target["expr"]):
            yield f"{name}: a query names no metric"
        if target["expr"].count("(") != target["expr"].count(")"):
            yield f"{name}: brackets do not match"
        if target["range"] is target["instant"]:
            yield f"{name}: either over a range or at an instant"
        if panel["type"] == "table" and target.get("format") != "table":
            yield f"{name}: rows of a table are asked for as such"
        if panel["type"] != "table" and target["legendFormat"] == "__auto":
            yield f"{name}: a series has a name for people"
    if panel["type"] == "table":
        join, organise = panel["transformations"]
        if join["options"]["byField"] not in organise["options"]["includeByName"]:
            yield f"{name}: the column that rows are joined by is shown"


def _variables(dashboard: dict[str, Any]) -> Iterator[str]:
    variables = dashboard["templating"]["list"]
    names = [variable["name"] for variable in variables]
    if names[0] != "datasource" or len(set(names)) != len(names):
        yield "the datasource is chosen first, and every name is there once"
    used: set[str] = set()
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    texts += [variable["query"]["query"] for variable in variables[1:]]
    texts += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for text in texts:
        used |= set(made.variables(text))
    for name in sorted(used - set(names) - _OWN_VARIABLES):
        yield f"the variable {name} is not there"
    for name in sorted(set(names) - used - {"datasource"}):
        yield f"the variable {name} is not used"


def _overlaps(panels: list[dict[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], dict[str, Any]] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["w"] < 1 or place["h"] < 1 or place["x"] + place["w"] > made.COLUMNS:
            yield f"{panel['title']!r} is beside the grid"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel)
                if other is not panel:
                    yield f"{panel['title']!r} lies on {other['title']!r}"
                    return
