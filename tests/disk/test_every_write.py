"""The disk begins to fail at one call after another, and works again after a while."""

import os

import pytest

# Calls at which the disk begins to fail, of about a thousand; 0: every one (`make chaos`).
TIMES = int(os.environ.get("SHOAL_DISK_TIMES", "15"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "read-only", "failing", "unsynced"])
def test_everything_is_there_once_after_the_disk_failed(on_failing_disk, mode):
    """Whatever the disk did not take is there in the end, without a restart, and only once."""
    ended = on_failing_disk(mode, TIMES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "outages" in ended.stdout
    assert " 0 outages" not in ended.stdout
