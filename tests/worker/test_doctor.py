"""What the doctor makes of what it found."""

import resource

import pytest

from worker.doctor import check, kafka, machine, store, target
from worker.settings import load

HOUR = 3_600.0


@pytest.mark.parametrize(
    ("configuration", "url", "state"),
    [
        ({}, None, "ok"),
        ({"retention.ms": "-1"}, "x", "ok"),
        ({"retention.ms": "-1", "retention.bytes": "-1"}, None, "ok"),
        ({"retention.ms": "1", "cleanup.policy": "compact"}, None, "ok"),
        ({"retention.ms": "600000", "cleanup.policy": "compact,delete"}, "x", "mend"),
        ({"retention.ms": "3600000"}, "x", "warn"),
        ({"retention.ms": "10800000"}, "x", "ok"),
        ({"retention.bytes": "1000"}, "x", "warn"),
        ({"retention.ms": "86400000"}, None, "warn"),
    ],
)
def test_retention(configuration, url, state):
    """Records must outlive the time between backups; without any, only a topic for ever is good."""
    default = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
    assert kafka.retention(default | configuration, url, HOUR).state == state


def test_retention_that_may_not_be_seen():
    """What is not known is not called good."""
    assert kafka.retention({}, "x", HOUR).state == "warn"


def test_partitions():
    """A worker without a partition is idle."""
    assert kafka.partitions("images", 2, 2).state == "ok"
    assert kafka.partitions("images", 1, 3).advice == "2 of 3 workers have no partition"


@pytest.mark.parametrize(
    ("look", "info", "state"),
    [
        (store.version, {"redis_version": "7.0.15"}, "ok"),
        (store.version, {"redis_version": "6.2.1"}, "mend"),
        (store.version, {"redis_version": "7.2.4", "valkey_version": "9.1.0"}, "ok"),
        (store.version, {}, "mend"),
        (store.role, {"role": "master"}, "ok"),
        (store.role, {"role": "slave"}, "mend"),
        (store.role, {"role": "master", "cluster_enabled": 1}, "mend"),
        (store.memory, {"used_memory": 9, "maxmemory": 10}, "warn"),
        (store.memory, {"used_memory": 9, "maxmemory": 0}, "ok"),
        (store.policy, {"maxmemory_policy": "volatile-ttl"}, "mend"),
        (store.policy, {"maxmemory_policy": "noeviction"}, "ok"),
        (store.persistence, {"aof_enabled": 1}, "ok"),
    ],
)
def test_redis(look, info, state):
    """Version, role, memory, policy and persistence are judged by what Redis says of itself."""
    assert look(info).state == state


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.5, "ok"), (-0.5, "ok"), (9, "warn"), (-90, "mend")]
)
def test_clock(seconds, state):
    """Clocks that differ are told, whichever is ahead."""
    assert check.clock("clock", seconds).state == state


@pytest.mark.parametrize(("free", "state"), [(4, "mend"), (10, "warn"), (50, "ok")])
def test_room(free, state):
    """A disk that fills is told before it is full."""
    assert machine.room(free, 100).state == state


@pytest.mark.parametrize(
    ("kind", "state"), [("ext4", "ok"), ("nfs4", "warn"), ("fuse.s3fs", "warn"), ("tmpfs", "warn")]
)
def test_file_system(kind, state):
    """What is no disk is told."""
    assert machine.file_system(kind).state == state


def test_file_system_of(tmp_path):
    """The nearest mount point counts, also one with a space in its name."""
    mounts = f"/dev/a / ext4 rw 0 0\n/dev/b {tmp_path}/a\\040b xfs rw 0 0\n"
    assert machine.file_system_of(tmp_path / "a b" / "c", mounts) == "xfs"
    assert machine.file_system_of(tmp_path / "c", mounts) == "ext4"
    assert machine.file_system_of(tmp_path, "") == ""


def test_open_files():
    """Too low a limit is told with what it must be."""
    assert machine.open_files(1_000, 1_024).state == "mend"
    assert machine.open_files(1_000, resource.RLIM_INFINITY).state == "ok"


def test_a_slow_disk():
    """Every batch waits for a sync."""
    assert machine.synced(0.001).state == "ok"
    assert machine.synced(0.5).state == "warn"


def test_a_disk_that_cannot_be_written(tmp_path):
    """Nothing else is looked at, and nothing is left behind; one that is not there is not made."""
    (tmp_path / "file").touch()
    [found] = machine.check_disk(tmp_path / "file" / "data")
    assert found.state == "mend"
    assert {c.state for c in machine.check_disk(tmp_path / "new" / "data")} <= {"ok", "warn"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_model(tmp_path):
    """The shipped one is there. A folder that is missing, empty or of another version is told by
    its path, and so is a graph with fewer neighbours than the model reads.
    """
    found = machine.check_model(load({}))
    assert (found.state, found.found) == ("ok", "the shipped one; reads 30 neighbours")
    missing = machine.check_model(load({"weights": str(tmp_path / "nowhere")}))
    (tmp_path / "config.json").write_text("{}")
    unfit = machine.check_model(load({"weights": str(tmp_path)}))
    for found in (missing, unfit):
        assert found.state == "mend"
        assert str(tmp_path) in found.found
        assert "SHOAL_WEIGHTS" in found.advice
    few = machine.check_model(load({"neighbours": "8"}))
    assert (few.state, few.found) == ("warn", "the shipped one; SHOAL_NEIGHBOURS is 8")


@pytest.mark.parametrize(
    ("name", "given", "cuda", "state"),
    [
        ("H100", "all", "12.8", "ok"),
        (None, "", None, "ok"),
        (None, "", "12.8", "ok"),
        (None, "void", "12.8", "ok"),
        (None, "none", "12.8", "ok"),
        (None, "all", "12.8", "warn"),
        (None, "GPU-3f7", None, "warn"),
    ],
)
def test_gpu(name, given, cuda, state):
    """None is no fault, unless the container was given one and torch does not see it."""
    assert machine.gpu(name, given, cuda).state == state


def test_gpu_of_this_machine(monkeypatch):
    """What torch sees is what is told."""
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert ("gpu", "ok") in parts()
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    assert ("gpu", "warn") in parts()


def parts():
    """The state of each thing that is looked at on this machine."""
    return {c.part: c.state for c in machine.check_machine(load({}))}.items()


@pytest.mark.parametrize(
    ("begun", "state"), [(None, "warn"), (90 * HOUR, "mend"), (99 * HOUR, "ok")]
)
def test_newest_backup(begun, state):
    """Backups that stopped coming are to be mended."""
    assert target.newest(begun, 100 * HOUR, HOUR).state == state


def test_a_target_that_cannot_be_written(tmp_path):
    """It is told before the first backup fails."""
    (tmp_path / "file").touch()
    [found] = target.check_target(load({"backup_url": str(tmp_path / "file")}))
    assert (found.part, found.state) == ("backups", "mend")
    [found] = target.check_target(load({"backup_url": str(tmp_path / "there")}))
    assert found.found == "none yet"
