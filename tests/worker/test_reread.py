"""`shoal reread`: a topic is read again from its start, by a worker that has taken it."""

import json
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def shoal(bench, shoal_on):
    """Runs `shoal` on the data directory: status and output."""
    return shoal_on(bench)


def fill(bench, axis):
    for number in range(10):
        bench.send(f"a{number}", axis(0, tilt=number / 50), place={"at": f"uri-{number}"})
        bench.send(f"b{number}", axis(1, tilt=number / 50), collection="other")


def test_what_is_as_it_was_stays(bench, shoal, axis):
    """Every record is taken once more: images keep clusters and their ids, and what the settings
    made of the records is mended.
    """
    fill(bench, axis)
    bench.run()
    before = bench.states(*(f"a{n}" for n in range(10)))
    status, said = shoal("reread", "--json")
    assert (status, json.loads(said.out)) == (0, {"read_again": ["images/0"]})
    bench.run(uri_field="place.at")
    assert bench.states(*(f"a{n}" for n in range(10))) == before
    assert all(bench.states(*(f"b{n}" for n in range(10)), collection="other"))
    assert bench.metrics.images.labels("unchanged")._value.get() == 20
    with closing(sqlite3.connect(bench.path / "collections/main/catalog.sqlite")) as catalog:
        found = catalog.execute("SELECT uri FROM image WHERE id = 'a3'").fetchone()
    assert found == ("uri-3",)


def test_the_start_of_the_topic_is_gone(bench, shoal, axis):
    """What the topic still has is read; what it has dropped is no loss, and stays."""
    fill(bench, axis)
    bench.run()
    bench.topic.truncate(12)
    assert shoal("reread")[0] == 0
    bench.run()
    assert bench.metrics.images.labels("unchanged")._value.get() == 8
    assert bench.states("a0") != [None]


def test_erased_by_command(bench, shoal, axis):
    """An image that `shoal erase` erased comes back, which the command says; one that a null value
    erased does not.
    """
    fill(bench, axis)
    bench.erase("a1")
    bench.run()
    bench.alone().erase("main", ["a0"])
    assert bench.states("a0", "a1") == [None, None]
    assert "erase them again" in shoal("reread")[1].out
    bench.run()
    assert [state is not None for state in bench.states("a0", "a1")] == [True, False]


def test_nothing_was_read(shoal, bench):
    """A data directory without positions is refused: most likely it is another one."""
    status, said = shoal("reread")
    assert status == 2
    assert f"data_dir: {bench.path}: nothing was read into it" in said.err
