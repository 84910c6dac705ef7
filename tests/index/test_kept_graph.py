"""The k-NN graph that is kept as images come and go."""

import numpy as np
import pytest

from index import NewImage
from index.graph import NeighbourGraph

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
def test_refresh_finds_what_came_later(reopen, tools, monkeypatch):
    """Where nobody walks, a third of all images in one class miss later ones, until refreshed."""
    monkeypatch.setattr("index.live.WALKED", 0)
    collection = reopen(32, k=K)
    vectors, _ = tools.clustered(4_000, 32, seed=1, largest=np.inf)
    tools.feed(collection, vectors, batch=250)
    assert 0.8 < tools.recall(collection) < 0.95
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
def test_the_walk_finds_what_the_search_missed(reopen, tools, monkeypatch, tmp_path):
    """With a narrow search a tenth of all neighbours are missed without it, one in 30 with it."""
    vectors, _ = tools.clustered(4_000, 32, seed=1)
    narrow = {"k": K, "ef_search": 12, "directory": tmp_path / "walked"}
    walked = reopen(32, **narrow)
    tools.feed(walked, vectors, batch=250)
    tools.check(walked)
    monkeypatch.setattr("index.live.WALKED", 0)
    searched = reopen(32, **{**narrow, "directory": tmp_path / "searched"})
    tools.feed(searched, vectors, batch=250)
    assert tools.recall(walked) > 0.967
    assert tools.recall(searched) < 0.92


@pytest.mark.usefixtures("approximate")
def test_listers_are_found_again_after_a_start(reopen, tools):
    """A graph that comes from a snapshot is walked as well as one that grew here."""
    vectors, _ = tools.clustered(4_000, 32, seed=1)
    collection = reopen(32, k=K, ef_search=31)
    tools.feed(collection, vectors[:2_000], batch=250)
    collection.snapshot()
    collection = reopen(k=K, ef_search=31)
    tools.feed(collection, vectors[2_000:], batch=250, first=2_000)
    assert tools.recall(collection) >= 0.975
    tools.check(collection)


@pytest.mark.usefixtures("approximate")
def test_a_batch_enters_the_graph_beside_the_log(reopen, tools):
    """Batches that are linked on another thread, while the log grows under it, are all linked."""
    collection = reopen(32, k=K)
    vectors, _ = tools.clustered(4_000, 32, seed=1)
    for start in range(0, len(vectors), 250):
        images = [NewImage(str(start + i), v) for i, v in enumerate(vectors[start : start + 250])]
        logged = collection.log(images, {})
        if start:
            collection.end_insert()
            assert collection.linked(np.arange(start)).all()
        collection.begin_insert(logged.new_rows)
        collection.begin_link()
        assert not collection.linked(logged.new_rows).any()
    collection.end_insert()
    assert tools.recall(collection) >= 0.97
    tools.check(collection)


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


def introduced(graph, vectors, rows, labels, most=0):
    """Let rows meet `labels` [n, width], as similar as their vectors are."""
    rows, labels = np.array(rows), np.array(labels).reshape(len(rows), -1)
    similarity = np.einsum("nd,nwd->nw", vectors[rows], vectors[labels])
    present = np.ones(len(vectors), np.bool_)
    graph.introduce(rows, labels, similarity, present, vectors, most)


def test_a_list_is_the_best_of_all_that_were_met():
    """Whoever meets whom in whatever order: a row lists the k best, and both sides hear of it."""
    rng = np.random.default_rng(0)
    vectors = unit(rng, 30)
    graph = NeighbourGraph(5)
    graph.resize(30)
    met = np.zeros((30, 30), np.bool_)
    for _ in range(20):
        rows = rng.permutation(30)[:8]
        labels = np.array([rng.permutation(30)[:6] for _ in rows])
        introduced(graph, vectors, rows, labels)
        met[rows[:, None], labels] = met[labels, rows[:, None]] = True
        known = np.where(met, vectors @ vectors.T, -2).astype(np.float32)
        np.fill_diagonal(known, -2)
        best = np.argsort(-known, axis=1, kind="stable")[:, :5]
        values = np.take_along_axis(known, best, axis=1)
        assert np.allclose(graph.similarity, values, atol=1e-6)
        assert np.array_equal(graph.neighbours, np.where(values > -2, best, -1))
        assert np.array_equal(graph.weakest, graph.similarity[:, -1])


def unit(rng, rows):
    vectors = rng.standard_normal((rows, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def on_a_circle(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_introductions_by_hand():
    """A row keeps its k best in order, refuses itself, copies, what is too weak and the absent."""
    vectors = on_a_circle(0, 30, 10, 20, 90)
    graph = NeighbourGraph(2)
    graph.resize(5)
    introduced(graph, vectors, [0], [0, 1, 2, 3])
    assert graph.neighbours.tolist() == [[2, 3], [0, -1], [0, -1], [0, -1], [-1, -1]]
    introduced(graph, vectors, [0, 1], [[2, 4], [0, 4]])
    assert graph.neighbours.tolist() == [[2, 3], [0, 4], [0, -1], [0, -1], [1, 0]]
    assert graph.drop(np.array([2])).tolist() == [0]
    assert graph.neighbours[0].tolist() == [3, -1]
    present = np.array([True, True, False, True, True])
    some = np.array([3]), np.array([[2, 1]]), np.array([[0.985, 0.985]], np.float32)
    graph.introduce(*some, present, vectors, 0)
    assert graph.neighbours[3].tolist() == [1, 0]
    assert (graph.neighbours[2] == -1).all()


def test_a_walk_goes_on_to_listers():
    """From a row in a dense place to one that lists it from afar, and would rather list another."""
    vectors = on_a_circle(0, 1, 2, 3, 40, 5)
    graph = NeighbourGraph(2)
    graph.resize(6)
    introduced(graph, vectors, [0, 1, 2, 3], [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    introduced(graph, vectors, [4], [[3, 2]])
    assert graph.neighbours[4].tolist() == [3, 2]
    introduced(graph, vectors, [5], [[3]], most=100)
    assert graph.neighbours[4].tolist() == [5, 3]
    assert graph.neighbours[5].tolist() == [3, 2]


def test_a_walk_among_erased_listers_ends():
    """Rows that are gone are still noted as listers; a walk meets none, and ends all the same."""
    near, listers = 200, 16
    degrees = [np.linspace(0, 20, near), np.linspace(40, 80, near * listers), [10.05]]
    vectors = on_a_circle(*np.concatenate(degrees))
    graph = NeighbourGraph(K)
    graph.resize(len(vectors))
    rows = np.arange(near)
    introduced(graph, vectors, rows, np.tile(rows, (near, 1)))
    gone = np.arange(near, near + near * listers)
    introduced(graph, vectors, gone, np.repeat(rows, listers))
    present = np.ones(len(vectors), np.bool_)
    present[gone] = False
    graph.drop(gone)
    last = len(vectors) - 1
    found = np.argsort(-vectors[:near] @ vectors[last])[None, :80]
    similarity = (vectors[last] @ vectors[found[0]].T)[None]
    graph.introduce(np.array([last]), found, similarity, present, vectors, 8)
    assert sorted(graph.neighbours[last].tolist()) == list(range(85, 115))
    assert not np.isin(graph.neighbours[:near], gone).any()
