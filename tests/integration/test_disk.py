"""The disk under the data directory is full, read-only or failing, and works again."""

import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest

SOURCE = Path(__file__).parents[1] / "disk" / "failing_disk.c"
MODES = ("works", "full", "read-only", "failing", "unsynced", "slow")


class PreloadedDisk:
    """`tests/disk/failing_disk.c` between the worker and its disk; needs no rights."""

    def __init__(self, folder, disk):
        folder.mkdir()
        self._control, library = folder / "control", folder / "failing_disk.so"
        self._control.write_bytes(bytes(16))
        compile_ = ["cc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
        subprocess.run(compile_, check=True)
        self.variables = {
            "LD_PRELOAD": library,
            "DISK_CONTROL": self._control,
            "DISK_FOLDER": disk,
        }

    def fail(self, mode):
        """Every call from now on fails as a disk of this kind lets it fail."""
        self._write(1, MODES.index(mode))

    def work(self):
        """Nothing fails any more."""
        self._write(0, 0)

    def _write(self, start, mode):
        with self._control.open("r+b") as file:
            file.seek(4)
            file.write(struct.pack("ii", start, mode))


class MountedDisk:
    """A small file system in memory, mounted at the data directory; needs root."""

    variables = MappingProxyType({})

    def __init__(self, disk):
        self._filler = disk / "filler"

    def fail(self, mode):
        """Fill it."""
        assert mode == "full"
        with self._filler.open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def work(self):
        """Room again."""
        self._filler.unlink()


@pytest.fixture
def preloaded(stage, tmp_path):
    """A disk that fails by a library before libc."""
    return PreloadedDisk(tmp_path / "disk", stage.data_dir)


@pytest.fixture
def mounted(stage):
    """A real disk that can be filled; skipped where nothing can be mounted."""
    stage.data_dir.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "shoal-test", stage.data_dir]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield MountedDisk(stage.data_dir)
    for worker in stage.workers:
        worker.kill()
    subprocess.run(["umount", "-l", stage.data_dir], check=True)


def let_fail(stage, disk, mode, stream, first, **settings):
    """A worker that took in the first records of a stream, and is sent the others while the disk
    fails.
    """
    stage.send(stream.head(first))
    worker = stage.start(**settings, **disk.variables).ready()
    stage.published(stream.head(first))
    disk.fail(mode)
    stage.send(stream.tail(len(stream.records) - first))
    return worker


def fail_and_work_again(stage, tools, disk, mode):
    """Let the disk fail under a worker, then work: all is there once, without a restart."""
    stage.create_topic(partitions=2)
    stream = tools.groups(10, 20)
    settings = {"batch_records": 30, "snapshot_images": 60}
    worker = let_fail(stage, disk, mode, stream, 100, **settings)
    tools.eventually(lambda: worker.ask("/readyz")[0] == 503)
    reason = worker.ask("/readyz")[1]
    assert reason.startswith("reading is paused: the disk fails")
    assert str(stage.data_dir) in reason
    assert worker.ask("/healthz")[0] == 200
    assert worker.metric("shoal_paused") == 1
    errors = worker.metric("shoal_disk_errors_total")
    assert errors >= 1
    stage.send(stream.tail(10))
    tools.eventually(lambda: worker.metric("shoal_lag_records") >= 10)
    tools.eventually(lambda: worker.metric("shoal_disk_errors_total") > errors)
    disk.work()
    stage.published(stream, seconds=60)
    tools.eventually(lambda: worker.ask("/readyz") == (200, "ok\n"))
    assert worker.metric("shoal_paused") == 0
    assert worker.text().count("the disk fails") == 1
    assert worker.text().count("the disk works again") == 1
    assert worker.stop() == 0
    stage.assert_consistent(stream)
    assert stage.run(**settings).exit_code == 0
    stage.assert_grouped(stream)


@pytest.mark.parametrize("mode", MODES[1:5])
def test_the_disk_fails(stage, tools, preloaded, mode):
    """Full, read-only, failing or unable to sync: the worker pauses, says why, and goes on."""
    fail_and_work_again(stage, tools, preloaded, mode)


def test_a_slow_disk(stage, tools, preloaded):
    """A disk that takes a write long after it was asked: `/readyz` says so meanwhile, and then all
    of it is there, without a restart.
    """
    stage.create_topic()
    stream = tools.groups(10, 10)
    worker = let_fail(stage, preloaded, "slow", stream, 50)
    tools.eventually(lambda: worker.ask("/readyz")[0] == 503)
    reason = worker.ask("/readyz")[1]
    assert reason.startswith("the disk is slow")
    assert str(stage.data_dir) in reason
    assert worker.ask("/healthz")[0] == 200
    preloaded.work()
    stage.published(stream)
    tools.eventually(lambda: worker.ask("/readyz") == (200, "ok\n"))
    assert worker.metric("shoal_disk_errors_total") == 0
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_a_full_file_system(stage, tools, mounted):
    """The same on a real file system that has no room."""
    fail_and_work_again(stage, tools, mounted, "full")


def test_stopped_while_the_disk_fails(stage, tools, preloaded):
    """A worker that is stopped meanwhile ends with status 74; the next one takes all of it."""
    stage.create_topic()
    stream = tools.groups(5, 10)
    worker = let_fail(stage, preloaded, "full", stream, 20)
    tools.eventually(lambda: worker.ask("/readyz")[0] == 503)
    assert worker.stop() == 74
    last = worker.text().strip().splitlines()[-1]
    assert any(full in last for full in ("No space left", "disk is full"))  # the latter by SQLite
    preloaded.work()
    assert stage.run().exit_code == 0
    stage.assert_consistent(stream)
