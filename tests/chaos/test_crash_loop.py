"""Worker, Valkey and broker are killed at random under load; nothing is lost or made up."""

import os
import random
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from loading import load

from index import CollectionIndex

ROUNDS = int(os.environ.get("SHOAL_CHAOS_ROUNDS", "20"))
SEED = int(os.environ.get("SHOAL_CHAOS_SEED") or random.randrange(10**6))
SETTINGS = {"batch_records": 20, "snapshot_images": 100, "lease_seconds": 2}
# What is killed in a round. A worker that is not goes on through the next one.
VICTIMS = (["worker"], ["valkey"], ["worker", "valkey"], ["kafka"], ["worker", "kafka"])
WEIGHTS = (14, 3, 2, 1, 1)
IMAGES = 40


toll = load(Path(__file__).with_name("toll.py"))


def load(stream, round_, rng):
    """The next images of two collections, some with a new vector, some erased, a bad record."""
    first, random_ = len(stream.records), np.random.default_rng(rng.randrange(2**32))
    for number in range(IMAGES):
        vector = random_.standard_normal(16)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        collection = "user:2" if number % 5 == 0 else "main"
        known = sorted(stream.images.get(collection, {}))
        chance = rng.random()
        if known and chance < 0.1:
            stream.erase(rng.choice(known), collection)
        elif known and chance < 0.2:
            stream.add(rng.choice(known), vector, collection)
        else:
            stream.add(f"i{round_}-{number}", vector, collection)
    if round_ % 7 == 0:
        stream.refuse(b"bad", b"no json")
    return type(stream)(stream.records[first:])


@pytest.mark.slow
def test_nothing_is_lost_or_made_up(own_kafka, own_valkey, make_stage, tools, tmp_path):
    """After so many crashes every image is there once, and the graph is as good as without."""
    rng = random.Random(SEED)
    stage = make_stage(kafka=own_kafka, valkey=own_valkey)
    stage.create_topic(partitions=3)
    stream, killed, worker = tools.Stream(), Counter(), None
    for round_ in range(ROUNDS):
        worker = worker or stage.start(**SETTINGS)
        stage.send(load(stream, round_, rng))
        tools.eventually(lambda worker=worker: worker.ask("/readyz")[0], 60)
        time.sleep(rng.uniform(0, 0.6))
        [victims] = rng.choices(VICTIMS, WEIGHTS)
        killed.update(victims)
        assert worker.exit_code is None, worker.text()
        if "worker" in victims:
            worker.kill()
            worker = None
        if "valkey" in victims:
            own_valkey.restart()
        if "kafka" in victims:
            own_kafka.kill()
            own_kafka.start()
    if worker is not None:
        worker.kill()
    assert stage.run(**SETTINGS).exit_code == 0
    found, kept = _measure(stage, tools, stream)
    bare = toll.recall_without_crashes(tmp_path / "bare", stream.images["main"])
    print(f"seed {SEED}: killed {dict(killed)}, {asdict(found)}, recall {kept:.4f} of {bare:.4f}")  # noqa: T201
    assert found == toll.Toll(), f"seed {SEED}"
    assert kept >= bare - 0.01, f"seed {SEED}"


def _measure(stage, tools, stream):
    """The toll over all collections, and the recall of the kept graph of `main`."""
    found, recall = toll.Toll(), {}
    for name, images in stream.images.items():
        published = tools.Published(stage.valkey.url, stage.name, name)
        index = CollectionIndex.open(stage.data_dir / "collections" / name, settings=toll.SETTINGS)
        try:
            toll.count(index, published, images, found)
            tools.check_published(index, published)
            recall[name] = toll.recall(index)
        finally:
            index.close()
        published.check()
    return found, recall["main"]
