"""A collection moves to another embedding model while it serves."""

import json

import numpy as np
import pytest

from worker.carry import seeds
from worker.errors import Reason
from worker.migrating import Coverage, is_due
from worker.migration import Migration
from worker.requests import Mailbox

OLD, NEW = "clip-small", "clip-large"
LETTERS = "abc"


def old(axis, letter, number):
    return axis(LETTERS.index(letter), tilt=number / 50)


def new(axis, letter, number):
    """The same photo, as the other model sees it."""
    return axis(5 + LETTERS.index(letter), dimension=12, tilt=number / 40)


@pytest.fixture
def photos(bench, axis):
    """Three clusters of ten photos, a0.., b0.. and c0.., confirmed by a run."""
    for letter, number in names():
        bench.send(f"{letter}{number}", old(axis, letter, number), model=OLD)
    bench.run()
    return bench


def names():
    return [(letter, number) for letter in LETTERS for number in range(10)]


def send_new(bench, axis, photos=None):
    for letter, number in photos or names():
        bench.send(f"{letter}{number}", new(axis, letter, number), model=NEW)


def migrate(bench, *words):
    return bench.alone().migrate("main", words)


def begin(bench):
    assert migrate(bench, "to", NEW, "").startswith(f"migrates to '{NEW}'")


def everyone(bench):
    ids = [f"{letter}{number}" for letter, number in names()]
    return dict(zip(ids, bench.states(*ids), strict=True))


def clusters(bench):
    return {image: state and state.cluster for image, state in everyone(bench).items()}


def folders(bench):
    return sorted(path.name for path in (bench.path / "collections").iterdir())


def model(bench):
    return bench.store.summary("main").model


def told(bench):
    return bench.store.status("main")["migration"]


def kinds(bench):
    return [event.kind for _, event in bench.store.events("main", "0")]


class TestSwitch:
    def test_clusters_stay_themselves(self, photos, axis):
        """Ids of clusters, and the images in them, are what they were; the model is the new one."""
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis)
        photos.run()
        assert clusters(photos) == before
        assert model(photos) == NEW
        assert photos.store.summary("main").dimension == 12
        assert folders(photos) == ["main"]
        assert told(photos) is None
        assert not {"created", "retired"} & set(kinds(photos)[-3:])

    def test_first_serves_meanwhile(self, photos, axis):
        """Until the last image has come readers see the first index, new images included."""
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis, names()[:-1])
        photos.send("a10", old(axis, "a", 10), model=OLD)
        photos.run()
        assert clusters(photos) == before
        assert photos.states("a10")[0].cluster == before["a0"]
        assert model(photos) == OLD
        assert told(photos) == {
            "model": NEW,
            "shared": 29,
            "missing": 2,
            "new": 0,
            "reclustering": False,
            "held": "",
        }
        assert photos.metrics.migrations._value.get() == 1
        assert photos.metrics.migration_missing._value.get() == 2
