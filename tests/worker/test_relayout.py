"""A collection that is laid out anew in the store while images go on coming."""

import random

import pytest
from rounds import step

from worker import service
from worker.errors import StoreUnavailableError

IMAGES = 400


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr(service, "_ADOPTED_ROWS", 7)
    monkeypatch.setattr(service, "_ADOPTED_ROWS_BESIDE", 7)


def some_history(bench, axis, seed):
    """Images that come, change and go, with some that share a vector."""
    rng = random.Random(seed)
    for _ in range(IMAGES):
        name = f"a{rng.randrange(IMAGES // 2)}"
        if rng.random() < 0.15:
            bench.erase(name)
        else:
            bench.send(name, axis(rng.randrange(8), tilt=rng.randrange(40) / 50))


def run(bench, **settings):
    """A worker that asks for more room after every batch."""
    bench.store.crowded = lambda _: True
    worker = bench.worker(batch_records=5, **settings)
    batch = worker._ingest.batch

    def batch_and_ask(wait):
        worker._publishing.relieve()
        return batch(wait)

    worker._ingest.batch = batch_and_ask
    worker.run()


def view(store):
    """All that readers can ask for, but for the time and the count of updates."""
    images = [f"a{number}" for number in range(IMAGES)]
    clusters = store.clusters("main")
    return (
        store.get("main", images),
        clusters,
        [store.members("main", cluster.id) for cluster in clusters],
        store.summary("main").images,
        store.summary("main").generation,
    )


def rebuilds(bench):
    return bench.metrics.registry.get_sample_value("shoal_store_rebuilds_total")


@pytest.mark.parametrize("seed", range(3))
def test_ends_as_a_rebuild_does(bench, axis, seed):
    """Slices between batches and runs leave what writing everything at once leaves."""
    some_history(bench, axis, seed)
    run(bench, recluster_first_images=50, recluster_images=100)
    some_history(bench, axis, seed + 100)
    run(bench, recluster_images=100)
    assert rebuilds(bench) > 1
    seen = view(bench.store)
    bench.store.wipe()
    bench.run()
    assert view(bench.store) == seen


def test_given_up_where_the_store_fails(bench, axis):
    """A layout that meets an error is begun again; no update is lost by it."""
    some_history(bench, axis, 0)
    lay_out, failures = bench.store.lay_out, [0, 1, 2]

    def lay_out_and_fail(lease, images):
        layout = lay_out(lease, images)
        if failures:
            write, left = layout.write, [failures.pop()]

            def write_some(*given, **named):
                if not left[0]:
                    raise StoreUnavailableError("loading")
                left[0] -= 1
                write(*given, **named)

            layout.write = write_some
        return layout

    bench.store.lay_out = lay_out_and_fail
    run(bench)
    assert not failures
    assert rebuilds(bench) > 0
    seen = view(bench.store)
    bench.store.wipe()
    bench.run()
    assert view(bench.store) == seen


def test_a_purge_beside_it(bench, axis):
    """What a purge removes of former layouts is not the one that is under way."""
    some_history(bench, axis, 0)
    bench.run()
    worker = bench.parts(once=False)
    step(worker, 1)
    publisher, [main] = worker.publishing._publisher, worker.collections.serving
    bench.store.crowded = lambda _: True
    publisher.relieve(main)
    step(worker, 3)
    before = rebuilds(bench)
    assert publisher.forget(main, frozenset({"a1"}), None) is None
    step(worker, 100)
    assert rebuilds(bench) == before + 1
    worker.close()
