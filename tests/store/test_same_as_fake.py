"""Redis and the fake agree on any history."""

import random

import pytest

from worker.store.base import Change, ClusterInfo, ImageState, Update
from worker.testing.store import MemoryStore

IMAGES = [f"image-{i}" for i in range(12)]
CLUSTERS = [f"c{i}" for i in range(6)]
UPDATES = 40


def some_state(rng):
    return ImageState(
        rng.choice(CLUSTERS), round(rng.random(), 4), rng.random() < 0.5, rng.randrange(5)
    )


def some_update(rng, sequence):
    """An update of anything, whose `old` is a guess."""
    return Update(
        sequence,
        changes=[
            Change(
                rng.choice(IMAGES),
                rng.choice([None, *CLUSTERS]),
                some_state(rng) if rng.random() < 0.8 else None,
            )
            for _ in range(rng.randrange(6))
        ],
        clusters=[ClusterInfo(c, rng.random()) for c in rng.sample(CLUSTERS, rng.randrange(3))],
        retired={c: rng.choice([None, *CLUSTERS]) for c in rng.sample(CLUSTERS, rng.randrange(2))},
        generation=rng.randrange(4),
        model=rng.choice([None, "clip", "dino"]),
        dimension=rng.choice([0, 64]),
    )


def view(reader):
    """All that can be read, but for the time."""
    summary = reader.summary("main")
    return (
        reader.get("main", IMAGES),
        [reader.cluster("main", c) for c in CLUSTERS],
        [reader.members("main", c) for c in CLUSTERS],
        reader.clusters("main"),
        reader.clusters("main", 2),
        (summary.images, summary.clusters, summary.generation, summary.sequence),
        (summary.model, summary.dimension),
    )


@pytest.mark.parametrize("seed", range(5))
def test_same(open_store, client, seed):
    """After every update and rebuild of a random history both give the same answers."""
    rng = random.Random(seed)
    real, fake = open_store(), MemoryStore()
    leases = [(store, store.acquire("main", "worker-1", 0)) for store in (real, fake)]
    for sequence in range(1, UPDATES):
        update = some_update(rng, sequence)
        images = {rng.choice(IMAGES): some_state(rng) for _ in range(8)}
        rebuilt = rng.random() < 0.1
        for store, lease in leases:
            if rebuilt:
                store.rebuild(lease, images.items(), update.clusters, update.retired, update)
            else:
                store.apply(lease, update)
        assert view(client) == view(fake)
