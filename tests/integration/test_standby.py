"""A standby takes over from a worker that is gone, and readers keep what they know."""

import json
import signal
import time

import pytest

LEASE_SECONDS = 4
SERVES = (200, "ok\n")
STANDBY = (200, "standby: follows the topic\n")


class Pair:
    """Workers that know how to stand by, each with a data directory of its own."""

    def __init__(self, stage, tools):
        self.stage = stage
        self.settings = {"lease_seconds": LEASE_SECONDS, "standby": "true"} | tools.NO_RUNS

    def start(self, name, **settings):
        """Start the worker of that directory."""
        directory = self.stage.folder / name
        return self.stage.start(data_dir=directory, **(self.settings | settings)).ready()

    def serves(self, name):
        """Whether that worker says that it serves."""
        status = self.stage.client.status("main") or {}
        return f"/{name}#" in (status.get("holder") or "")

    def say(self, name, *words):
        """Run a command that the worker of that directory answers; what it printed."""
        return self.stage.shoal(*words, data_dir=self.stage.folder / name)[0]

    def states(self, stream):
        """What readers see of every image."""
        return {name: self.stage.states(images, name) for name, images in stream.images.items()}


@pytest.fixture
def pair(stage, tools):
    stage.create_topic()
    return Pair(stage, tools)


def both(stream, other):
    """The images that two streams leave, the other of the collection main alone."""
    left = type(stream)(stream.records + other.records)
    main = stream.images["main"] | other.images["main"]
    left.images = stream.images | {"main": main}
    return left


def test_takes_over(stage, pair, tools):
    """Killed, the worker is followed by its standby: clusters, names and confidences are as they
    were, new images join them, letters are not lost, and a restart serves on.
    """
    stream = tools.eventful()
    count = sum(map(len, stream.images.values()))
    stage.send(stream)
    first = pair.start("first")
    stage.published(stream)
    second = pair.start("second")
    assert pair.say("first", "recluster").returncode == 0
    tools.eventually(lambda: stage.client.summary("main").generation)
    known = next(iter(stage.states(stream.images["main"]).values())).cluster
    assert pair.say("first", "name", known, "Ada").returncode == 0
    tools.eventually(lambda: stage.client.names("main", [known]) == ["Ada"])
    tools.eventually(lambda: second.metric("shoal_images") == count)
    assert second.ask("/readyz") == STANDBY
    assert second.metric("shoal_standby") == 1
    done = pair.say("first", "status", "--json")
    told = json.loads(done.stdout)
    assert "/first#" in told["holder"]
    assert ("/second#" in told["standby"]["holder"], told["standby"]["lag"]) == (True, 0)
    refused = pair.say("second", "name", known, "Bob")
    assert refused.returncode != 0
    assert "this worker stands by" in refused.stdout + refused.stderr
    assert pair.say("second", "corrections").returncode == 0
    before = pair.states(stream)

    first.kill()
    began = time.monotonic()
    tools.eventually(lambda: pair.serves("second"), 60)
    seconds = time.monotonic() - began
    print(f"\ntaken over after {seconds:.1f} s, lease {LEASE_SECONDS} s")  # noqa: T201  a figure
    assert second.metric("shoal_standby") == 0
    tools.eventually(lambda: second.ask("/readyz") == SERVES)
    assert pair.states(stream) == before
    assert stage.client.names("main", [known]) == ["Ada"]

    late = tools.groups(10, 3, seed=5, prefix="late")
    stage.send(late)
    stream = both(stream, late)
    stage.published(stream)
    clusters = {state.cluster for state in before["main"].values()}
    assert {state.cluster for state in stage.states(late.images["main"]).values()} <= clusters
    second.kill()
    second = pair.start("second")
    tools.eventually(lambda: second.ask("/readyz") == SERVES)
    assert second.stop() == 0
    stage.data_dir = stage.folder / "second"
    stage.assert_consistent(stream)


def test_the_old_one_wakes(stage, pair, tools):
    """Frozen beyond its lease, the old worker ends with status 4 when it wakes; started again it
    stands by, and takes over in its turn. Records that came meanwhile are neither lost nor refused
    without a letter.
    """
    stream = tools.groups(6, 10)
    stage.send(stream)
    first = pair.start("first")
    stage.published(stream)
    second = pair.start("second")
    tools.eventually(lambda: second.metric("shoal_images") == 60)
    first.signal(signal.SIGSTOP)
    more = tools.groups(6, 5, seed=1, prefix="more")
    more.refuse(b"bad", b"no json")
    stage.send(more)
    tools.eventually(lambda: pair.serves("second"), 60)
    stream = both(stream, more)
    stage.published(stream)
    tools.eventually(lambda: second.metric("shoal_dead_letters_total", reason="not_json") == 1)
    before = pair.states(stream)
    first.signal(signal.SIGCONT)
    assert first.wait() == 4
    assert "second#" in first.text().strip().splitlines()[-1]

    first = pair.start("first")
    assert first.ask("/readyz") == STANDBY
    tools.eventually(lambda: first.metric("shoal_images") == 90)
    assert second.stop() == 0
    tools.eventually(lambda: pair.serves("first"), 60)
    assert pair.states(stream) == before
    assert first.stop() == 0
    stage.data_dir = stage.folder / "first"
    stage.assert_consistent(stream)


def test_two_at_once(stage, pair, tools):
    """Of two that know how to stand by one serves; the directory of the other needs a standby."""
    stage.send(tools.groups(2, 5))
    workers = {name: pair.start(name) for name in ("first", "second")}
    serves = tools.eventually(lambda: next(filter(pair.serves, workers), None))
    (follows,) = workers.keys() - {serves}
    tools.eventually(lambda: workers[follows].metric("shoal_images") == 10)
    assert workers[serves].metric("shoal_standby") == 0
    assert workers[follows].ask("/readyz") == STANDBY
    assert [workers[name].stop() for name in (follows, serves)] == [0, 0]
    alone = stage.start(data_dir=stage.folder / follows, lease_seconds=LEASE_SECONDS)
    assert alone.wait() == 2
    assert "follows another worker" in alone.text()
