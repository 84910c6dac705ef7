"""A store that drops keys: told, and filled again."""

import pytest

from worker.errors import StoreUnavailableError
from worker.evictions import Evictions
from worker.role import Role


@pytest.fixture
def photos(bench, axis):
    """Two collections of a few images."""
    for number in range(6):
        for collection in ("main", "other"):
            bench.send(f"a{number}", axis(number % 2), collection=collection)
    bench.run()
    return bench


@pytest.fixture
def parts(photos):
    """The parts of a worker that serves both."""
    parts = photos.parts(once=False)
    for name in parts.collections.stored():
        parts.collections.get(name)
    yield parts
    parts.abandon()


def drop(bench, number):
    """The store drops some images of both collections."""
    bench.store.evictions += number
    for kept in bench.store._collections.values():
        for image in list(kept.published.images)[:number]:
            del kept.published.images[image]


def missing(bench):
    ids = [f"a{number}" for number in range(6)]
    states = [*bench.states(*ids), *bench.states(*ids, collection="other")]
    return states.count(None)


def look(bench, parts, seconds=5.0):
    """So much later: look, and fill what is due."""
    bench.clock.advance(seconds)
    for _ in range(3):
        parts.leases.keep()
        parts.evictions.tick()


def evicted(bench):
    return bench.metrics.registry.get_sample_value("shoal_store_evicted_keys")


def test_filled_again(photos, parts):
    """Every collection is written as a whole; how many keys were dropped is exported."""
    look(photos, parts)
    assert evicted(photos) == 0
    drop(photos, 2)
    assert missing(photos) == 4
    look(photos, parts)
    assert (missing(photos), evicted(photos)) == (0, 2)


def test_dropped_before_the_start(photos):
    """What was dropped while no worker ran is filled by the next."""
    drop(photos, 3)
    photos.run()
    assert missing(photos) == 0


def test_goes_on_dropping(photos, parts):
    """Filled again at once, then after a minute, then after two."""
    look(photos, parts)
    for wait in (0.0, 60.0, 120.0):
        drop(photos, 1)
        if wait:
            look(photos, parts, wait / 2)
            assert missing(photos) == 2
        look(photos, parts, wait / 2 + 5)
        assert missing(photos) == 0


def test_a_server_that_was_started_again(photos, parts):
    """It counts from zero: nothing was dropped."""
    photos.store.evictions = 5
    look(photos, parts)
    rebuilds = photos.metrics.rebuilds._value.get()
    photos.store.evictions = 0
    look(photos, parts, 100.0)
    assert photos.metrics.rebuilds._value.get() == rebuilds


def test_a_store_that_does_not_say(photos, parts):
    """Without the right to ask nothing is done."""
    photos.store.evictions = None
    look(photos, parts)
    assert evicted(photos) == 0


def test_a_store_that_fails_meanwhile(photos, parts, monkeypatch):
    """It is filled when it is back."""
    drop(photos, 1)

    def fail(*_):
        raise StoreUnavailableError("loading")

    with monkeypatch.context() as patched:
        patched.setattr(photos.store, "rebuild", fail)
        look(photos, parts)
        assert missing(photos) == 2
    look(photos, parts)
    assert missing(photos) == 0


def test_a_standby_leaves_it_alone(photos, parts):
    """Only the worker that serves writes."""
    standby = Evictions(
        parts.collections, None, photos.metrics, photos.clock, Role(standing_by=True)
    )
    drop(photos, 1)
    standby.tick()
    assert missing(photos) == 2
