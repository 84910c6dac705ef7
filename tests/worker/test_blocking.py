"""Steps that block for longer than a lease: it is kept, and the worker shows that it is alive."""

import errno
import os
import time
from pkgutil import resolve_name

import pytest
from slowly import Slowly

from worker import compacting
from worker.blocking import Blocking
from worker.errors import LeaseError
from worker.service import Worker


def driven(bench):
    """A worker that a test drives round by round."""
    worker = Worker(bench.parts(once=False))
    worker._recover()
    worker._open_source()
    rounds(worker)
    return worker


def rounds(worker, count=6):
    for _ in range(count):
        worker._persist(worker._round)


@pytest.mark.parametrize(
    "step",
    [
        "worker.compaction.differing_images",
        "worker.compaction.carry",
        "worker.collections.migration.switch",
        "worker.collections.adopt.resume",
    ],
)
def test_a_compaction(photos, monkeypatch, step):
    """Its comparison, its carrying and its switch."""
    monkeypatch.setattr(compacting, "_DEAD_ROWS", 10)
    worker = driven(photos)
    for number in range(5):
        for letter in "abc":
            photos.erase(f"{letter}{number}")
    slowly = Slowly(monkeypatch, photos, worker, step)
    rounds(worker, 40)
    worker._parts.close()
    assert photos.metrics.compactions._value.get() == 1
    slowly.assert_seen()


@pytest.mark.parametrize(
    "step",
    [
        "worker.coverage.count_shared",
        "worker.migrating.carry",
        "worker.takeover.adopt.begin",
        "worker.collections.adopt.resume",
    ],
)
def test_a_migration(photos, axis, monkeypatch, step):
    """Its count, its carrying and its switch."""
    photos.alone().migrate("main", ("to", "other", "12"))
    worker = driven(photos)
    for letter, number in [(name, n) for name in range(3) for n in range(10)]:
        vector = axis(letter, dimension=12, tilt=number / 50)
        photos.send(f"{'abc'[letter]}{number}", vector, model="other")
    slowly = Slowly(monkeypatch, photos, worker, step)
    rounds(worker, 40)
    worker._parts.close()
    assert photos.store.summary("main").model == "other"
    slowly.assert_seen()


def test_a_collection_that_is_opened_again(photos, axis, monkeypatch):
    """After the disk failed."""
    worker = driven(photos)
    slowly = Slowly(monkeypatch, photos, worker, "worker.collections.adopt.resume")
    failures, sync = [OSError(errno.EIO, os.strerror(errno.EIO))], os.fsync
    monkeypatch.setattr("index.vectors.os.fsync", lambda f: _fail(failures) or sync(f))
    photos.send("late", axis(5))
    rounds(worker)
    assert photos.states("late") != [None]
    worker._parts.close()
    slowly.assert_seen()


def test_collections_that_are_closed_again(photos, axis, monkeypatch):
    """Leases that were given up are not taken for another's while the next one is opened."""
    for number in range(2):
        photos.send("late", axis(number), collection=f"user-{number}")
    photos.run()
    resume = resolve_name("worker.collections.adopt.resume")

    def slowly(*words):
        photos.clock.advance(6.0)
        time.sleep(0.1)
        return resume(*words)

    monkeypatch.setattr("worker.blocking._MEANWHILE_SECONDS", 0.001)
    monkeypatch.setattr("worker.collections.adopt.resume", slowly)
    worker = Worker(photos.parts(once=False, open_collections="1"))
    worker._recover()
    rounds(worker)
    worker._parts.close()


def _fail(failures):
    if failures:
        raise failures.pop()


def test_what_is_raised_meanwhile(bench, monkeypatch):
    """It is raised, but not before the step has ended."""
    monkeypatch.setattr("worker.blocking._MEANWHILE_SECONDS", 0.001)
    blocking, done, asked = Blocking(bench.clock), [], []

    def lost():
        asked.append(True)
        raise LeaseError("main", "another")

    def step():
        while not asked:
            pass
        done.append(True)

    blocking.meanwhile.append(lost)
    with pytest.raises(LeaseError):
        blocking.run(step)
    assert done


def test_a_step_that_does_not_end(photos, monkeypatch):
    """For two hours the worker shows that it is alive, and no longer."""
    monkeypatch.setattr("worker.blocking._MEANWHILE_SECONDS", 0.001)
    worker, seen = driven(photos), []

    def step():
        for seconds in (7_000.0, 900.0):
            photos.clock.advance(seconds)
            time.sleep(0.1)
            seen.append(worker.healthy())

    worker._parts.blocking.run(step)
    worker._parts.close()
    assert seen == [None, "the loop is stuck since 900 s"]
