"""A page of the vector log that the disk does not give any more."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import CollectionIndex, CorruptError, IndexSettings, NewImage

ROOT = Path(__file__).parents[2]
SETTINGS = IndexSettings(k=5, threads=1)
ROWS = 3_000

READ = """
import os, sys
from pathlib import Path
from index import CollectionIndex, IndexSettings
index = CollectionIndex.open(Path(sys.argv[1]), settings=IndexSettings(k=5, threads=1))
os.truncate(sys.argv[1] + "/vectors.f32", 4096)
print(index.vectors.sum())
"""


def test_a_mapped_page_that_is_gone_ends_the_process(tmp_path):
    """The process dies by SIGBUS rather than serve what it did not read; the next start refuses."""
    directory = tmp_path / "c"
    index = CollectionIndex.open(directory, settings=SETTINGS, dimension=8)
    vectors = np.random.default_rng(0).standard_normal((ROWS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.insert(index.log([NewImage(str(n), v) for n, v in enumerate(vectors)], {}).new_rows)
    index.close()
    ended = subprocess.run(
        [sys.executable, "-c", READ, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGBUS, ""), ended.stderr
    with pytest.raises(CorruptError, match=r"vectors\.f32"):
        CollectionIndex.open(directory, settings=SETTINGS)
