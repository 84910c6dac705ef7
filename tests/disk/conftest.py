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
def on_failing_disk(failing_disk, tmp_path):
    """Run `every_write.py` to its end on a disk that fails as told."""

    def run(mode, times):
        control, folder = tmp_path / "control", tmp_path / "disk"
        control.write_bytes(bytes(16))
        folder.mkdir()
        return subprocess.run(
            [sys.executable, HERE / "every_write.py", folder, mode, str(times)],
            env={
                **os.environ,
                "LD_PRELOAD": str(failing_disk),
                "DISK_CONTROL": str(control),
                "DISK_FOLDER": str(folder),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run
