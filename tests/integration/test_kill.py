"""`kill -9` at every numbered step: each image has its effect exactly once."""

import pytest

# Step -> where. `:N` is the N-th arrival, in the middle of the stream.
STEPS = [
    "1:4",
    "2:3",
    "3:3",
    "3a:4",
    "3b:3",
    "3c:4",
    "4:3",
    "5:3",
    "6:3",
    "7:4",
    "R1",
    "R2:2",
    "R3",
    "R6",
    "R6:2",
    "R7",
    "R8",
    "snapshot-before-rename:2",
    "snapshot-after-rename",
]


@pytest.mark.parametrize("fault", STEPS)
def test_kill(stage, tools, fault):
    """Killed at a step and started again, the worker has every image exactly once everywhere."""
    stream = tools.eventful(seed=len(fault))
    stage.create_topic(partitions=2)
    stage.send(stream)
    settings = {"batch_records": 30, "snapshot_images": 60}
    killed = stage.run(fault=fault, **settings)
    assert killed.exit_code == -9
    ended = stage.run(**settings)
    assert ended.exit_code == 0
    stage.assert_consistent(stream)
    stage.assert_grouped(stream)
