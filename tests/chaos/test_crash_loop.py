"""Worker, Valkey and broker are killed at random under load; nothing is lost or made up."""

import os
import random
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from loading import load

from index import CollectionIndex
from index.database import reading

toll = load(Path(__file__).with_name("toll.py"))
load_ = load(Path(__file__).with_name("load.py"))

ROUNDS = int(os.environ.get("SHOAL_CHAOS_ROUNDS", "20"))
SEED = int(os.environ.get("SHOAL_CHAOS_SEED") or random.randrange(10**6))
# So few rows are searched one by one; the others by HNSW, whose recall crashes could harm.
EXACT_ROWS = 100
SETTINGS = {
    "batch_records": 20,
    "snapshot_images": 100,
    "lease_seconds": 2,
    "hnsw_m": toll.SETTINGS.m,
    "hnsw_ef_construction": toll.SETTINGS.ef_construction,
    "hnsw_ef_search": toll.SETTINGS.ef_search,
    "EXACT_ROWS": str(EXACT_ROWS),
}
# What is killed in a round. A worker that is not goes on through the next one.
VICTIMS = (["worker"], ["valkey"], ["worker", "valkey"], ["kafka"], ["worker", "kafka"])
WEIGHTS = (14, 3, 2, 1, 1)
# Chance that a worker that was just started is killed before it serves.
EARLY = 0.3


def deal(rounds, rng):
    """What is killed in each round, and whether before it serves: everything at least once in the
    first seven, and one worker while it recovers.
    """
    first = list(VICTIMS)
    rng.shuffle(first)
    dealt = [*first, ["worker"], ["worker"]]
    dealt += [rng.choices(VICTIMS, WEIGHTS)[0] for _ in range(rounds - len(dealt))]
    follows = [False, *("worker" in victims for victims in dealt)]
    early = [
        started and "worker" in victims and (number == len(first) + 1 or rng.random() < EARLY)
        for number, (victims, started) in enumerate(zip(dealt, follows, strict=False))
    ]
    return list(zip(dealt, early, strict=True))[:rounds]


def taken(stage):
    """How many records the worker that is dead now has behind it."""
    with reading(stage.data_dir / "positions.sqlite") as db:
        return db.execute("SELECT coalesce(sum(next), 0) FROM position").fetchone()[0]


@pytest.mark.slow
def test_nothing_is_lost_or_made_up(
    own_kafka, own_valkey, make_stage, tools, tmp_path, monkeypatch
):
    """After so many crashes every image is there once, and the graph is as good as without."""
    monkeypatch.setattr("index.few.EXACT_ROWS", EXACT_ROWS)
    rng = random.Random(SEED)
    stage = make_stage(kafka=own_kafka, valkey=own_valkey)
    stage.create_topic(partitions=3)
    stream, killed, worker = tools.Stream(), Counter(), None
    for round_, (victims, early) in enumerate(deal(ROUNDS, rng)):
        sender = load_.Load(stage, stream, SEED + round_, round_)
        sender.start()
        worker = worker or stage.start(**SETTINGS)
        if not early:
            tools.eventually(lambda worker=worker: worker.ask("/readyz")[0] == 200, 60)
        time.sleep(rng.uniform(0, 0.6))
        assert worker.exit_code is None, worker.text()
        killed.update(victims)
        killed["before it served"] += early and worker.ask("/readyz")[0] != 200
        if "worker" in victims:
            worker.kill()
            worker = None
        if "valkey" in victims:
            own_valkey.restart()
        if "kafka" in victims:
            own_kafka.kill()
            own_kafka.start()
        sender.end()
        killed["with a backlog"] += worker is None and taken(stage) < len(stream.records)
    if worker is not None:
        worker.kill()
    assert stage.run(**SETTINGS).exit_code == 0
    found, kept = _measure(stage, tools, stream)
    bare = toll.recall_without_crashes(tmp_path / "bare", stream.images["main"])
    print(f"seed {SEED}: killed {dict(killed)}, {asdict(found)}, recall {kept:.4f} of {bare:.4f}")  # noqa: T201
    assert found == toll.Toll(), f"seed {SEED}"
    assert kept >= bare - 0.01, f"seed {SEED}"
    if ROUNDS >= 20:
        for what in ("worker", "valkey", "kafka", "before it served", "with a backlog"):
            assert killed[what], f"seed {SEED}: nothing was killed: {what}"


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
