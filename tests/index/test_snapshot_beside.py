"""Snapshots that a child process writes while the index goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import is_running

from index.forked import Forked

ORPHAN = """
import os, sys, time
from index.forked import Forked
child = Forked(lambda: time.sleep(600))
print(child._child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def filled(reopen, tools):
    collection = reopen(16)
    tools.feed(collection, tools.clustered(1_000, 16)[0])
    return collection


def ended(collection):
    """What `end_snapshot` gives when it gives something."""
    deadline = time.monotonic() + 60
    while (info := collection.end_snapshot()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return info


def test_holds_what_was_there_when_it_began(reopen, filled, tools):
    """Rows that come while it is written are replayed by the next start, on top of it."""
    filled.begin_snapshot()
    assert filled.snapshot_under_way
    tools.feed(filled, tools.clustered(300, 16, seed=1)[0], first=1_000)
    tools.write(filled, "5", "6")
    assert ended(filled).rows == 1_000
    assert not filled.snapshot_under_way
    assert filled.rows_since_snapshot == 300
    assert filled.end_snapshot() is None
    collection = reopen()
    assert collection.rows_since_snapshot == 300
    tools.check(collection)


def test_full_disk_leaves_the_one_before(reopen, filled, tools):
    """What the child met is raised where its end is asked for, and the next one may succeed."""
    filled.snapshot()
    tools.feed(filled, tools.clustered(100, 16, seed=1)[0], first=1_000)
    with tools.full_disk(50_000):
        filled.begin_snapshot()
    with pytest.raises(ChildProcessError, match="File too large"):
        ended(filled)
    assert filled.rows_since_snapshot == 100
    filled.begin_snapshot()
    assert ended(filled).rows == 1_100
    assert reopen().rows_since_snapshot == 0


def test_killed_child_leaves_the_one_before(reopen, filled, tools):
    """A child that the system kills is a snapshot that failed."""
    filled.snapshot()
    tools.feed(filled, tools.clustered(100, 16, seed=1)[0], first=1_000)
    filled.begin_snapshot()
    os.kill(filled._snapshots._under_way.child._child, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="ended with status -9"):
        ended(filled)
    assert reopen().rows_since_snapshot == 100


def test_given_up_by_another_and_by_closing(reopen, filled):
    """A snapshot that is waited for, and the end of the collection, give up what is under way."""
    filled.begin_snapshot()
    assert filled.snapshot().rows == 1_000
    assert not filled.snapshot_under_way
    filled.begin_snapshot()
    filled.close()
    assert not filled.snapshot_under_way
    assert reopen().rows_since_snapshot == 0


def test_child_has_no_files_of_its_parent(tmp_path):
    """A lock that the parent holds is not held by the child."""
    file = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)

    def use():
        os.fstat(file)

    child = Forked(use)
    with pytest.raises(ChildProcessError, match="Bad file descriptor"):
        child.join()
    os.close(file)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it on Linux alone")
def test_child_ends_with_its_parent():
    """A parent that is killed takes the child with it."""
    parent = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    child = int(parent.stdout)
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_child_of_nobody_does_not_begin():
    """A child whose parent has ended before it could be tied to it ends at once."""
    command = [sys.executable, "-c", "from index import die_with; die_with(1 << 30)"]
    assert subprocess.run(command, check=False).returncode == 1
