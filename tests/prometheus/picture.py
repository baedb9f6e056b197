"""Draws the dashboard as Grafana lays it out, from the results of its queries, as SVG."""

import datetime
import math
from html import escape

COLUMN, ROW, GAP = 50, 30, 8
COLOURS = ["#4269d0", "#c98a1b", "#ff725c", "#3ca951", "#a463f2", "#2f9eaa", "#9c6b4e", "#97bbf5",
           "#e36fa8", "#7f8c8d"]
STYLE = """
  text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a; }
  .row { font-size: 16px; font-weight: 600; }
  .title { font-weight: 600; }
  .small { font-size: 10px; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .number { font-size: 28px; font-weight: 600; text-anchor: middle; }
  .panel { fill: #8b949e; fill-opacity: 0.06; stroke: #8b949e; stroke-opacity: 0.4; }
  .grid { stroke: #8b949e; stroke-opacity: 0.3; }
  .curve { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) { text { fill: #b7bfc8; } }
"""


def draw(panels):
    """The whole page. `panels` are those of the dashboard, with their targets and series."""
    bottom = max(it["gridPos"]["y"] + it["gridPos"]["h"] for it, _ in panels)
    width, height = 24 * COLUMN + GAP, bottom * ROW + GAP
    parts = [f"<svg xmlns='http://www.w3.org/2000/svg' role='img' width='{width}' "
             f"height='{height}' viewBox='0 0 {width} {height}'>",
             "<title>The dashboard of narrows, with the metrics of a test run</title>",
             f"<style>{STYLE}</style>"]
    for panel, results in panels:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
        w, h = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        if panel["type"] == "row":
            parts.append(text(x, y + 16, panel["title"], "row"))
            continue
        parts.append(f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='3' class='panel'/>")
        parts.append(text(x + 8, y + 16, panel["title"], "title"))
        body = BODIES[panel["type"]]
        parts += body(panel, results, x + 8, y + 24, w - 16, h - 30)
    return "\n".join(parts + ["</svg>", ""])


def stat(panel, results, x, y, w, h):
    defaults = panel["fieldConfig"]["defaults"]
    values = [(legend(target, series), last(series))
              for target, all_series in results for series in all_series]
    share = w / max(1, len(values))
    parts = []
    for at, (name, value) in enumerate(values):
        middle = x + share * (at + 0.5)
        shown = round(value) if defaults.get("decimals") == 0 else value
        parts.append(text(middle, y + h * 0.6, number(shown, defaults["unit"]), "number",
                          colour_of(value, defaults)))
        if len(values) > 1:
            parts.append(text(middle, y + h * 0.6 + 18, name, "small middle"))
    return parts


def bargauge(panel, results, x, y, w, h):
    defaults = panel["fieldConfig"]["defaults"]
    parts = []
    for at, series in enumerate(results[0][1]):
        value, top = last(series), y + 6 + at * 26
        length = (w - 170) * min(1, max(0, value / defaults["max"]))
        parts.append(text(x, top + 12, series["metric"].get("name", ""), ""))
        parts.append(f"<rect x='{x + 110}' y='{top}' width='{length:.0f}' height='16' "
                     f"fill='{colour_of(value, defaults)}'/>")
        parts.append(text(x + w, top + 12, number(value, defaults["unit"]), "end"))
    return parts


def table(panel, results, x, y, w, h):
    series = results[0][1][:int((h - 14) // 16)]
    names = sorted({name for it in series for name in it["metric"]} - {"__name__"})
    shows_value = "increase" in results[0][0]["expr"]
    columns = names + (["count"] if shows_value else [])
    widths = [max([len(it["metric"].get(name, name)) for it in series] + [6]) for name in columns]
    starts = [sum(widths[:at]) * w / sum(widths) for at in range(len(columns))]
    parts = [text(x + starts[at], y + 12, name, "title small") for at, name in enumerate(columns)]
    for line, it in enumerate(series):
        cells = [it["metric"].get(name, "") for name in names]
        cells += [f"{last(it):.0f}"] if shows_value else []
        parts += [text(x + starts[at], y + 28 + 16 * line, cell, "small")
                  for at, cell in enumerate(cells)]
    return parts


def timeseries(panel, results, x, y, w, h):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    curves = [(legend(target, series), points(series))
              for target, all_series in results for series in all_series]
    curves = [(name, curve) for name, curve in curves if curve]
    if not curves:
        return [text(x + w / 2, y + h / 2, "no data", "middle")]
    lines = legend_lines([name for name, _ in curves], w)
    left, plot_h = x + 44, h - 20 - 13 * len(lines)
    plot_w = w - 48
    begin = min(curve[0][0] for _, curve in curves)
    end = max(max(curve[-1][0] for _, curve in curves), begin + 1)
    most = max(max(value for _, value in curve) for _, curve in curves) or 1
    parts = []
    for share in [0, 0.5, 1]:
        at = y + plot_h * (1 - share)
        parts.append(f"<line x1='{left}' y1='{at:.1f}' x2='{left + plot_w}' y2='{at:.1f}' "
                     f"class='grid'/>")
        parts.append(text(left - 4, at + 4, number(most * share, unit), "small end"))
    for at, anchor in [(begin, ""), (end, "end")]:
        clock = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%H:%M:%S")
        across = left + plot_w * (at - begin) / (end - begin)
        parts.append(text(across, y + plot_h + 14, clock, "small " + anchor))
    for at, (_, curve) in enumerate(curves):
        path = " ".join(f"{left + plot_w * (when - begin) / (end - begin):.1f},"
                        f"{y + plot_h * (1 - value / most):.1f}" for when, value in curve)
        parts.append(f"<polyline points='{path}' class='curve' "
                     f"stroke='{COLOURS[at % len(COLOURS)]}'/>")
    for line, entries in enumerate(lines):
        for across, at, name in entries:
            top = y + plot_h + 28 + 13 * line
            parts.append(f"<rect x='{x + across}' y='{top - 7}' width='10' height='3' "
                         f"fill='{COLOURS[at % len(COLOURS)]}'/>")
            parts.append(text(x + across + 14, top, name, "small"))
    return parts


BODIES = {"stat": stat, "bargauge": bargauge, "table": table, "timeseries": timeseries}


def colour_of(value, defaults):
    """The colour of a value, by the thresholds of its panel."""
    name = "text"
    for step in defaults.get("thresholds", {"steps": []})["steps"]:
        if step["value"] is None or value >= step["value"]:
            name = step["color"]
    return {"green": "#3ca951", "orange": "#c98a1b", "red": "#d1453b"}.get(name)


def legend_lines(names, width):
    """The names in lines, each with its place."""
    lines, across = [[]], 0
    for at, name in enumerate(names):
        length = 24 + 5.4 * len(name)
        if across + length > width and lines[-1]:
            lines.append([])
            across = 0
        lines[-1].append((round(across), at, name))
        across += length
    return lines[:4]


def legend(target, series):
    name = target["legendFormat"]
    for label, value in series["metric"].items():
        name = name.replace("{{" + label + "}}", value)
    return name


def points(series):
    values = [(float(when), float(value)) for when, value in series["values"]]
    return [(when, value) for when, value in values if math.isfinite(value)]


def last(series):
    return float((series.get("values") or [series["value"]])[-1][1])


def number(value, unit):
    if math.isnan(value):
        return "none"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value:.2g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    if unit in ("bytes", "Bps"):
        for size, name in [(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")]:
            if value >= size or size == 1:
                return f"{value / size:.3g} {name}" + ("/s" if unit == "Bps" else "")
    suffix = {"reqps": "/s", "cps": "/s", "d": " d"}.get(unit, "")
    return f"{value:.3g}" + suffix


def text(x, y, what, kind, colour=None):
    kind = f" class='{kind.strip()}'" if kind.strip() else ""
    colour = f" style='fill: {colour}'" if colour else ""
    return f"<text x='{x:.0f}' y='{y:.0f}'{kind}{colour}>{escape(what)}</text>"
