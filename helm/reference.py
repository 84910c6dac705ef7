"""Writes what the chart has from elsewhere: settings into its schema, values into its README.

`python helm/reference.py` writes them; with `--check` it changes nothing and fails where they are
not up to date. `values.schema.json` is written by hand but for `settings`, which is
`worker.settings` without what the chart decides itself; the README's table is schema and
`values.yaml` side by side.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from worker.reference import ROOT, with_table, write_or_check
from worker.settings import Settings

CHART = ROOT / "helm" / "shoal"

# Settings that are no values, and what decides them.
DECIDED = {
    "worker_ordinal": "the pod's number",
    "worker_count": "`workers`",
    "standby": "`standby.enabled`",
    "data_dir": "the volume, `/data`",
    "http_host": "all addresses of the pod",
    "http_port": "9108",
    "redis_url": "`redis.url`, `redis.secret`",
    "kafka_password": "`kafka.sasl.secret`",
    "kafka_ca_file": "`kafka.tls.ca.secret`",
    "kafka_certificate_file": "`kafka.tls.client.secret`",
    "kafka_key_file": "`kafka.tls.client.secret`",
}

_KEPT = (
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minLength",
    "pattern",
)


def settings_schema() -> dict[str, Any]:
    """A JSON schema for each setting that is a value of the chart."""
    schema = Settings.model_json_schema()["properties"]
    return {name: _setting(schema[name]) for name in Settings.model_fields if name not in DECIDED}


def values_table(schema: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Every value in Markdown: name, default, meaning."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {_shown(default)} | {meaning} |"
        for name, default, meaning in _rows(schema, values, "")
    ]
    return "\n".join(lines)


def decided_table() -> str:
    """The settings that are no values, in Markdown."""
    lines = ["| setting | decided by |", "| --- | --- |"]
    return "\n".join(lines + [f"| `{name}` | {what} |" for name, what in DECIDED.items()])


def stale() -> dict[Path, str]:
    """The files that are not up to date, with what they should hold."""
    path, readme = CHART / "values.schema.json", CHART / "README.md"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["properties"]["settings"]["properties"] = settings_schema()
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    text = readme.read_text(encoding="utf-8")
    text = with_table(text, "values", values_table(schema, values))
    wanted = {
        path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        readme: with_table(text, "decided", decided_table()),
    }
    return {path: text for path, text in wanted.items() if path.read_text(encoding="utf-8") != text}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` tell which are old; returns the exit status."""
    return write_or_check(argparse.ArgumentParser(description=__doc__), arguments, stale)


def _setting(schema: Mapping[str, Any]) -> dict[str, Any]:
    [kind] = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kept = {name: kind[name] for name in _KEPT if name in kind}
    if kind["type"] == "array":
        kept["items"] = {"type": "string"}
    shown = {"description": schema["description"], "type": kind["type"]} | kept
    if "anyOf" not in schema:
        return shown
    if "enum" in shown:
        shown["enum"] = [*shown["enum"], None]
    return shown | {"type": [kind["type"], "null"]}


def _rows(
    schema: Mapping[str, Any], values: Mapping[str, Any], above: str
) -> Iterator[tuple[str, object, str]]:
    for name, value in values.items():
        part = schema["properties"][name]
        if "properties" in part and f"{above}{name}" not in {"settings", "resources"}:
            yield from _rows(part, value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value, part["description"]


def _shown(default: object) -> str:
    if default in ("", [], {}):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    sys.exit(main())
