"""From Apache's producer to Redis, with the shipped model, and what others see of it."""

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def digits(count):
    """Scanned digits as unit vectors float32 [count, 64]."""
    pixels = load_digits().data[:count]
    return (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float32)


def lines(stream):
    """The stream as ConsoleProducer reads it."""
    return b"".join(key + b"|" + value + b"\n" for key, value, _ in stream.records)


def test_apache_tools(stage, tools):
    """What ConsoleProducer sends arrives, and ConsumerGroupCommand shows that nothing lags."""
    stage.create_topic(partitions=3)
    stream = tools.groups(5, 8)
    producer = ["--property", "parse.key=true", "--property", "key.separator=|"]
    server = ["--bootstrap-server", stage.kafka.bootstrap]
    worker = stage.start()
    stage.kafka.run_tool(PRODUCER, *server, "--topic", stage.topic, *producer, input=lines(stream))
    worker.ready()
    stage.published(stream)
    assert worker.stop() == 0
    shown = stage.kafka.run_tool(GROUPS, *server, "--describe", "--group", stage.name)
    rows = [line.split() for line in shown.stdout.decode().splitlines() if stage.topic in line]
    lags = {row[2]: (int(row[3]), row[5]) for row in rows}
    assert sum(offset for offset, _ in lags.values()) == 40
    assert {lag for _, lag in lags.values()} == {"0"}
    stage.assert_consistent(stream)


def assert_ids_survive(before, after):
    """A cluster that has more than half of an old one, which is more than half of it, is that."""
    old = Counter(state.cluster for state in before.values())
    new = Counter(state.cluster for state in after.values())
    shared = Counter((before[image].cluster, after[image].cluster) for image in before)
    same = [(a, b) for (a, b), n in shared.items() if 2 * n > max(old[a], new[b])]
    assert len(same) > 3
    assert [(a, b) for a, b in same if a != b] == []


@pytest.mark.slow
def test_shipped_model(stage, tools):
    """The whole command with the shipped weights: groups appear, and their ids survive."""
    stage.create_topic(partitions=2)
    first, second = tools.Stream(), tools.Stream()
    for number, vector in enumerate(digits(400)):
        (first if number < 250 else second).add(f"digits/{number:03}", vector, model="pixels")
    stage.send(first)
    settings = tools.NO_RUNS | {"recluster_first_images": 200}
    worker = stage.start(tools.REAL, **settings).ready()
    stage.published(first)
    tools.eventually(lambda: stage.client.summary("main").generation, 180, "a first run")
    found = stage.states(first.images["main"]).values()
    assert 5 < len({state.cluster for state in found}) < 125

    stage.send(second)
    both = tools.Stream(images={"main": first.images["main"] | second.images["main"]})
    stage.published(both)
    before = stage.states(both.images["main"])
    done, [answer] = stage.shoal("recluster", "--json")
    assert (done.returncode, answer["answer"]) == (0, "published")
    after = stage.states(both.images["main"])
    assert not any(state.provisional for state in after.values())
    assert_ids_survive(before, after)
    assert worker.stop() == 0
    stage.assert_consistent(both)

    worker = stage.start().ready()
    assert stage.states(both.images["main"]) == after
    assert worker.metric("shoal_records_total") == 0
    assert worker.stop() == 0
    stage.assert_consistent(both)


def test_commands_read_what_the_worker_wrote(stage, tools):
    """`get`, `members`, `clusters` and `status` answer from Redis, also for unknown ids."""
    stage.create_topic()
    stream = tools.groups(3, 20)
    stage.send(stream)
    assert stage.run().exit_code == 0
    common = ("--json", "--prefix", stage.name)
    _, found = stage.shoal("get", "i0-0", "nobody", *common)
    assert [one["id"] for one in found] == ["i0-0", "nobody"]
    assert found[1]["cluster"] is None
    _, [status] = stage.shoal("status", *common)
    wanted = ("images", "clusters", "rows", "generation", "lag", "provisional", "unpublished")
    assert [status[name] for name in wanted] == [60, 3, 60, 1, 0, 0, 0]
    done, _ = stage.shoal("members", found[0]["cluster"], *common)
    assert json.loads(done.stdout.splitlines()[0]) is not None
    assert done.stdout.count("i0-") == 20
    _, clusters = stage.shoal("clusters", *common)
    assert [cluster["size"] for cluster in clusters] == [20, 20, 20]
