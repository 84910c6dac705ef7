"""The disk that fails when told to, compiled once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def failing_disk(tmp_path_factory):
    """The path of `failing_disk.c`, compiled."""
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = HERE / "failing_disk.c"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )
    return library


@pytest.fixture
def disk(tmp_path):
    """The folder that lies on a disk which fails when it is told to."""
    (tmp_path / "control").write_bytes(bytes(16))
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


@pytest.fixture
def on_failing_disk(failing_disk, disk, tmp_path):
    """Run Python to its end with `disk` on that disk."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={
                **os.environ,
                "LD_PRELOAD": str(failing_disk),
                "DISK_CONTROL": str(tmp_path / "control"),
                "DISK_FOLDER": str(disk),
                "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE))),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run
