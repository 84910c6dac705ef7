"""`shoal doctor` against a real Kafka and a real Valkey."""

import time

import pytest
import redis

from worker.doctor.kafka import check_kafka
from worker.doctor.store import check_store
from worker.embedded.valkey import EmbeddedValkey
from worker.settings import load

DAY_MS = 86_400_000


def look(stage, **settings):
    """What is found of the servers, by part."""
    given = load(stage.settings | settings)
    return {found.part: found for check in (check_kafka, check_store) for found in check(given)}


def command(stage, **settings):
    """The exit status of the command, and what it found, by part."""
    done, [said] = stage.shoal("doctor", "--json", **settings)
    assert said["mend"] == bool(done.returncode)
    return done.returncode, {check["part"]: check for check in said["checks"]}


def test_a_good_set_up(stage):
    """Nothing is to be mended, and all of it was looked at, also what the backups are."""
    stage.create_topic(partitions=2, retention_ms=DAY_MS)
    stage.run()
    url = stage.folder / "backups"
    status, found = command(stage, backup_url=url)
    assert status == 0, found
    assert {"kafka", "topic", "retention", "redis", "redis policy", "disk", "model"} <= set(found)
    assert [part for part, check in found.items() if check["state"] == "mend"] == []
    assert found["retention"]["found"] == "records stay for 1 days; a backup every 1 hours"
    assert found["backups"]["found"] == "none yet"
    assert stage.shoal("backup", backup_url=url)[0].returncode == 0
    done, _ = stage.shoal("doctor", backup_url=url)
    assert "the newest whole one is 0 minutes old" in done.stdout


def test_no_topic(stage):
    """A topic that is not there is told by name, and fails the command."""
    status, found = command(stage)
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
def test_retention(stage, settings, state):
    """Records that go before they are backed up: here the topic keeps them for an hour."""
    stage.create_topic(retention_ms=3_600_000)
    found = look(stage, **settings)["retention"]
    assert found.state == state, found


def test_a_record_from_the_future(stage, tools):
    """A producer whose clock is ahead is found by its records."""
    stage.create_topic()
    assert look(stage)["clock of records"].state == "ok"
    stage.send(tools.Stream())
    ahead = round((time.time() + 3_600) * 1_000)
    stage._producer.send(stage.topic, b"{}", b"key", timestamp_ms=ahead)
    stage._producer.flush()
    found = look(stage)["clock of records"]
    assert found.state == "mend"
    assert "ahead of this machine" in found.found


def test_a_redis_that_evicts(make_stage, tmp_path):
    """An eviction policy is to be mended: readers would miss images, and nobody would be told."""
    options = ("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
    with EmbeddedValkey(tmp_path / "evicting", options=options) as server:
        stage = make_stage(valkey=server)
        stage.create_topic()
        found = look(stage)
    assert (found["redis policy"].state, found["redis policy"].found) == ("mend", "allkeys-lru")
    assert found["redis"].state == "ok"


def test_a_user_with_the_rights_of_a_worker(make_stage, own_valkey):
    """What it may not ask is told, and is no failure."""
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.acl_setuser("shoal", True, passwords=["+pw"], keys=["*"], commands=["+get"])
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    found = look(stage, redis_url=own_valkey.url.replace("://", "://shoal:pw@"))
    assert found["redis"].state == "warn", found
    assert "permissions" in found["redis"].found


def test_servers_that_are_away(stage):
    """What does not answer is told without its password, and the rest is looked at all the same."""
    found = look(
        stage, kafka_bootstrap="127.0.0.1:1", redis_url="redis://user:hunter2@127.0.0.1:1/0"
    )
    assert (found["kafka"].state, found["redis"].state) == ("mend", "mend")
    assert "hunter2" not in str(found)
