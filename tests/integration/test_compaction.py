"""A collection is written anew without its dead rows: real servers, and kills at each step."""

import numpy as np
import pytest

from index import CollectionIndex, IndexSettings

GROUPS, SIZE = 6, 20

FAULTS = ["make", "C2", "C3", "C4", "M6", "M7"]


@pytest.fixture
def halved(stage, tools):
    """Six groups in Redis of which every other image was erased, unread as yet; what is left."""
    stage.create_topic(partitions=2)
    stream = tools.groups(GROUPS, SIZE)
    stage.send(stream)
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    gone = list(stream.images["main"])[::2]
    for image in gone:
        stream.erase(image)
    stage.send(stream.tail(len(gone)))
    return stream


def rows(stage):
    """All rows, and the live ones."""
    folder = stage.data_dir / "collections" / "main"
    index = CollectionIndex.open(folder, settings=IndexSettings())
    found = index.rows, int(np.count_nonzero(index.counts))
    index.close()
    return found


def clusters(stage, images):
    return {image: state and state.cluster for image, state in stage.states(images).items()}


def test_while_images_come(stage, halved, tools):
    """While one worker writes it anew images come and go, and everyone is where they belong."""
    before = clusters(stage, halved.images["main"])
    worker = stage.start(**tools.NO_RUNS, batch_records=20, DEAD_ROWS="30").ready()
    late = tools.groups(GROUPS, 8, seed=1, prefix="late")
    stage.send(late)
    everything = halved.with_(late)
    stage.published(everything)
    tools.eventually(lambda: worker.metric("shoal_compactions_total"), 60, "a compaction")
    assert worker.stop() == 0
    stage.assert_consistent(everything)
    after = clusters(stage, before)
    assert after == before
    all_rows, live = rows(stage)
    assert live == len(everything.images["main"])
    assert all_rows - live < 30


@pytest.mark.parametrize("fault", FAULTS)
def test_killed(stage, halved, tools, fault):
    """Killed at a step of a compaction, the next start ends it or begins anew; nothing is lost."""
    before = clusters(stage, halved.images["main"])
    options = tools.NO_RUNS | {"batch_records": 20, "DEAD_ROWS": "30"}
    assert stage.run(fault=fault, **options).exit_code == -9
    assert stage.run(**options).exit_code == 0
    assert clusters(stage, before) == before
    stage.assert_consistent(halved)
    all_rows, live = rows(stage)
    assert live == len(halved.images["main"])
    assert all_rows - live < 30  # what was erased when it had been copied
