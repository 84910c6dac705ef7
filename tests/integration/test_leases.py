"""One writer per collection, whatever people start."""

import signal

import pytest
import redis


@pytest.fixture
def contents(stage):
    """What Redis holds of the stage's collections, but for what workers say of themselves."""
    with redis.Redis.from_url(stage.valkey.url, protocol=2) as server:

        def contents():
            keys = sorted(server.scan_iter(f"{stage.name}:*", count=1_000))
            ours = [k for k in keys if not k.endswith((b":status", b":lease", b":writer"))]
            return {key: server.dump(key) for key in ours}

        yield contents


def test_second_worker_is_refused(stage, tools, contents):
    """With a data directory of its own it ends with status 4, names the holder, changes nothing."""
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream)
    first = stage.start(**tools.NO_RUNS).ready()
    stage.published(stream)
    before = contents()
    holder = tools.eventually(lambda: stage.client.status("main"))["holder"]
    second = stage.start(data_dir=stage.folder / "second")
    assert second.wait() == 4
    assert second.text().strip().splitlines()[-1] == (
        f"shoal: collection 'main' is held by {holder!r}"
    )
    assert not (stage.folder / "second" / "collections").exists()
    assert contents() == before
    assert first.exit_code is None
    assert first.stop() == 0
    stage.assert_consistent(stream)


def test_data_directory_is_locked(stage):
    """A second worker on the same data directory ends with status 3 and names the process."""
    stage.create_topic()
    first = stage.start().ready()
    second = stage.start()
    assert second.wait() == 3
    assert f"locked by process {first.pid} on" in second.text().strip().splitlines()[-1]
    assert first.stop() == 0


def test_paused_worker_cannot_write_when_it_wakes(stage, tools, contents):
    """Stopped until its lease passed to another worker, it ends with status 4 and wrote nothing."""
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream.head(20))
    # Long enough that the second one keeps it on a busy machine.
    settings = {"lease_seconds": 3} | tools.NO_RUNS
    first = stage.start(**settings).ready()
    stage.published(stream.head(20))
    first.signal(signal.SIGSTOP)
    lease = f"{stage.name}:{{main}}:lease"
    with redis.Redis.from_url(stage.valkey.url, protocol=2) as server:
        tools.eventually(lambda: not server.exists(lease))
    second = stage.start(**settings, data_dir=stage.folder / "second").ready()
    stage.send(stream.part(20, 40))
    stage.published(stream)
    before = contents()
    first.signal(signal.SIGCONT)
    assert first.wait() == 4
    assert "second#" in first.text().strip().splitlines()[-1]
    assert contents() == before
    assert second.exit_code is None
    assert second.stop() == 0
    stage.data_dir = stage.folder / "second"
    stage.assert_consistent(stream)
