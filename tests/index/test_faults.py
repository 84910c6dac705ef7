"""Killed at every fault point: nothing logged is missing, nothing else is there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import CollectionIndex

ROOT = Path(__file__).parents[2]
POINTS = {
    "3a": 0,
    "3b": 0,
    "3c": 1,  # committed, though the caller never heard of it
    "snapshot-before-rename": 0,
    "snapshot-after-rename": 0,
}


def run(directory, fault=""):
    return subprocess.run(
        [sys.executable, "tests/index/crash.py", directory],
        cwd=ROOT,
        env={**os.environ, "SHOAL_FAULT": fault, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def verify(crash, tools, directory, batches):
    collection = CollectionIndex.open(directory, settings=crash.SETTINGS)
    expected = crash.images(batches)
    actual = dict(collection.iterate())
    assert expected.keys() == actual.keys()
    assert all(
        np.array_equal(vector, collection.vectors[actual[id_]]) for id_, vector in expected.items()
    )
    assert collection.positions.get("batches:0", 0) == batches
    tools.check(collection)
    collection.close()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_loses_and_invents_nothing(crash, tools, tmp_path, point, times):
    """After kill -9 the collection holds the acknowledged batches, or one whole batch more."""
    killed = run(tmp_path / "c", f"{point}:{times}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    batches = len(killed.stdout.split()) + POINTS[point]
    verify(crash, tools, tmp_path / "c", batches)

    finished = run(tmp_path / "c")
    assert finished.returncode == 0, finished.stderr
    verify(crash, tools, tmp_path / "c", crash.BATCHES)


def test_killed_again_and_again(crash, tools, tmp_path):
    """A process that dies at another step each time still gets through its work."""
    for fault in ("3a:2", "3c:1", "3b:2", "snapshot-before-rename:1", "3c:2"):
        assert run(tmp_path / "c", fault).returncode == -signal.SIGKILL
    assert run(tmp_path / "c").returncode == 0
    verify(crash, tools, tmp_path / "c", crash.BATCHES)
