"""Pictures of dashboards with what a Prometheus has, for whoever has no Grafana at hand.

`python -m deploy.grafana.preview http://localhost:9090 FOLDER [SECONDS]` writes a PNG for each dashboard, of
so long until now. Layout, titles, units, thresholds and data are those of Grafana; what it looks like in
detail is not.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import variables

_CELL: Final = (74, 38)
_GAP: Final = 6
_SERIES: Final = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d")
_COLOURS: Final = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
_FONT: Final = "font-family='DejaVu Sans'"

Series = tuple[str, list[tuple[float, float]]]


def main() -> None:
    """Draws all dashboards."""
    import resvg_py  # of the extra `train`

    url, folder = sys.argv[1], Path(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 900
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        picture = svg(dashboard.as_json(), _Source(url, seconds))
        path = folder / f"{dashboard.uid}.png"
        path.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=picture)))
        print(path)


def svg(dashboard: dict[str, Any], source: _Source) -> str:
    """A dashboard as SVG.

    Args:
        dashboard: As Grafana imports it.
        source: Where its queries are answered.
    """
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * _CELL[0], rows * _CELL[1] + 50
    parts = [f"<rect width='{width}' height='{height}' fill='#111217'/>"]
    names = ", ".join(f"${variable['name']}" for variable in dashboard["templating"]["list"])
    parts.append(_text(12, 30, f"{dashboard['title']}   {names}", 18, "#ffffff"))
    for panel in panels:
        place = panel["gridPos"]
        x, y = place["x"] * _CELL[0], place["y"] * _CELL[1] + 44
        w, h = place["w"] * _CELL[0] - _GAP, place["h"] * _CELL[1] - _GAP
        parts.append(f"<g transform='translate({x + _GAP / 2:g},{y})'>{_panel(panel, w, h, source)}</g>")
    return f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>{''.join(parts)}</svg>"


class _Source:
    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds

    def series(self, panel: dict[str, Any]) -> list[Series]:
        """What the queries of a panel give over the time that is shown, under their legends."""
        now, found = time.time(), []
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "30s")
            for name in variables(expression):
                expression = expression.replace(f"${name}", ".*")
            times = {"start": now - self._seconds, "end": now, "step": max(1.0, self._seconds / 200)}
            query = urllib.parse.urlencode({"query": expression, **times})
            with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{query}", timeout=30) as answer:  # noqa: S310
                for one in json.load(answer)["data"]["result"]:
                    values = [(float(t), float(v)) for t, v in one["values"] if math.isfinite(float(v))]
                    found.append((_named(target["legendFormat"], one["metric"]), values))
        return found


def _named(legend: str, labels: dict[str, str]) -> str:
    if legend == "__auto":
        return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    for key, value in labels.items():
        legend = legend.replace("{{" + key + "}}", value)
    return legend


def _panel(panel: dict[str, Any], w: float, h: float, source: _Source) -> str:
    if panel["type"] == "row":
        return _text(4, 22, f"▾ {panel['title']}", 15, "#d8d9da")
    frame = f"<rect width='{w}' height='{h}' rx='3' fill='#181b1f' stroke='#2c3235'/>"
    title = _text(8, 18, panel["title"], 12.5, "#d8d9da")
    series = [one for one in source.series(panel) if one[1]]
    if not series:
        return frame + title + _text(w / 2 - 25, h / 2, "no data", 13, "#8e8e8e")
    draw = {"timeseries": _graph, "heatmap": _heatmap, "table": _table, "state-timeline": _timeline}
    if panel["type"] == "bargauge":
        return frame + title + _bars(panel, series, w, h)
    return frame + title + draw.get(panel["type"], _stat)(panel, series, w, h)


def _stat(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    parts, height = [], (h - 24) / len(series)
    for n, (name, values) in enumerate(series):
        value = values[-1][1]
        size = min(34.0, height * 0.5)
        y = 24 + height * n + height / 2 + size / 3
        shown = name if panel["options"].get("textMode") == "name" else _shown(panel, value)
        if len(series) > 1:
            parts.append(_text(10, y, name, 12, "#d8d9da"))
        parts.append(_text(w / 2 if len(series) > 1 else 14, y, shown, size, _coloured(panel, value)))
    return "".join(parts)


def _bars(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    parts, step = [], (h - 30) / len(series)
    most = panel["fieldConfig"]["defaults"].get("max") or max(values[-1][1] for _, values in series) or 1
    for n, (name, values) in enumerate(series):
        value, y = values[-1][1], 28 + step * n
        filled = max(0.0, min(1.0, value / most)) * (w - 120)
        parts.append(_text(10, y + 12, name, 11, "#d8d9da"))
        parts.append(f"<rect x='10' y='{y + 17}' width='{w - 120}' height='{step - 26}' fill='#22252b'/>")
        colour = _coloured(panel, value)
        parts.append(f"<rect x='10' y='{y + 17}' width='{filled}' height='{step - 26}' fill='{colour}'/>")
        parts.append(_text(w - 100, y + step / 2 + 10, _shown(panel, value), 16, colour))
    return "".join(parts)


def _table(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    columns = panel["transformations"][1]["options"]["renameByName"]
    key = panel["transformations"][0]["options"]["byField"]
    rows: dict[str, dict[str, str]] = {}
    for name, _ in series:
        labels = dict(part.split("=", 1) for part in name.split(", "))
        rows.setdefault(labels.get(key, ""), {}).update(labels)
    step = (w - 16) / len(columns)
    parts = [_text(10 + step * n, 42, name, 12, "#8ab8ff") for n, name in enumerate(columns.values())]
    for line, row in enumerate(rows.values()):
        y = 64 + 22 * line
        parts += [
            _text(10 + step * n, y, row.get(label, ""), 12, "#d8d9da") for n, label in enumerate(columns)
        ]
    return "".join(parts)


def _timeline(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    first, last = _span(series)
    parts, step = [], (h - 30) / len(series)
    for n, (name, values) in enumerate(series):
        y = 28 + step * n
        parts.append(_text(10, y + step / 2 + 4, name, 11, "#d8d9da"))
        for (start, value), (end, _) in zip(values, [*values[1:], values[-1]], strict=True):
            x0, x1 = (90 + (t - first) / (last - first) * (w - 100) for t in (start, end))
            parts.append(
                f"<rect x='{x0:.1f}' y='{y + 4:.1f}' width='{max(1, x1 - x0):.1f}' height='{step - 10:.1f}' "
                f"fill='{_coloured(panel, value)}'/>"
            )
    return "".join(parts)


def _heatmap(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    ordered = sorted(series, key=lambda one: float(one[0].replace("+Inf", "inf")))
    first, last = _span(ordered)
    columns: dict[float, list[float]] = {}
    for _, values in ordered:
        for at, value in values:
            columns.setdefault(at, []).append(value)
    rises = [b - a for column in columns.values() for a, b in itertools.pairwise(column)]
    most = max(rises, default=1)
    parts, step = [], (h - 40) / len(ordered)
    for at, column in columns.items():
        x = 60 + (at - first) / (last - first) * (w - 75)
        for n, value in enumerate(column):
            share = max(0.0, (value - (column[n - 1] if n else 0.0)) / (most or 1))
            if share > 0:
                y = h - 14 - step * (n + 1)
                parts.append(
                    f"<rect x='{x:.1f}' y='{y:.1f}' width='6' height='{step - 1:.1f}' fill='#ff780a' "
                    f"opacity='{min(1, math.sqrt(share)):.2f}'/>"
                )
    for n, (bucket, _) in enumerate(ordered):
        if n % 3 == 0:
            parts.append(_text(8, h - 16 - step * n, f"{bucket} s", 9, "#8e8e8e"))
    return "".join(parts)


def _graph(panel: dict[str, Any], series: Sequence[Series], w: float, h: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    own = [points[-1][1] for _, points in series]
    if stacked:
        series = _stacked(series)
    values = [value for _, points in series for _, value in points]
    low, high = min(0.0, *values), max(values)
    if defaults.get("max") is not None and high > defaults["max"] * 0.3:
        high = max(high, defaults["max"])
    high = high if high > low else low + 1
    legend = min(len(series), 4)
    top, bottom, left = 28, h - 20 - 14 * legend, 62
    first, last = _span(series)

    def place(at: float, value: float) -> str:
        x = left + (at - first) / (last - first) * (w - left - 10)
        return f"{x:.1f},{bottom - (value - low) / (high - low) * (bottom - top):.1f}"

    parts = []
    for share in (0, 0.5, 1):
        y = bottom - share * (bottom - top)
        parts.append(f"<line x1='{left}' x2='{w - 10}' y1='{y}' y2='{y}' stroke='#2c3235'/>")
        parts.append(_text(6, y + 4, _shown(panel, low + share * (high - low)), 9.5, "#8e8e8e"))
    if defaults["custom"]["thresholdsStyle"]["mode"] == "line":
        for step in defaults["thresholds"]["steps"][1:]:
            if low <= step["value"] <= high:
                at = place(first, step["value"]).split(",")[1]
                parts.append(
                    f"<line x1='{left}' x2='{w - 10}' y1='{at}' y2='{at}' stroke='{_COLOURS[step['color']]}' "
                    "stroke-dasharray='4'/>"
                )
    for n, (_, points) in enumerate(series):
        path = " ".join(place(at, value) for at, value in points)
        colour = _SERIES[n % len(_SERIES)]
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.4'/>")
    for n, (name, _) in enumerate(series[:legend]):
        more = f"   (+{len(series) - legend} more)" if n == legend - 1 and len(series) > legend else ""
        text = f"{name}   {_shown(panel, own[n])}{more}"
        parts.append(_text(left, bottom + 18 + 14 * n, f"— {text}", 10, _SERIES[n % len(_SERIES)]))
    return "".join(parts)


def _stacked(series: Sequence[Series]) -> list[Series]:
    below: dict[float, float] = {}
    stacked = []
    for name, points in series:
        raised = [(at, value + below.get(at, 0.0)) for at, value in points]
        below |= dict(raised)
        stacked.append((name, raised))
    return stacked


def _span(series: Sequence[Series]) -> tuple[float, float]:
    times = [at for _, points in series for at, _ in points]
    return min(times), max(max(times), min(times) + 1)


def _coloured(panel: dict[str, Any], value: float) -> str:
    colour = "green"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return _COLOURS[colour]


def _shown(panel: dict[str, Any], value: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults["mappings"]:
        found = mapping["options"].get(f"{value:g}")
        if found:
            return str(found["text"])
    unit = defaults["unit"]
    if unit == "percentunit":
        return f"{value:.{defaults.get('decimals', 1)}%}"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1e3:.3g} ms"
    if unit == "bytes":
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    name = {"reqps": " req/s", "ops": " /s", "watt": " W", "joule": " J"}.get(unit, "")
    return f"{value:.4g}{name}"


def _text(x: float, y: float, text: str, size: float, colour: str) -> str:
    return f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' fill='{colour}' {_FONT}>{escape(text)}</text>"


if __name__ == "__main__":
    main()
