"""The recall of the kept graphs is measured in turn, beside everything else, and told."""

import pytest

from index import RecallProbe
from worker.by_collection import REST


@pytest.fixture
def parts(bench, axis):
    """A worker's parts with two open collections of ten photos, and one of a single photo."""
    for name, photos in (("first", 10), ("second", 10), ("third", 1)):
        for number in range(photos):
            bench.send(f"photo-{number}", axis(0, tilt=number / 50), collection=name)
    bench.run()
    parts = bench.parts()
    for name in ("first", "second", "third"):
        parts.collections.get(name)
    yield parts
    parts.abandon()


def rows(parts):
    """How many rows each collection was measured on."""
    found = {c.name: c.recall.recall for c in parts.collections}
    return [found[name].rows if found[name] else 0 for name in sorted(found)]


def test_in_turn_and_only_in_a_share_of_the_time(bench, parts):
    """Nothing before time has passed; then one pass a tick, of each collection in turn."""
    parts.recall.tick()
    assert rows(parts) == [0, 0, 0]
    for expected in ([10, 0, 0], [10, 10, 0], [10, 10, 0], [20, 10, 0]):
        bench.clock.advance(1.0)
        parts.recall.tick()
        assert rows(parts) == expected


def test_what_did_not_change_is_left_alone(bench, parts):
    """After 32 passes there is nothing to learn, until the graph changes."""
    for _ in range(200):
        bench.clock.advance(1.0)
        parts.recall.tick()
    assert rows(parts)[:2] == [320, 320]
    [first] = [c for c in parts.collections if c.name == "first"]
    assert first.recall.settled(first.index)


def test_a_collection_that_is_closed_meanwhile(bench, parts, monkeypatch):
    """One slice a tick where slices take long; the next collection comes when one is closed."""
    monkeypatch.setattr("index.recall.SLICE_BYTES", 1)
    look_at = RecallProbe.look

    def slowly(probe, graph):
        bench.clock.advance(1.0)
        return look_at(probe, graph)

    monkeypatch.setattr(RecallProbe, "look", slowly)
    for _ in range(5):
        bench.clock.advance(101.0)
        parts.recall.tick()
    assert rows(parts) == [0, 0, 0]
    [first] = [c for c in parts.collections if c.name == "first"]
    parts.collections.close(first)
    for _ in range(10):
        bench.clock.advance(101.0)
        parts.recall.tick()
    assert rows(parts) == [10, 0]


def test_it_is_told(bench, parts):
    """Recall and the number of rows are metrics, and in the status of each collection."""
    for _ in range(3):
        bench.clock.advance(1.0)
        parts.recall.tick()
    families = {family.name: family.samples for family in bench.metrics.drift.collect()}
    [ratio] = families["shoal_graph_recall_ratio"]
    [sampled] = families["shoal_graph_recall_rows"]
    assert ratio.labels == sampled.labels == {"collection": REST}
    assert (ratio.value, sampled.value) == (1.0, 20)
    parts.board.show(at_once=True)
    told = {name: bench.store.status(name) for name in ("first", "third")}
    assert (told["first"]["graph_recall"], told["first"]["graph_recall_rows"]) == (1.0, 10)
    assert (told["third"]["graph_recall"], told["third"]["graph_recall_rows"]) == (None, 0)
