"""Realistic vectors, and what must hold of a collection whatever happened to it."""

from pathlib import Path

import numpy as np
import pytest
from full import full_disk
from loading import load

from index import CollectionIndex, Erasure, IndexSettings, NewImage
from index.search import candidates


def clustered(rows, dimension=32, *, seed=0, largest=5.0):
    """Unit vectors [n, d] and classes [n] of uneven size that come in families, shuffled."""
    rng = np.random.default_rng(seed)
    classes = max(1, rows // 15)
    share = np.minimum(rng.pareto(1.5, classes) + 0.2, largest)
    labels = rng.choice(classes, rows, p=share / share.sum())
    families = rng.standard_normal((max(1, classes // 6), dimension))
    centres = families[rng.integers(len(families), size=classes)]
    centres = centres + 0.8 * rng.standard_normal((classes, dimension))
    spread = 0.6 * np.exp(0.3 * rng.standard_normal((rows, 1)))
    vectors = centres[labels] + spread * rng.standard_normal((rows, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels


def feed(collection, vectors, *, batch=500, first=0):
    """Log and insert images named by their number."""
    for start in range(0, len(vectors), batch):
        images = [
            NewImage(str(first + start + i), vector)
            for i, vector in enumerate(vectors[start : start + batch])
        ]
        logged = collection.log(images, {"images:0": first + start + len(images)})
        collection.insert(logged.new_rows)
        collection.remove(logged.dead_rows)


def write(collection, *writes, positions=None):
    """Log one batch and index it; images are (id, vector), an erasure is a bare id."""
    batch = [Erasure(w) if isinstance(w, str) else NewImage(*w) for w in writes]
    logged = collection.log(batch, positions or {})
    collection.insert(logged.new_rows)
    collection.remove(logged.dead_rows)
    return logged


def recall(collection):
    """Share of the true neighbours of the live rows that the graph lists."""
    vectors, k = collection.vectors, collection.neighbours.shape[1]
    live = np.flatnonzero(collection.counts)
    similarity = vectors[live] @ vectors[live].T
    np.fill_diagonal(similarity, -np.inf)
    truth = live[np.argpartition(-similarity, k, axis=1)[:, :k]]
    rows = zip(truth.tolist(), collection.neighbours[live].tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / k for a, b in rows])


def check(collection):
    """Log, HNSW and graph agree with each other in everything that can be checked."""
    counts, vectors = collection.counts, collection.vectors
    neighbours, similarity = collection.neighbours, collection.similarity
    assert len(counts) == len(vectors) == len(neighbours) == len(similarity) == collection.rows
    images = dict(collection.iterate())
    assert len(images) == collection.images
    assert np.array_equal(np.bincount(list(images.values()), minlength=len(counts)), counts)
    live = counts > 0
    assert not vectors[~live].any()
    assert (neighbours[~live] == -1).all()

    listed = neighbours >= 0
    assert (similarity[~listed] == -2).all()
    assert (listed[:, :-1] >= listed[:, 1:]).all()
    assert (similarity[:, :-1] >= similarity[:, 1:]).all()
    assert live[neighbours[listed]].all()
    source, place = np.nonzero(listed)
    target = neighbours[source, place]
    assert (source != target).all()
    assert len(np.unique(np.stack([source, target]), axis=1).T) == len(source)
    cosine = np.einsum("nd,nd->n", vectors[source], vectors[target])
    assert np.allclose(cosine, similarity[source, place], atol=1e-5)
    enough = min(neighbours.shape[1], live.sum() - 1) if live.any() else 0
    assert (listed[live].sum(axis=1) == enough).all()

    assert np.array_equal(collection._live.present, live)
    assert collection._live.held.live == live.sum()
    if live.any():
        # As wide as this, so that what is asked is whether HNSW leads there at all.
        rows = np.flatnonzero(live)
        width = min(160, len(rows))
        found, near = candidates(collection._live.held, vectors, live, rows, width)
        nearest = np.take_along_axis(found, near.argmax(axis=1)[:, None], axis=1)[:, 0]
        assert np.mean(nearest == rows) > 0.99


@pytest.fixture
def approximate(monkeypatch):
    """Leave the exact search early, so that few rows are enough to test the other."""
    monkeypatch.setattr("index.few.EXACT_ROWS", 400)


@pytest.fixture
def tools():
    """The functions of this file."""
    return Tools


class Tools:
    """What the tests share."""

    image = NewImage
    clustered = staticmethod(clustered)
    feed = staticmethod(feed)
    write = staticmethod(write)
    recall = staticmethod(recall)
    check = staticmethod(check)
    full_disk = staticmethod(full_disk)


@pytest.fixture
def reopen(tmp_path):
    """Open the test's collection, closing the one opened before."""
    opened = []

    def open_(dimension=None, *, directory=tmp_path / "collection", progress=None, **settings):
        if opened:
            opened.pop().close()
        collection = CollectionIndex.open(
            directory,
            settings=IndexSettings(**{"k": 10, "threads": 1, **settings}),
            dimension=dimension,
            progress=progress,
        )
        opened.append(collection)
        return collection

    yield open_
    if opened:
        opened.pop().close()


@pytest.fixture
def crash():
    """The module that is killed in the middle of its work."""
    return load(Path(__file__).with_name("crash.py"))


@pytest.fixture(scope="session")
def damage():
    """The module that damages files."""
    return load(Path(__file__).with_name("damage.py"))
