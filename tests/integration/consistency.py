"""The one strong check: catalog, assignments, graph, HNSW and Redis tell the same story."""

from collections import Counter

import numpy as np
import redis

from index import CollectionIndex, IndexSettings
from worker.assignments import NONE, Assignments
from worker.cluster_table import ClusterTable
from worker.outbox import Outbox
from worker.store.codec import decode_state
from worker.store.keys import Keys, Space


class Published:
    """Everything that Redis holds of a collection, read without Shoal's client."""

    def __init__(self, url, prefix, collection):
        keys = Keys(prefix, collection)
        with redis.Redis.from_url(url, decode_responses=True, protocol=2) as server:
            self.meta = server.hgetall(keys.meta)
            if not self.meta:
                self.states, self.places, self.members, self.sizes = {}, Counter(), {}, {}
                self.retired, self.infos = {}, {}
                return
            space = Space(keys, int(self.meta["space"]), int(self.meta["buckets"]))
            self.states, self.places = {}, Counter()
            for number in range(space.buckets):
                for image, text in server.hgetall(space.bucket(number)).items():
                    self.states[image] = decode_state(text)
                    self.places[image] += 1
            start = space.members("")
            self.members = {
                key.removeprefix(start): server.smembers(key)
                for key in server.scan_iter(f"{escape(start)}*", count=1_000)
            }
            self.sizes = dict(server.zrange(space.sizes, 0, -1, withscores=True))
            self.retired = server.hgetall(space.retired)
            self.infos = server.hgetall(space.info)

    def check(self):
        """Buckets, member sets, sizes and counts agree, and each image is there exactly once."""
        assert set(self.places.values()) <= {1}
        listed = Counter(image for images in self.members.values() for image in images)
        assert listed == self.places
        by_cluster = {}
        for image, state in self.states.items():
            by_cluster.setdefault(state.cluster, set()).add(image)
        assert by_cluster == self.members
        assert {cluster: len(images) for cluster, images in by_cluster.items()} == self.sizes
        assert not set(self.sizes) & set(self.retired)
        assert set(self.sizes) <= set(self.infos)
        assert int(self.meta.get("images", 0)) == len(self.states)


def escape(text):
    """`text` for a pattern of Redis."""
    return "".join(f"\\{c}" if c in "[]*?\\" else c for c in text)


def assert_consistent(data_dir, url, prefix, expected):
    """Exactly the `expected` images (collection -> id -> vector) are everywhere, each once.

    The worker must have stopped cleanly: nothing may wait to be published.
    """
    folder = data_dir / "collections"
    stored = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    assert stored == sorted(expected)
    for name, images in expected.items():
        published = Published(url, prefix, name)
        published.check()
        index = CollectionIndex.open(folder / name, settings=IndexSettings(threads=1))
        try:
            assert index.rows_since_snapshot == 0, "a clean stop takes a snapshot"
            _check_index(index, images)
            _check_published(index, published)
        finally:
            index.close()


def _check_index(index, images):
    rows = dict(index.iterate())
    assert set(rows) == set(images)
    assert index.images == len(images)
    live = index.counts > 0
    assert np.array_equal(np.bincount(list(rows.values()), minlength=index.rows), index.counts)
    for image, row in rows.items():
        assert np.allclose(index.vectors[row], images[image], atol=1e-6), image
    assert not index.vectors[~live].any()
    assert np.array_equal(index._live.present, live)
    if not live.any():
        return
    rows = np.flatnonzero(live)
    assert np.array_equal(index._live.held.labels(), rows)
    assert np.array_equal(index._live.held.vectors(rows), index.vectors[rows])
    _check_graph(index, live)


def _check_graph(index, live):
    neighbours, similarity = index.neighbours, index.similarity
    assert (neighbours[~live] == -1).all()
    listed = neighbours >= 0
    assert live[neighbours[listed]].all()
    enough = min(neighbours.shape[1], int(live.sum()) - 1)
    assert (listed[live].sum(axis=1) == enough).all()
    cosine = index.vectors @ index.vectors.T
    np.fill_diagonal(cosine, -2)
    cosine[:, ~live] = -2
    best = -np.sort(-cosine[live], axis=1)[:, :enough]
    assert np.allclose(similarity[live][:, :enough], best, atol=1e-5)


def _check_published(index, published):
    with index.transaction(durable=False) as connection:
        table, outbox = ClusterTable(connection, None), Outbox(connection)
        assigned = Assignments(connection, index.rows)
        stray = connection.execute(
            "SELECT count(*) FROM assignment a LEFT JOIN image i ON a.row = i.row"
            " WHERE i.row IS NULL"
        ).fetchone()[0]
    assert stray == 0, "dead rows have no cluster"
    assert not outbox
    rows = dict(index.iterate())
    assert set(published.states) == set(rows)
    for image, row in rows.items():
        state, label = published.states[image], int(assigned.labels[row])
        assert label != NONE, image
        assert not table[label].retired, image
        assert state.cluster == table.id(label), image
        assert abs(state.confidence - float(assigned.confidence[row])) < 0.002, image
        assert state.provisional == bool(assigned.provisional[row]), image
        assert state.generation == int(assigned.generation[row]), image
    retired = {
        table[number].id: table.id(table[number].successor) or ""
        for number in range(len(table))
        if table[number].retired
    }
    assert published.retired == retired


def partition(states):
    """What is together, as a set of sets of image ids; `states` maps ids to their state."""
    found = {}
    for image, state in states.items():
        found.setdefault(state.cluster, set()).add(image)
    return {frozenset(images) for images in found.values()}


def by_group(images):
    """What should be together: images whose vectors point along the same axis."""
    found = {}
    for image, vector in images.items():
        found.setdefault(int(np.argmax(vector)), set()).add(image)
    return {frozenset(ids) for ids in found.values()}
