"""Batches that are under way together."""

import numpy as np
import pytest

from index import CollectionIndex, IndexSettings, NewImage
from index import live as live_module
from models import load_model
from models.context import empty_context
from models.coordinate.model import CoordinateModel
from models.coordinate.network import CoordinateNetwork
from models.coordinate.weights import CoordinateConfig
from worker import edges as edges_module

ONE_ENCODER = CoordinateConfig(
    dimension=16,
    hidden=8,
    convolution="graphconv",
    tau=0.5,
    tau_above=0.5,
    slope=1.0,
    offset=0.0,
    usable=True,
    edge_auc=0.9,
    cosine_auc=0.8,
    cluster_f=0.9,
    linkage_f=0.8,
    seed=0,
)


@pytest.mark.parametrize("records", [1, 3, 50])
def test_batches_overlap_without_harm(bench, axis, records):
    """Whatever the size of a batch, each image ends in the cluster of the last thing said of it."""
    rng = np.random.default_rng(records)
    expected = {}
    for _ in range(300):
        id_ = f"image-{rng.integers(40)}"
        if rng.random() < 0.2:
            bench.erase(id_)
            expected.pop(id_, None)
        else:
            number = int(rng.integers(8))
            bench.send(id_, axis(number, tilt=0.1 * rng.random()))
            expected[id_] = number
    bench.run(batch_records=records)
    ids = sorted(expected)
    states = dict(zip(ids, bench.states(*ids), strict=True))
    clusters = {}
    for id_, number in expected.items():
        clusters.setdefault(number, set()).add(states[id_].cluster)
    assert all(len(found) == 1 for found in clusters.values())
    assert len(set.union(*clusters.values())) == len(clusters)
    gone = [f"image-{i}" for i in range(40) if f"image-{i}" not in expected]
    assert bench.states(*gone) == [None] * len(gone)


def test_next_batch_is_logged_meanwhile(bench, axis, monkeypatch):
    """Under load a batch is read and logged while HNSW takes the one before in."""
    happened = []
    log, end = CollectionIndex.log, live_module.LiveIndex.end_insert

    def noting(name, method):
        def call(*arguments):
            happened.append(name)
            return method(*arguments)

        return call

    monkeypatch.setattr(CollectionIndex, "log", noting("log", log))
    monkeypatch.setattr(live_module.LiveIndex, "end_insert", noting("end", end))
    for i in range(12):
        bench.send(f"image-{i}", axis(i % 4, tilt=0.01 * i))
    bench.run(batch_records=4)
    assert happened[:6] == ["log", "log", "end", "log", "end", "end"]


def test_nobody_sees_an_image_before_it_has_a_cluster(bench, axis):
    """An image of a batch that HNSW still takes in is not published; it is in the next update."""
    worker = bench.worker(batch_records=4, once=False)
    for i in range(8):
        bench.send(f"image-{i}", axis(i % 4, tilt=0.01 * i))
    ids = [f"image-{i}" for i in range(8)]
    seen = []
    publish = worker._publishing.publish

    def count():
        publish()
        seen.append(sum(state is not None for state in bench.states(*ids)))
        if seen[-1] == len(ids):
            worker.stop()

    worker._publishing.publish = count
    worker.run()
    assert seen[:3] == [0, 4, 8]


def arriving(index, images, batch):
    """The rows of each batch of random images, once they are in the index."""
    vectors = np.random.default_rng(0).normal(size=(images, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, images, batch):
        part = vectors[start : start + batch]
        logged = index.log([NewImage(f"i{start + j}", v) for j, v in enumerate(part)], {})
        index.insert(logged.new_rows)
        yield logged.new_rows


def test_a_model_of_one_encoder_judges_a_collection_that_grows(tmp_path):
    """Batch by batch, and after a run: it needs no statistics."""
    judge = edges_module.ModelEdges(CoordinateModel(CoordinateNetwork(16, 8), ONE_ENCODER, "cpu"))
    index = CollectionIndex.open(tmp_path / "c", settings=IndexSettings(), dimension=16)
    for rows in arriving(index, 90, 30):
        assert judge.probabilities(index, rows).shape == (30, 30)
        empty_context().save(tmp_path / "context")
        judge.renew(index, tmp_path / "context")
    index.close()


def test_statistics_are_measured_aside(tmp_path, monkeypatch):
    """While the statistics of a grown collection are measured, edges are judged by the old ones."""
    monkeypatch.setattr(edges_module, "_ASIDE_ROWS", 100)
    model = load_model()
    measured = []

    class Watched:
        def context(self, vectors, graph, counts, **said):
            measured.append(len(vectors))
            return model.context(vectors, graph, counts, **said)

        def edge_probabilities(self, *arguments, **said):
            return model.edge_probabilities(*arguments, **said)

    index = CollectionIndex.open(tmp_path / "c", settings=IndexSettings(), dimension=16)
    judge = edges_module.ModelEdges(Watched())
    for rows in arriving(index, 400, 80):
        found = judge.probabilities(index, rows)
        assert found.shape == (80, 30)
        assert ((found >= 0) & (found <= 1)).all()
    assert measured[0] == 80
    assert measured[-1] >= 240
    index.close()
