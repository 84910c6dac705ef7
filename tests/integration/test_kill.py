"""`kill -9` at every numbered step: each image has its effect exactly once."""

import pytest

# `:N` is the N-th arrival, in the middle of the stream.
INGEST = ["1:4", "2:3", "3:3", "3a:4", "3b:3", "3c:4", "4:3", "5:3", "6:3", "7:4"]
SNAPSHOT = ["snapshot-before-rename:2", "snapshot-after-rename"]
# Of the runs of two collections at the end, the first or the second.
# Before and after a batch's dead letters are sent.
LETTERS = ["letters:2", "letters-sent"]
RUN = ["R1", "R2:2", "R3", "R6", "R6:2", "R7:2", "R8", "R8:2"]


def check_killed(stage, stream, fault, **settings):
    """Die at `fault`, start again, and have every image exactly once everywhere."""
    stage.create_topic(partitions=2)
    stage.send(stream)
    assert stage.run(fault=fault, **settings).exit_code == -9
    assert stage.run(**settings).exit_code == 0
    stage.assert_consistent(stream)
    stage.assert_grouped(stream)


@pytest.mark.parametrize("fault", INGEST + SNAPSHOT)
def test_killed_while_images_come(stage, tools, fault):
    """Killed while images are added, replaced and erased, the next start makes it whole."""
    settings = {"batch_records": 30, "snapshot_images": 60}
    check_killed(stage, tools.eventful(seed=len(fault)), fault, **settings)


@pytest.mark.parametrize("fault", LETTERS)
def test_killed_at_the_dead_letters(stage, tools, fault):
    """Killed before or after they are sent, each refused record has its letter, perhaps twice."""
    stream = tools.eventful(seed=2)
    check_killed(stage, stream, fault, batch_records=30)
    letters = tools.letters(stage, stream.bad)
    assert {headers["shoal-reason"] for headers, _ in letters} == {b"not_json"}
    places = {(headers["shoal-partition"], headers["shoal-offset"]) for headers, _ in letters}
    assert len(places) == stream.bad


@pytest.mark.parametrize("fault", ["R2-child", "R4", "R5-child"])
def test_a_child_that_is_killed(stage, tools, fault):
    """Killed while it clusters, matches or corrects, then the worker too: ingestion went on, and
    the next start has the run again.
    """
    stage.create_topic()
    stream = tools.groups(6, 10)
    stage.send(stream)
    worker = stage.start(fault=fault, recluster_first_images=20).ready()
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_reclusterings_total", result="failed") >= 1)
    assert "killed by SIGKILL" in worker.text()
    late = tools.groups(6, 2, seed=1, prefix="late")
    stage.send(late)
    both = stream.with_(late)
    stage.published(both)
    worker.kill()
    assert stage.run().exit_code == 0
    stage.assert_consistent(both)
    stage.assert_grouped(both)


@pytest.mark.parametrize("fault", RUN)
def test_killed_in_a_run(stage, tools, fault):
    """Killed while a run begins, ends or is published, the next start has it again or goes on."""
    check_killed(stage, tools.eventful(seed=1), fault, **tools.NO_RUNS)


def test_killed_while_a_large_run_is_published(stage, tools):
    """Killed between two slices of a run, then with images logged but not assigned."""
    stage.create_topic()
    stream = tools.groups(12, 200)
    stage.send(stream)
    worker = stage.start(**tools.NO_RUNS).ready()
    stage.published(stream)
    assert worker.stop() == 0
    assert stage.run(fault="6:2", **tools.NO_RUNS).exit_code == -9
    states = stage.states(stream.images["main"]).values()
    assert {state.provisional for state in states} == {True, False}
    late = tools.groups(12, 3, seed=1, prefix="late")
    stage.send(late)
    assert stage.run(fault="4", **tools.NO_RUNS).exit_code == -9
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    both = stream.with_(late)
    stage.assert_consistent(both)
    stage.assert_grouped(both)
