"""`shoal doctor` against a real Kafka and a real Valkey."""

import pytest

from worker.embedded.valkey import EmbeddedValkey

DAY_MS = 86_400_000


@pytest.fixture
def look(stage):
    """The exit status, and what was found, by part."""

    def asked(**settings):
        done, [said] = stage.shoal("doctor", "--json", **settings)
        return done.returncode, {check["part"]: check for check in said["checks"]}

    return asked


def test_a_good_set_up(stage, look):
    """Nothing is to be mended, and the table says what was looked at."""
    stage.create_topic(partitions=2, retention_ms=DAY_MS)
    url = stage.folder / "backups"
    status, found = look(backup_url=url)
    assert status == 0, found
    assert {"kafka", "topic", "retention", "redis", "redis policy", "disk", "model"} <= set(found)
    assert [part for part, check in found.items() if check["state"] == "mend"] == []
    assert found["retention"]["found"] == "records stay for 1 days; a backup every 1 hours"
    assert found["backups"]["found"] == "none yet"
    assert stage.shoal("backup", backup_url=url)[0].returncode == 1  # no data directory yet
    stage.run()
    assert stage.shoal("backup", backup_url=url)[0].returncode == 0
    _, found = look(backup_url=url)
    assert found["backups"]["state"] == "ok"
    done, _ = stage.shoal("doctor")
    assert "shoal doctor" in done.stdout


def test_no_topic(stage, look):
    """A topic that is not there is told by name."""
    status, found = look()
    assert (status, found["topic"]["state"]) == (1, "mend")
    assert stage.topic in found["topic"]["found"]
    assert "retention" not in found


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({}, "warn"),
        ({"backup_url": "backups", "backup_seconds": 7_200}, "mend"),
        ({"backup_url": "backups", "backup_seconds": 1_800}, "warn"),
        ({"backup_url": "backups", "backup_seconds": 600}, "ok"),
    ],
)
def test_retention(stage, look, settings, state):
    """Records that go before they are backed up: here the topic keeps them for an hour."""
    stage.create_topic(retention_ms=3_600_000)
    status, found = look(**settings)
    assert found["retention"]["state"] == state, found["retention"]
    assert status == (state == "mend")


def test_a_redis_that_evicts(make_stage, look, tmp_path):
    """An eviction policy is to be mended: readers would miss images, and nobody would be told."""
    del look
    options = ("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
    with EmbeddedValkey(tmp_path / "evicting", options=options) as server:
        stage = make_stage(valkey=server)
        stage.create_topic()
        done, [said] = stage.shoal("doctor", "--json")
    found = {check["part"]: check for check in said["checks"]}
    assert done.returncode == 1
    assert found["redis policy"]["state"] == "mend"
    assert found["redis policy"]["found"] == "allkeys-lru"
    assert found["redis"]["state"] == "ok"


def test_servers_that_are_away(look):
    """What does not answer is told without its password, and the rest is looked at all the same."""
    status, found = look(
        kafka_bootstrap="127.0.0.1:1", redis_url="redis://user:hunter2@127.0.0.1:1/0"
    )
    assert status == 1
    assert (found["kafka"]["state"], found["redis"]["state"]) == ("mend", "mend")
    assert "hunter2" not in str(found)
    assert found["disk"]["state"] == "ok"
