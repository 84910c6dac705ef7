"""Log and catalog against a model in memory, with a crash between any two writes to the disk."""

import os
import shutil
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import CollectionIndex, Erasure, IndexSettings, NewImage
from index.findings import Harm
from index.verify import verify

SETTINGS = IndexSettings(k=3, threads=1)
VECTORS = np.eye(6, dtype=np.float32)
CALLS = ("pwrite", "write", "fsync", "ftruncate", "truncate", "rename", "replace", "unlink")

ids = st.sampled_from("abcdé\U0001f41f")
writes = st.lists(st.tuples(ids, st.none() | st.integers(0, 5)), max_size=6)
steps = st.one_of(writes, st.just("snapshot"), st.just("restart"))
# A step, and after how many writes and statements of it the power goes, if it does.
runs = st.lists(st.tuples(steps, st.none() | st.integers(0, 60)), min_size=1, max_size=8)


class Disk:
    """Counts what is done to the disk, and keeps what a process that dies there leaves behind."""

    def __init__(self, folder):
        self.folder = folder
        self.number = 0
        self.left = None
        self.crashed = None

    @property
    def directory(self):
        """Where the collection is now."""
        return self.folder / str(self.number)

    def arm(self, after):
        """Die after so many places from here on; None: do not."""
        self.left, self.crashed = after, None

    def tick(self, *_statement):
        """A place to die."""
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            self.crashed = self.folder / str(self.number + 1)
            shutil.copytree(self.directory, self.crashed)

    def restart(self):
        """Go on in what the crash left."""
        self.number += 1
        self.left = self.crashed = None


@contextmanager
def watched(disk):
    """Every call that changes the disk is a place to die, before it and after it."""

    def around(call):
        def counted(*args, **options):
            disk.tick()
            done = call(*args, **options)
            disk.tick()
            return done

        return counted

    calls = {name: around(getattr(os, name)) for name in CALLS}
    with patch.multiple(os, **calls), patch("index.database.CHECKPOINT_BYTES", 30_000):
        yield


def opened(disk):
    collection = CollectionIndex.open(disk.directory, settings=SETTINGS, dimension=6)
    # Before each statement; what SQLite writes itself lies between two of them.
    collection._catalog.connection.set_trace_callback(disk.tick)
    return collection


def content(collection):
    return {id_: int(collection.vectors[row].argmax()) for id_, row in collection.iterate()}


def applied(state, batch):
    after = dict(state)
    for id_, vector in batch:
        if vector is None:
            after.pop(id_, None)
        else:
            after[id_] = vector
    return after


def take(collection, disk, step, position):
    """Do one step; the collection to go on with."""
    if step == "snapshot":
        collection.snapshot()
    elif step == "restart":
        collection.close()
        return opened(disk)
    else:
        batch = [Erasure(i) if v is None else NewImage(i, VECTORS[v]) for i, v in step]
        logged = collection.log(batch, {"t:0": position})
        collection.insert(logged.new_rows)
        collection.remove(logged.dead_rows)
    return collection


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(runs)
def test_a_crash_between_any_two_writes(tools, tmp_path_factory, run):
    """What was acknowledged is there, a batch is there whole or not at all, and nothing else."""
    disk = Disk(tmp_path_factory.mktemp("disk"))
    with watched(disk):
        collection = opened(disk)
        state, position = {}, 0
        for step, crash in run:
            # By position: what may be found after a crash.
            possible = {position: state}
            if isinstance(step, list):
                position, state = position + 1, applied(state, step)
                possible[position] = state
            disk.arm(crash)
            collection = take(collection, disk, step, position)
            if disk.crashed is not None:
                collection.close()
                disk.restart()
                assert {finding.harm for finding in verify(disk.directory)} <= {Harm.NONE}
                collection = opened(disk)
                position = collection.positions.get("t:0", 0)
                state = possible[position]
            disk.arm(None)
            assert content(collection) == state
            assert collection.positions.get("t:0", 0) == position
            tools.check(collection)
        collection.close()
        assert verify(disk.directory) == []
