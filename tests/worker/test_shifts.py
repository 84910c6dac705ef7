"""The shift of encoders is measured in turn, at moments when no graph is changing."""

import numpy as np
import pytest

from index import live as live_module
from worker import shifts as shifts_module
from worker.by_collection import REST


def send_many(bench, name, number):
    """Photos of one place after another, in no order that says anything."""
    rng = np.random.default_rng(len(name))
    for i in range(number):
        bench.send(f"photo-{i}", rng.standard_normal(8).tolist(), collection=name)


@pytest.fixture
def measured(monkeypatch):
    """Of how many rows the shift was measured each time."""
    found = []

    def measure(_neighbours, _similarity, counts):
        found.append(len(counts))
        return 0.25

    monkeypatch.setattr(shifts_module, "encoder_shift", measure)
    return found


def test_under_load_nothing_waits_for_the_graph(bench, measured, monkeypatch):
    """Batches that overlap are measured between them, while nothing is being linked."""
    linking = []

    def seen(index):
        linking.append(index._linking is not None)
        return index._graph

    send_many(bench, "main", 120)
    parts = bench.parts(batch_records=10, once=False)
    look = parts.ingest.at_rest

    def at_rest():
        bench.clock.advance(2.0)
        with monkeypatch.context() as patch:
            patch.setattr(live_module.LiveIndex, "graph", property(seen))
            look()

    parts.ingest.at_rest = at_rest
    while parts.ingest.batch(0.0) or parts.ingest.under_way:
        pass
    parts.abandon()
    assert linking
    assert not any(linking)
    assert measured[-1] == 120


def test_each_in_turn_and_none_twice(bench, measured):
    """Of many collections three are measured at once; one without news is left alone."""
    for number, name in enumerate(("a", "b", "c", "d", "e"), start=1):
        send_many(bench, name, number)
    bench.run()
    measured.clear()
    parts = bench.parts()
    for name in ("a", "b", "c", "d", "e"):
        parts.collections.get(name)
    for expected in ([1, 2, 3], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]):
        parts.ingest.at_rest()
        assert measured == expected
        bench.clock.advance(1.0)
    shown = {family.name: family.samples for family in bench.metrics.drift.collect()}
    [shift] = shown["shoal_drift_encoder_shift_ratio"]
    assert (shift.labels, shift.value) == ({"collection": REST}, 0.25)
    parts.abandon()
