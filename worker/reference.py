"""Writes the tables of settings and metrics into the documentation, from the code itself.

`python -m worker.reference` writes them between the markers of README.md and docs/metrics.md;
with `--check` it changes nothing and fails where they are not up to date.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from pydantic import SecretStr

from worker.by_collection import LABEL
from worker.metrics import CLUSTER_SIZES, DRIFT, Metrics
from worker.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[1]

_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} character",
    "pattern": "`{}`",
}
_KINDS = {"integer": "integer", "number": "number", "string": "text", "array": "{}, by commas"}


def settings_table() -> str:
    """Every setting in Markdown: name, default, what is allowed, meaning."""
    schema = Settings.model_json_schema()["properties"]
    rows = [
        (
            f"`{ENV_PREFIX}{name.upper()}`",
            _default(field.default),
            _allowed(schema[name]),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return _table(("setting", "default", "allowed", "meaning"), rows)


def metrics_table() -> str:
    """Every metric of the worker in Markdown: name, type, labels with their values, meaning."""
    families = sorted(Metrics().registry.collect(), key=lambda family: family.name)
    rows = [
        (f"`{_exported(family)}`", family.type, _labels(family), family.documentation)
        for family in families
        if family.name.startswith("shoal_")
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


def drift_table() -> str:
    """Every figure of a collection in Markdown: what it is, its range, and what is bad."""
    figures = (*DRIFT, CLUSTER_SIZES)
    rows = [(f"`{f.name}`", f.meaning, f.range, f.bad, f.together) for f in figures]
    heads = ("metric", "definition", "range", "what a bad value means", "all others together")
    return _table(heads, rows)


# The markers of each file with what is between them.
TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"settings": settings_table},
    "docs/metrics.md": {"drift": drift_table, "metrics": metrics_table},
}


def with_table(text: str, marker: str, table: str) -> str:
    """`text` with `table` between the comments `<!-- marker -->` and `<!-- /marker -->`.

    Raises `ValueError` if they are not there once each.
    """
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{begin} and {end} must be there once each")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def stale() -> dict[Path, str]:
    """The files that are not up to date, with what they should hold."""
    wanted = {}
    for name, tables in TABLES.items():
        path = ROOT / name
        new = text = path.read_text(encoding="utf-8")
        for marker, table in tables.items():
            new = with_table(new, marker, table())
        if new != text:
            wanted[path] = new
    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, or with `--check` tell which are old; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.reference", description=__doc__)
    return write_or_check(parser, arguments, stale)


def write_or_check(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    stale: Callable[[], Mapping[Path, str]],
) -> int:
    """Write the files that are `stale`, or with `--check` tell which; returns the exit status."""
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if one is old")
    check = parser.parse_args(arguments).check
    old = stale()
    for path, text in old.items():
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: run `make docs`\n")
        else:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(old))


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == ():
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.removesuffix('.0') if isinstance(value, float) else text}`"


def _allowed(schema: Mapping[str, Any]) -> str:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return _kind(kinds[0])


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{word}`" for word in schema.get("enum") or [schema["const"]])
    if schema["type"] == "boolean":
        return "`true`, `false`"
    kind = "path" if schema.get("format") == "path" else _KINDS[schema["type"]]
    kind = kind.format("paths" if schema.get("items", {}).get("format") == "path" else "names")
    limits = [
        text.format(f"{schema[name]:g}" if isinstance(schema[name], float) else schema[name])
        for name, text in _LIMITS.items()
        if name in schema
    ]
    return ", ".join([kind, *limits])


def _exported(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _labels(family: Metric) -> str:
    if family.type == "info":
        return "version"
    if not family.samples:  # a figure that no collection has yet
        return LABEL
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    return "; ".join(f"{label}: {', '.join(v)}" for label, v in values.items() if label != "le")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    sys.exit(main())
