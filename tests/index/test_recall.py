"""The recall of the kept graph that is measured beside everything else."""

import numpy as np
import pytest

from index import Recall, RecallProbe

K = 10
POOR = {"k": K, "ef_search": 12, "m": 4, "ef_construction": 20}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Slices of 50 rows, a search that soon is not exact, and passes that take all rows."""
    monkeypatch.setattr("index.recall.SLICE_BYTES", 50 * 4 * 16)
    monkeypatch.setattr("index.few.EXACT_ROWS", 200)
    monkeypatch.setattr("index.recall.SAMPLE_ROWS", 1 << 14)


def go_on(probe, collection):
    """One slice more, and the end of the pass where all were looked at; whether it ended."""
    seen = probe.look(collection)
    if seen:
        probe.compare(collection)
    return seen


def measured(probe, collection):
    """What is known after one more pass, or the rest of one."""
    while not go_on(probe, collection):
        pass
    return probe.recall


def brute_force(collection, rows=None):
    """The recall of `rows`, by default of all, from the similarity of all pairs."""
    live = np.flatnonzero(collection.counts)
    rows = live if rows is None else rows
    similarity = collection.vectors[rows] @ collection.vectors[live].T
    similarity[rows[:, None] == live] = -np.inf
    nearest = np.argsort(-similarity, axis=1)[:, : min(K, len(live) - 1)]
    values = np.take_along_axis(similarity, nearest, axis=1)
    listed = (live[nearest][:, :, None] == collection.neighbours[rows][:, None]).any(axis=2)
    listed |= values <= collection.similarity[rows, -1:] + 2e-6
    return Recall(pytest.approx(listed.mean()), len(rows))


def test_it_is_what_all_pairs_say(reopen, tools):
    """A pass over every row finds the recall by brute force."""
    collection = reopen(16, **POOR)
    tools.feed(collection, tools.clustered(3_000, 16)[0])
    probe = RecallProbe()
    assert probe.recall is None
    found = measured(probe, collection)
    assert found == brute_force(collection)
    assert 0.8 < found.ratio < 1


def test_rows_come_change_and_go_meanwhile(reopen, tools):
    """What counts is the graph, and the rows that live, when the pass ends."""
    collection = reopen(16, **POOR)
    vectors, _ = tools.clustered(3_000, 16, seed=1)
    tools.feed(collection, vectors[:2_000])
    probe, rng = RecallProbe(), np.random.default_rng(0)
    ids = rng.permutation(2_000)
    for step in range(10):
        assert not go_on(probe, collection)
        new = 2_000 + 60 * step
        changed, erased = ids[40 * step : 40 * step + 20], ids[40 * step + 20 : 40 * step + 40]
        tools.write(collection, *[(f"n{i}", vectors[i]) for i in range(new, new + 40)])
        moved = zip(changed, vectors[new + 40 : new + 60], strict=True)
        tools.write(collection, *[(str(id_), vector) for id_, vector in moved])
        tools.write(collection, *[str(id_) for id_ in erased])
    found = measured(probe, collection)
    assert found == brute_force(collection, np.flatnonzero(collection.counts[:2_000]))
    assert 0.8 < found.ratio < 1


def test_rows_in_flight_count_on_neither_side(reopen, tools):
    """A batch that HNSW has and the graph not yet is neither sampled nor missed."""
    collection = reopen(16, k=K)
    vectors, _ = tools.clustered(190, 16)
    tools.feed(collection, vectors[:150])
    [*writes] = [tools.image(f"n{i}", v) for i, v in enumerate(vectors[150:])]
    collection.begin_insert(collection.log(writes, {}).new_rows)
    assert measured(RecallProbe(), collection) == Recall(1.0, 150)
    collection.end_insert()
    assert measured(RecallProbe(), collection) == Recall(1.0, 190)


def test_a_damaged_graph(reopen, tools):
    """Of lists that lost their first three neighbours seven tenths are left."""
    collection = reopen(16, k=K)
    tools.feed(collection, tools.clustered(190, 16)[0])
    # In their places stands the row itself, which is no neighbour.
    collection.neighbours[:, :3] = np.arange(190)[:, None]
    assert measured(RecallProbe(), collection) == Recall(pytest.approx(0.7), 190)


def test_neighbours_as_near_as_the_last_one_are_no_loss(reopen, tools):
    """Of twenty that are equally near ten can be listed, whichever."""
    collection = reopen(32, k=K)
    tools.feed(collection, np.eye(32, dtype=np.float32)[:21])
    collection.neighbours[0] = np.arange(11, 21)
    assert measured(RecallProbe(), collection) == Recall(1.0, 21)


def test_few_rows(reopen, tools):
    """No row and one row say nothing; two list each other; nothing is left when all go."""
    collection, probe = reopen(16, k=K), RecallProbe()
    vectors, _ = tools.clustered(3, 16)
    assert measured(probe, collection) is None
    tools.write(collection, ("a", vectors[0]))
    assert measured(probe, collection) is None
    tools.write(collection, ("b", vectors[1]))
    assert measured(probe, collection) == Recall(1.0, 3)  # with the pass over one row
    tools.write(collection, "a", "b")
    assert measured(probe, collection) == Recall(1.0, 3)


def test_it_ends_where_rows_come_faster(reopen, tools):
    """Each call takes in as many rows more as came since the one before."""
    collection, probe = reopen(16, k=K), RecallProbe()
    vectors, _ = tools.clustered(3_000, 16)
    tools.feed(collection, vectors[:190])
    calls = 1
    while not go_on(probe, collection):
        tools.feed(collection, vectors[190 * calls : 190 * (calls + 1)], first=190 * calls)
        calls += 1
    assert calls == 4


def test_the_last_passes_count(reopen, tools, monkeypatch):
    """Old passes are forgotten; when none is left from before the last change it is settled."""
    monkeypatch.setattr("index.recall.PASSES", 3)
    collection, probe = reopen(16, k=K), RecallProbe()
    tools.feed(collection, tools.clustered(100, 16)[0])
    for number, settled in ((1, False), (2, False), (3, True), (3, True)):
        assert measured(probe, collection) == Recall(1.0, 100 * number)
        assert probe.settled(collection) == settled
    tools.write(collection, "1")
    assert not probe.settled(collection)
    assert measured(probe, collection) == Recall(1.0, 299)


def test_the_same_seed_takes_the_same_rows(reopen, tools, monkeypatch):
    """A sample is by chance, and can be repeated."""
    monkeypatch.setattr("index.recall.SAMPLE_ROWS", 32)
    collection = reopen(16, **POOR)
    tools.feed(collection, tools.clustered(1_000, 16)[0])
    probes = [RecallProbe(seed) for seed in (1, 1, 2)]
    first, second, other = [measured(probe, collection) for probe in probes]
    assert first == second != other
    assert first.rows == other.rows == 32
