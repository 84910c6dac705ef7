"""The alerts: they can be loaded, each fires when it must and only then, and somebody is told."""

import re
import subprocess

import pytest

from worker import reference
from worker.demo.panels import read_panels
from worker.metrics import Metrics

ROOT = reference.ROOT
RULES = ROOT / "helm" / "shoal" / "rules" / "shoal.yaml"
TESTS = ROOT / "tests" / "prometheus" / "alerts.yaml"
SEVERITIES = {"critical", "warning", "info"}

ALERTS = {block.partition("\n")[0]: block for block in RULES.read_text().split("- alert: ")[1:]}


def run(promtool, *arguments, folder=ROOT):
    command = [promtool, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_prometheus_takes_the_rules(promtool):
    """`promtool check rules` has nothing against them."""
    done = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_must_and_only_then(promtool):
    """`promtool test rules`: of each alert the bad series fire, and the good ones do not."""
    done = run(promtool, "test", "rules", str(TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("broken", ["vector(0) > 1", "vector(1)"])
def test_every_alert_is_tested(promtool, tmp_path, broken):
    """Rules that never fire, and ones that always do, fail the tests of every alert."""
    rules = re.sub(r"expr: (>-\n(\s{10}.*\n)+|.*\n)", f"expr: {broken}\n", RULES.read_text())
    (tmp_path / "shoal.yaml").write_text(rules)
    tests = TESTS.read_text().replace("../../helm/shoal/rules/shoal.yaml", "shoal.yaml")
    (tmp_path / "alerts.yaml").write_text(tests)
    done = run(promtool, "test", "rules", "alerts.yaml", folder=tmp_path)
    assert done.returncode != 0
    failed = set(re.findall(r'alertname=\\?"(\w+)', done.stdout + done.stderr))
    assert failed >= set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_do(alert):
    """Each has a severity, a summary, a description, and its own entry in the runbook."""
    text = ALERTS[alert]
    assert re.search(r"severity: (\w+)", text)[1] in SEVERITIES
    assert re.search(r"^\s+summary: \S", text, re.MULTILINE)
    assert re.search(r"^\s+description: \S", text, re.MULTILINE)
    assert f"runbook_url: docs/runbook.md#{alert.lower()}\n" in text
    assert f"\n### {alert}\n" in (ROOT / "docs" / "runbook.md").read_text()


def test_the_runbook_has_no_alert_that_is_not_there():
    """An entry whose alert was renamed is found."""
    headings = re.findall(
        r"^### (Shoal\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE
    )
    assert sorted(ALERTS) == sorted(headings)


def exported():
    """The names of all series of a worker."""
    suffixes = {
        "histogram": ("_bucket", "_sum", "_count"),
        "counter": ("_total",),
        "info": ("_info",),
    }
    return {
        family.name + suffix
        for family in Metrics().registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }


@pytest.mark.parametrize(
    "file", ["rules/shoal.yaml", "dashboards/groups.json", "dashboards/worker.json"]
)
def test_every_metric_that_is_named_exists(chart, file):
    """Rules and dashboards ask for nothing that a worker does not export."""
    path = chart / file
    text = (
        path.read_text().replace("runbook.md#shoal", "")
        if path.suffix == ".yaml"
        else "\n".join(query.expression for panel in read_panels(path) for query in panel.queries)
    )
    named = set(re.findall(r"\b(?:shoal|process)_[a-z_]+", text))
    assert len(named) > 10
    assert named <= exported()
