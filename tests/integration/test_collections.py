"""One worker, many collections."""

import numpy as np


def test_fifty_collections(stage, tools):
    """Fifty collections of forty images, seven open at a time, do not know of each other."""
    stage.create_topic(partitions=4)
    stream, rng = tools.Stream(), np.random.default_rng(1)
    come_back = range(10)
    parts = [(come_back, 0, 20), (range(10, 50), 0, 40), (come_back, 20, 40)]
    for users, start, stop in parts:
        for user in users:
            for number in range(start, stop):
                group = (user + number % 4) % 16
                stream.add(f"img{number}", tools.near(group, rng), f"user:{user}")
    stage.send(stream)
    worker = stage.start(open_collections=7, batch_records=200, **tools.NO_RUNS).ready()
    stage.published(stream, seconds=60)
    tools.eventually(lambda: worker.metric("shoal_collections") <= 7)
    assert worker.stop() == 0
    stage.assert_consistent(stream)
    assert stage.client.collections() == sorted(stream.images)
    seen = set()
    for name, images in stream.images.items():
        states = stage.states(images, name)
        assert tools.partition(states) == tools.by_group(images)
        clusters = {state.cluster for state in states.values()}
        assert not clusters & seen
        seen |= clusters
