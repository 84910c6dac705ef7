# ruff: noqa: INP001  a script, in no package
"""Draws the Grafana dashboards of helm/shoal as pictures, from a demo that Prometheus scraped.

`make dashboards`; needs matplotlib, Prometheus (`make prometheus`), Java and Maven, and takes two
minutes. The queries are those of the dashboards, answered by Prometheus; what Grafana would draw
is drawn by matplotlib.
"""

import json
import math
import os
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from worker.demo.panels import Panel, Query, read_panels
from worker.demo.watched import Watched, watched_demo
from worker.embedded.prometheus import Series

HERE = Path(__file__).parent
DASHBOARDS = HERE.parents[1] / "helm" / "shoal" / "dashboards"

# The demo is short: rates are over so long, and a point is drawn every second.
WINDOW = "10s"
STEP_SECONDS = 1.0

# Inches of one cell of Grafana's grid.
WIDTH, HEIGHT = 0.62, 0.34
MOST_NAMES = 8
# Snapshots, runs and backups are rare in so short a time; these show some.
SETTINGS = {
    "SHOAL_SNAPSHOT_IMAGES": "400",
    "SHOAL_RECLUSTER_IMAGES": "300",
    "SHOAL_BACKUP_SECONDS": "10",
}


def main() -> None:
    """Run the demo, and draw each dashboard beside this file."""
    os.environ.update(SETTINGS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOAL_BACKUP_URL"] = f"{folder}/backups"
        with watched_demo(Path(folder)) as watched:
            for file in sorted(DASHBOARDS.glob("*.json")):
                title = json.loads(file.read_text(encoding="utf-8"))["title"]
                draw(title, read_panels(file, WINDOW), watched, HERE / f"dashboard-{file.stem}.png")


def draw(title: str, panels: Sequence[Panel], watched: Watched, picture: Path) -> None:
    """One picture of a dashboard."""
    height = max(y + h for _, y, _, h in (panel.place for panel in panels))
    figure = Figure(figsize=(24 * WIDTH, height * HEIGHT + 0.5), facecolor="#f4f5f5")
    top = height * HEIGHT / (height * HEIGHT + 0.5)
    figure.text(0.012, 1 - (1 - top) / 2, title, fontsize=14, weight="bold", va="center")
    for panel in panels:
        x, y, w, h = panel.place
        left, bottom = (x + 0.15) / 24, top * (1 - (y + h - 0.15) / height)
        across, up = (w - 0.3) / 24, top * (h - 0.3) / height
        card = figure.add_axes((left, bottom, across, up), facecolor="white", xticks=(), yticks=())
        for side in card.spines.values():
            side.set(color="#d8d9da")
        lines = panel.place[3]
        card.text(0.02, 1 - 0.25 / lines, panel.title, fontsize=8, weight="bold", va="top")
        if panel.kind == "stat":
            _stat(card, panel, watched)
        else:
            inside = (left + 0.13 * across, bottom + 0.13 * up, 0.84 * across, 0.7 * up)
            axes = figure.add_axes(inside)
            (_bars if panel.kind == "bargauge" else _lines)(axes, panel, watched)
    figure.savefig(picture, dpi=100)


def _stat(card: Any, panel: Panel, watched: Watched) -> None:
    found = [s for query in panel.queries for s in watched.prometheus.query(query.expression)]
    text = _value(found[0].points[-1][1], panel.unit) if found else "no data"
    card.text(0.5, 0.42, text, fontsize=17, ha="center", va="center", color="#1f60c4")


def _bars(axes: Any, panel: Panel, watched: Watched) -> None:
    """Cumulative buckets, each less the one before."""
    [query] = panel.queries
    found = watched.prometheus.query(query.expression)
    counts = sorted((float(s.labels["le"]), s.points[-1][1]) for s in found)
    inside = [count - before for (_, count), (_, before) in zip(counts, [(0.0, 0.0), *counts])]  # noqa: B905  the last is no one's before
    axes.bar(range(len(inside)), inside, color="#1f60c4")
    names = ["more" if math.isinf(limit) else _value(limit, "short") for limit, _ in counts]
    axes.set_xticks(range(len(names)), names, fontsize=5, rotation=45)
    _style(axes, panel)


def _lines(axes: Any, panel: Panel, watched: Watched) -> None:
    for query in panel.queries:
        for series in _shown(query, watched):
            times = [at - watched.start for at, _ in series.points]
            name = query.name(series.labels) or panel.title
            axes.plot(times, [value for _, value in series.points], linewidth=1, label=name)
    axes.set_xlim(0, watched.end - watched.start)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f} s"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _style(axes, panel)
    if axes.lines:
        names = axes.get_legend_handles_labels()
        axes.legend(
            *(some[:MOST_NAMES] for some in names), fontsize=5.5, loc="best", framealpha=0.7
        )


def _shown(query: Query, watched: Watched) -> list[Series]:
    """The series of a query, without those that are zero all the time where others are not."""
    found = watched.prometheus.query_range(
        query.expression, watched.start, watched.end, STEP_SECONDS
    )
    moving = [s for s in found if any(value > 0 for _, value in s.points)]
    return moving or found[:1]


def _style(axes: Any, panel: Panel) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _value(y, panel.unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=6, length=2, color="#d8d9da")
    axes.grid(color="#eeeeee", linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    values = [value for line in axes.lines for value in line.get_ydata() if math.isfinite(value)]
    if values and min(values) >= 0:
        axes.set_ylim(0, 1.08 * max(values) or 1)


def _value(value: float, unit: str) -> str:
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    if unit == "s":
        return f"{value:.0f} s" if value >= 10 else f"{value:.3g} s"
    shown = f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
    return textwrap.shorten(shown, 12)


if __name__ == "__main__":
    main()
