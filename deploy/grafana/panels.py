"""Panels and dashboards as values, and as the JSON that Grafana imports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["timeseries", "stat", "heatmap", "table", "state-timeline", "bargauge"]
Threshold = tuple[float | None, str]

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")

GOOD: Final[Sequence[Threshold]] = ((None, "green"),)
PLAIN: Final[Sequence[Threshold]] = ((None, "blue"),)


@dataclass(frozen=True)
class Query:
    """What a panel asks.

    Attributes:
        expression: PromQL, with variables of the dashboard.
        legend: Of its series, such as `{{model}}`.
        exemplars: Whether traces are shown as points.
        table: Whether it is asked once, for rows of a table.
    """

    expression: str
    legend: str = ""
    exemplars: bool = False
    table: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: Of visualisation.
        title: Short.
        description: What is seen, and what is good.
        unit: One of Grafana's.
        queries: At least one.
        width: Of 24 columns.
        height: In rows of the grid.
        thresholds: Colours from values on; the first has None for a value.
        lines: Whether the thresholds are drawn into the graph.
        stacked: Whether series are put on top of each other.
        minimum: Of the axis.
        maximum: Of the axis.
        decimals: Of numbers.
        words: Text and colour instead of numbers.
        names_only: For `stat`: shows the legend rather than the value.
        join: For tables: the column by which the answers are joined.
        columns: For tables: names of columns that are shown, in order, by the labels they show.
    """

    kind: Kind
    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    thresholds: Sequence[Threshold] = GOOD
    lines: bool = False
    stacked: bool = False
    minimum: float | None = 0
    maximum: float | None = None
    decimals: int | None = None
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    names_only: bool = False
    join: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at a place of the grid."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [_target(query, n, self.kind) for n, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
            "transformations": self._transformations(),
        }

    def _defaults(self) -> dict[str, Any]:
        steps = [{"value": value, "color": colour} for value, colour in self.thresholds]
        by_thresholds = self.kind in ("stat", "bargauge", "state-timeline")
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "color": {"mode": "thresholds" if by_thresholds else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": [],
            "custom": {},
            "noValue": "–",
        }
        if self.words:
            options = {
                value: {"index": n, "text": text, "color": colour}
                for n, (value, (text, colour)) in enumerate(self.words.items())
            }
            defaults["mappings"] = [{"type": "value", "options": options}]
        for name, value in (("min", self.minimum), ("max", self.maximum), ("decimals", self.decimals)):
            if value is not None:
                defaults[name] = value
        if self.kind == "timeseries":
            defaults["custom"] = {
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": 25 if self.stacked else 8,
                "gradientMode": "none",
                "showPoints": "auto",
                "pointSize": 4,
                "spanNulls": False,
                "axisPlacement": "auto",
                "axisSoftMin": 0,
                "scaleDistribution": {"type": "linear"},
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "line" if self.lines else "off"},
            }
        elif self.kind == "state-timeline":
            defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
        elif self.kind == "table":
            defaults["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}
        return defaults

    def _options(self) -> dict[str, Any]:
        if self.kind == "timeseries":
            return {
                "legend": {
                    "displayMode": "table",
                    "placement": "bottom",
                    "showLegend": True,
                    "calcs": ["mean", "max", "lastNotNull"],
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        if self.kind == "heatmap":
            return {
                "calculate": False,
                "cellGap": 1,
                "color": {
                    "mode": "scheme",
                    "scheme": "Oranges",
                    "scale": "exponential",
                    "exponent": 0.5,
                    "steps": 64,
                },
                "yAxis": {"unit": self.unit, "axisPlacement": "left", "reverse": False},
                "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": False},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "filterValues": {"le": 1e-9},
                "rowsFrame": {"layout": "auto"},
            }
        if self.kind == "table":
            return {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"]}}
        if self.kind == "state-timeline":
            return {
                "showValue": "auto",
                "rowHeight": 0.85,
                "mergeValues": True,
                "alignValue": "left",
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        if self.kind == "bargauge":
            return {
                "reduceOptions": reduce,
                "orientation": "horizontal",
                "displayMode": "basic",
                "showUnfilled": True,
            }
        return {
            "reduceOptions": reduce,
            "colorMode": "value",
            "graphMode": "none" if self.names_only or self.words else "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "name" if self.names_only else "auto",
            "wideLayout": True,
        }

    def _transformations(self) -> list[dict[str, Any]]:
        if self.kind != "table":
            return []
        organised: dict[str, Any] = {
            "includeByName": dict.fromkeys(self.columns, True),
            "indexByName": {label: n for n, label in enumerate(self.columns)},
            "renameByName": dict(self.columns),
            "excludeByName": {},
        }
        join = {"id": "joinByField", "options": {"byField": self.join, "mode": "outer"}}
        return [join, {"id": "organize", "options": organised}]


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard, of several values or all.

    Attributes:
        name: As panels have it, without the dollar sign.
        label: For people.
        values: `label_values(…)`.
    """

    name: str
    label: str
    values: str

    def as_json(self) -> dict[str, Any]:
        """The variable."""
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "definition": self.values,
            "query": {"query": self.values, "refId": f"{self.name}-values"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "regex": "",
            "hide": 0,
        }


@dataclass(frozen=True)
class Annotation:
    """What is marked in all graphs of a dashboard."""

    name: str
    colour: str
    expression: str
    title: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """The annotation."""
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": self.colour,
            "expr": self.expression,
            "step": "60s",
            "titleFormat": self.title,
            "textFormat": self.text,
            "useValueForTime": False,
        }


@dataclass(frozen=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    annotations: Sequence[Annotation] = ()
    since: str = "now-6h"

    def panels(self) -> Iterator[Panel]:
        """All panels, from top to bottom."""
        for row in self.rows:
            yield from row.panels

    def as_json(self) -> dict[str, Any]:
        """What Grafana imports."""
        datasource = {
            "type": "datasource",
            "name": "datasource",
            "label": "Prometheus",
            "query": "prometheus",
            "current": {},
            "options": [],
            "regex": "",
            "refresh": 1,
            "multi": False,
            "includeAll": False,
            "hide": 0,
        }
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["ganserve"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "timepicker": {},
            "links": [
                {
                    "type": "dashboards",
                    "title": "ganserve",
                    "tags": ["ganserve"],
                    "asDropdown": False,
                    "icon": "external link",
                    "includeVars": True,
                    "keepTime": True,
                    "targetBlank": False,
                    "tooltip": "The other dashboards of ganserve",
                    "url": "",
                }
            ],
            "annotations": {"list": [annotation.as_json() for annotation in self.annotations]},
            "templating": {"list": [datasource, *(variable.as_json() for variable in self.variables)]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        number, y = 0, 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
            y, x, height = y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                number += 1
                yield panel.as_json(number, x, y)
                x, height = x + panel.width, max(height, panel.height)
            y += height


def _target(query: Query, index: int, kind: Kind) -> dict[str, Any]:
    target: dict[str, Any] = {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "range": not query.table,
        "instant": query.table,
        "exemplar": query.exemplars,
    }
    if kind == "table":
        target["format"] = "table"
    elif kind == "heatmap":
        target["format"] = "heatmap"
    return target


def variables(text: str) -> list[str]:
    """Names of the variables in a query."""
    return _VARIABLE.findall(text)
