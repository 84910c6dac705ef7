"""A real Prometheus that scrapes a live worker: metrics are well-formed, dashboards full."""

import math
import re
import subprocess

import pytest

from worker.demo.panels import read_panels
from worker.embedded.prometheus import EmbeddedPrometheus

DASHBOARDS = ("groups.json", "worker.json")
GROUPS, SIZE = 16, 110

# Runs have what nobody else wants of the processor.
PATIENCE = 300.0


@pytest.fixture(scope="module")
def watched(module_stage, tools, promtool, tmp_path_factory):
    """A worker that took images, a run, a sample, a correction, a snapshot and a backup."""
    del promtool
    stage = module_stage
    stage.create_topic()
    stream = tools.groups(GROUPS, SIZE)
    worker = stage.start(
        snapshot_images=500, recluster_first_images=300, backup_url=stage.folder / "backups"
    ).ready()
    with EmbeddedPrometheus(tmp_path_factory.mktemp("prometheus"), worker.address) as prometheus:
        stage.send(stream)
        stage.published(stream)
        published = {"result": "published"}
        tools.eventually(lambda: worker.metric("shoal_reclusterings_total", **published), PATIENCE)
        mailbox = tools.Mailbox(stage.data_dir)
        for verb, words in (
            ("recluster", ()),
            ("same", ("i0-0", "i0-1")),
            ("truth", [w for n in range(GROUPS) for w in (f"i{n}-0", str(n), f"i{n}-1", str(n))]),
        ):
            answer = mailbox.wait(mailbox.send(verb, "main", *words), PATIENCE)
            assert answer
            assert not answer.startswith("failed")
        tools.eventually(lambda: worker.metric("shoal_snapshot_seconds_count"))
        tools.eventually(lambda: worker.metric("shoal_backups_total", result="good"))
        tools.eventually(lambda: prometheus.query("shoal_truth_images == 32"))
        tools.eventually(lambda: prometheus.query("shoal_snapshot_seconds_count > 0"))
        tools.eventually(lambda: prometheus.query("shoal_drift_encoder_shift_ratio"))
        yield worker, prometheus


def test_prometheus_scrapes_it(watched):
    """The target is up, and what it says of images is there."""
    _, prometheus = watched
    [up] = prometheus.query('up{job="shoal"}')
    assert up.points[0][1] == 1
    [images] = prometheus.query("shoal_images")
    assert images.points[0][1] == GROUPS * SIZE
    [groups] = prometheus.query('shoal_drift_clusters{collection="main"}')
    assert groups.points[0][1] == GROUPS


def test_the_metrics_are_well_formed(watched, promtool):
    """`promtool check metrics` has nothing against what a worker exports."""
    worker, _ = watched
    status, text = worker.ask("/metrics")
    assert status == 200
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("file", DASHBOARDS)
def test_every_panel_shows_something(watched, chart, tools, file):
    """Each query of each panel has data, and names that its series need."""
    _, prometheus = watched
    panels = read_panels(chart / "dashboards" / file, "30s")
    assert len(panels) > 15
    for panel in panels:
        for query in panel.queries:
            found = tools.eventually(
                lambda q=query: finite(prometheus, q), what=f"{panel.title}: {query}"
            )
            names = [query.name(series.labels) for series in found]
            assert len(set(names)) == len(names)
            assert all(names), f"{panel.title}: a series has no name"


def finite(prometheus, query):
    return [s for s in prometheus.query(query.expression) if math.isfinite(s.points[0][1])]


@pytest.mark.parametrize("file", DASHBOARDS)
def test_a_panel_says_what_it_shows(chart, file):
    """Each has a title of its own, a description and a unit; none lies over another."""
    panels = read_panels(chart / "dashboards" / file)
    assert all(p.title and p.description.endswith((".", "`.")) and p.unit for p in panels)
    cells = [(x, y) for p in panels for x in columns(p) for y in lines(p)]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def columns(panel):
    return range(panel.place[0], panel.place[0] + panel.place[2])


def lines(panel):
    return range(panel.place[1], panel.place[1] + panel.place[3])


@pytest.mark.parametrize("file", DASHBOARDS)
def test_the_data_source_is_a_variable(chart, file):
    """A dashboard works in any Grafana: it names no data source of its own."""
    text = (chart / "dashboards" / file).read_text()
    assert set(re.findall(r'"uid": "([^"]+)"', text)) - {"${datasource}"} == {
        f"shoal-{file.removesuffix('.json')}"
    }
