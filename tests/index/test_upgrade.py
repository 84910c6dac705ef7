"""A collection of format 1 is brought up to this one, whatever happens meanwhile."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loading import load

from index import CollectionIndex, CorruptError, Erasure, IndexSettings, NewImage
from index.findings import Harm
from index.repair import repair
from index.verify import verify

ROOT = Path(__file__).parents[2]
SETTINGS = IndexSettings(k=5, threads=1)
POINTS = (
    "upgrade-adopted",
    "sums",
    "upgrade-begun",
    "upgrade-before-commit",
    "upgrade-after-commit",
)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder of format 1, and its images."""
    format_1 = load(Path(__file__).with_name("format_1.py"))
    directory = tmp_path_factory.mktemp("old") / "c"
    collection = CollectionIndex.open(directory, settings=SETTINGS, dimension=8)
    vectors = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = [NewImage(f"image-{i}", vector) for i, vector in enumerate(vectors)]
    collection.insert(collection.log(images, {"t:0": 600}).new_rows)
    collection.remove(collection.log([Erasure("image-7")], {"t:0": 601}).dead_rows)
    collection.snapshot()
    state = content(collection)
    collection.close()
    format_1.downgrade(directory)
    return directory, state


@pytest.fixture
def copied(old, tmp_path):
    shutil.copytree(old[0], tmp_path / "c")
    return tmp_path / "c"


def content(collection):
    return {id_: collection.vectors[row].tobytes() for id_, row in collection.iterate()}


def version(directory):
    db = sqlite3.connect(directory / "catalog.sqlite")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def check_upgraded(directory, state):
    collection = CollectionIndex.open(directory, settings=SETTINGS)
    assert content(collection) == state
    # The old snapshot serves: an upgrade does not cost an index.
    assert collection.rows_since_snapshot == 0
    assert dict(collection.positions) == {"t:0": 601}
    collection.close()
    assert version(directory) == 2
    assert verify(directory) == []


def test_upgraded_by_the_first_start(old, copied):
    """Everything is as it was, and is verified from then on."""
    assert [finding.harm for finding in verify(copied)] == [Harm.NONE]
    check_upgraded(copied, old[1])


@pytest.mark.parametrize("point", POINTS)
def test_killed_in_the_upgrade(old, copied, point):
    """The folder is of the old format, whole, or of the new one; the next start goes on."""
    script = (
        "import sys; from pathlib import Path; from index import CollectionIndex, IndexSettings\n"
        "CollectionIndex.open(Path(sys.argv[1]), settings=IndexSettings(k=5, threads=1))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, copied],
        cwd=ROOT,
        env={**os.environ, "SHOAL_FAULT": point, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    check_upgraded(copied, old[1])


def test_what_was_damaged_before_is_found_in_the_upgrade(old, copied):
    """Each row is compared with its hash before it is vouched for; repair helps as ever."""
    with (copied / "vectors.f32").open("r+b") as file:
        file.seek(32 * 300)
        file.write(b"\xff" * 4)
    for _ in range(2):
        with pytest.raises(CorruptError, match="row 300 is not what was written"):
            CollectionIndex.open(copied, settings=SETTINGS)
    assert repair(copied, SETTINGS).lost_images == []
    check_upgraded(copied, old[1])


def test_a_damaged_catalog_is_not_upgraded(copied):
    """What SQLite finds wrong stops the upgrade, and stays as it was."""
    path = copied / "catalog.sqlite"
    data = bytearray(path.read_bytes())
    data[4_096 * 2 : 4_096 * 3] = bytes(4_096)
    path.write_bytes(data)
    with pytest.raises(CorruptError):
        CollectionIndex.open(copied, settings=SETTINGS)
    assert not path.with_name("catalog.sqlite.sums").exists()
