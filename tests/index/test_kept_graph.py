"""The k-NN graph that is kept as images come and go."""

import numpy as np
import pytest

from index.graph import NeighbourGraph
from index.widening import common_reach, wanted_by_tail

K = 30


def test_few_images(reopen, tools):
    """0, 1, 2, k and k + 1 images: each lists all others."""
    collection = reopen(16)
    vectors, _ = tools.clustered(12, 16)
    tools.check(collection)
    collection.snapshot()
    for rows in (1, 2, 10, 11, 12):
        tools.feed(collection, vectors[collection.rows : rows], first=collection.rows)
        assert collection.rows == rows
        tools.check(collection)
        collection.snapshot()
        collection = reopen()
        tools.check(collection)


def test_down_to_nothing(reopen, tools):
    """Erasing every image, one by one and then at once, leaves an empty graph that works on."""
    collection = reopen(16)
    vectors, _ = tools.clustered(40, 16)
    tools.feed(collection, vectors)
    for i in range(25):
        tools.write(collection, str(i))
        tools.check(collection)
    tools.write(collection, *[str(i) for i in range(25, 40)])
    tools.check(collection)
    tools.feed(collection, vectors)
    tools.check(collection)
    tools.check(reopen())


def test_all_images_identical(reopen, tools):
    """Thousands of copies of one picture are one row without neighbours."""
    collection = reopen(16)
    vectors = np.repeat(tools.clustered(1, 16)[0], 3_000, axis=0)
    tools.feed(collection, vectors)
    assert (collection.rows, collection.images) == (1, 3_000)
    tools.check(collection)


def test_copies_do_not_hide_the_rest(reopen, tools):
    """3,000 copies among 2,000 distinct images cost no recall."""
    collection = reopen(32)
    vectors, _ = tools.clustered(2_000, 32)
    mixed = np.concatenate([np.repeat(vectors[:1], 3_000, axis=0), vectors[1:]])
    tools.feed(collection, np.random.default_rng(0).permutation(mixed))
    assert collection.rows == 2_000
    assert tools.recall(collection) > 0.99
    tools.check(collection)


@pytest.fixture
def approximate(monkeypatch):
    """Leave the exact search early, so that few rows are enough to test the other."""
    monkeypatch.setattr("index.search.EXACT_ROWS", 400)


@pytest.mark.usefixtures("approximate")
def test_order_of_arrival_does_not_matter(reopen, tools, tmp_path):
    """At least .97 of the k true neighbours, and the same within .01, whether classes arrive mixed,
    one after another, or the largest last.
    """
    vectors, labels = tools.clustered(4_000, 32, seed=1)
    largest = labels == np.bincount(labels).argmax()
    orders = {
        "shuffled": np.arange(len(vectors)),
        "sorted": np.argsort(labels, kind="stable"),
        "one class last": np.argsort(largest, kind="stable"),
    }
    recalls = {}
    for name, order in orders.items():
        collection = reopen(32, k=K, directory=tmp_path / name)
        tools.feed(collection, vectors[order], batch=250)
        recalls[name] = tools.recall(collection)
        tools.check(collection)
    assert min(recalls.values()) >= 0.97, recalls
    assert max(recalls.values()) - min(recalls.values()) <= 0.01, recalls


@pytest.mark.usefixtures("approximate")
def test_refresh_finds_what_came_later(reopen, tools):
    """With a third of all images in one class the first rows miss later ones, until refreshed."""
    collection = reopen(32, k=K)
    vectors, _ = tools.clustered(4_000, 32, seed=1, largest=np.inf)
    tools.feed(collection, vectors, batch=250)
    assert 0.93 < tools.recall(collection) < 0.99
    assert collection.refresh(500) == 500
    while collection.refresh(500):
        pass
    assert tools.recall(collection) >= 0.99
    tools.check(collection)
    collection.snapshot()
    assert reopen(k=K).refresh(500) == 0


@pytest.mark.usefixtures("approximate")
@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_a_flood_of_edits(reopen, tools, order):
    """300 edits of each of 20 photos: most hear of a new one, and none is cut off for good."""
    collection = reopen(64, k=K)
    rng = np.random.default_rng(0)
    vectors = edits(rng.standard_normal((20, 64)), 300, rng)
    tools.feed(collection, vectors if order == "sorted" else rng.permutation(vectors), batch=250)
    assert collection.rows == len(vectors)
    assert tools.recall(collection) >= 0.95
    while collection.refresh(500):
        pass
    assert tools.recall(collection) >= 0.97
    tools.check(collection)


def edits(photos, number, rng):
    """Unit vectors: each photo so many times, with a cosine of .98 to .999 to it."""
    photos = np.repeat(photos / np.linalg.norm(photos, axis=1, keepdims=True), number, axis=0)
    noise = rng.standard_normal(photos.shape)
    noise -= np.einsum("nd,nd->n", noise, photos)[:, None] * photos
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    cosine = 1 - 10 ** rng.uniform(-3, np.log10(0.02), (len(photos), 1))
    return (cosine * photos + np.sqrt(1 - cosine**2) * noise).astype(np.float32)


