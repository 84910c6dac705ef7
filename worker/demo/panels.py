"""The panels of a Grafana dashboard, with queries that Prometheus understands."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EVERYTHING = ".*"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and Grafana's pattern for the names of its series."""

    expression: str
    legend: str

    def name(self, labels: Mapping[str, str]) -> str:
        """What a series with these labels is called."""
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: labels.get(m[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `place` is x, y, width and height on Grafana's grid of 24 columns."""

    title: str
    kind: str
    description: str
    unit: str
    place: tuple[int, int, int, int]
    queries: tuple[Query, ...]


def read_panels(dashboard: Path, window: str = "1m") -> list[Panel]:
    """The panels of a dashboard's file that have queries.

    Variables stand for everything, `$__rate_interval` for `window`.
    """
    return list(_panels(json.loads(dashboard.read_text(encoding="utf-8")), window))


def _panels(dashboard: Mapping[str, Any], window: str) -> Iterator[Panel]:
    values = {v["name"]: _EVERYTHING for v in dashboard["templating"]["list"]}
    values["__rate_interval"] = window
    for panel in dashboard["panels"]:
        if not panel.get("targets"):
            continue
        grid = panel["gridPos"]
        yield Panel(
            title=panel["title"],
            kind=panel["type"],
            description=panel["description"],
            unit=panel["fieldConfig"]["defaults"]["unit"],
            place=(grid["x"], grid["y"], grid["w"], grid["h"]),
            queries=tuple(
                Query(_filled(target["expr"], values), target["legendFormat"])
                for target in panel["targets"]
            ),
        )


def _filled(expression: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda m: values[m[1]], expression)