@pytest.mark.usefixtures("approximate")
def test_wider_searches_reach_all(reopen, tools):
    """They end where all rows were found, though the usual width is already large."""
    collection = reopen(32, k=K, ef_search=500)
    tools.feed(collection, tools.clustered(1_500, 32, largest=np.inf)[0], batch=100)
    while collection.refresh(500):
        pass
    assert tools.recall(collection) >= 0.999
    tools.check(collection)


def test_who_is_wanted_by_the_last_that_were_found():
    """By a quarter of the last quarter; nothing is said of those found before."""
    labels = np.tile(np.arange(16), (3, 1))
    similarity = np.full((3, 16), 0.5, np.float32)
    weakest = np.ones((3, 16), np.float32)
    weakest[1, 15] = weakest[2, :12] = 0.4
    wanted = [wanted_by_tail(labels[:1], similarity[:1], row)[0] for row in weakest]
    assert wanted == [False, True, False]


def test_common_reach():
    """Six tenths of the rows whose lists are full reach no farther; infinite where none is."""
    weakest = np.array([-2.0, *np.linspace(0, 1, 101), -2.0], np.float32)
    assert common_reach(weakest) == pytest.approx(0.6)
    assert common_reach(weakest[:1]) == np.inf


def test_nothing_to_refresh_while_the_search_is_exact(reopen, tools):
    """A small collection misses nothing."""
    collection = reopen(32)
    tools.feed(collection, tools.clustered(1_500, 32)[0])
    assert tools.recall(collection) == 1
    assert collection.refresh(500) == 0


@pytest.mark.usefixtures("approximate")
def test_recall_after_many_erasures(reopen, tools):
    """Rows that lose neighbours find others; erased rows are in nobody's list."""
    collection = reopen(32)
    vectors, _ = tools.clustered(3_000, 32, seed=2)
    tools.feed(collection, vectors, batch=1_000)
    gone = np.random.default_rng(0).permutation(3_000)[:900]
    for part in np.split(gone, 3):
        tools.write(collection, *[str(i) for i in part])
    assert tools.recall(collection) >= 0.97
    tools.check(collection)


def test_indexing_twice_changes_nothing(reopen, tools):
    """`insert` and `remove` pass over what is done already."""
    collection = reopen(16)
    vectors, _ = tools.clustered(300, 16)
    tools.feed(collection, vectors)
    logged = tools.write(collection, "1", "2")
    before = collection.neighbours.copy(), collection.similarity.copy()
    collection.insert(np.arange(300))
    collection.remove(logged.dead_rows)
    collection.remove(np.arange(300))
    assert np.array_equal(before[0], collection.neighbours)
    assert np.array_equal(before[1], collection.similarity)
    tools.check(collection)


def offer(graph, *edges):
    targets, sources, values = zip(*edges, strict=True)
    graph.offer(np.array(targets), np.array(sources), np.array(values, np.float32))


def test_offers_are_the_best_of_all():
    """Whatever comes in whatever order: a row lists the k best of what it had and was offered."""
    rng = np.random.default_rng(0)
    graph = NeighbourGraph(5)
    graph.resize(30)
    known = np.full((30, 30), -2.0, np.float32)
    for _ in range(20):
        sources = rng.permutation(30)[:8]
        targets = np.array([rng.permutation(30)[:6] for _ in sources])
        similarity = rng.random((8, 6)).astype(np.float32)
        pairs = targets, np.broadcast_to(sources[:, None], targets.shape)
        # An edge is offered with the same similarity each time.
        similarity = np.where(known[pairs] > -2, known[pairs], similarity)
        graph.offer_to_each(targets, sources, similarity)
        known[pairs] = similarity
        np.fill_diagonal(known, -2)
        best = np.argsort(-known, axis=1, kind="stable")[:, :5]
        values = np.take_along_axis(known, best, axis=1)
        assert np.array_equal(graph.similarity, values)
        assert np.array_equal(graph.neighbours, np.where(values > -2, best, -1))
        assert np.array_equal(graph.weakest, values[:, -1])


def test_offers_by_hand():
    """A row keeps its k best offers in order, refuses itself, copies and what is too weak."""
    graph = NeighbourGraph(2)
    graph.resize(5)
    offer(graph, (0, 1, 0.5), (0, 2, 0.9), (0, 3, 0.7), (0, 0, 1.0), (4, 0, 0.1))
    assert graph.neighbours.tolist() == [[2, 3], [-1, -1], [-1, -1], [-1, -1], [0, -1]]
    offer(graph, (0, 2, 0.9), (0, 1, 0.5), (0, 4, 0.8))
    assert graph.neighbours[0].tolist() == [2, 4]
    assert np.allclose(graph.similarity[0], [0.9, 0.8])
    assert graph.drop(np.array([2])).tolist() == [0]
    assert graph.neighbours[0].tolist() == [4, -1]
    assert graph.weakest.tolist() == [-2] * 5
