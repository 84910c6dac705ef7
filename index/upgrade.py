"""From the format of an earlier version to this one's, inside one transaction of the catalog."""

import sqlite3
from pathlib import Path

import numpy as np

from index.blocks import BLOCK_ROWS, block_sum
from index.catalog import put_blocks
from index.errors import CorruptError
from index.vectors import row_hashes


def upgrade(db: sqlite3.Connection, written: int, vectors: Path) -> None:
    """Bring the catalog of format `written` up to this one.

    Format 1 had no checksums of blocks. Each row is verified by its hash before it goes into one;
    a block with a damaged row gets a checksum that it fails from now on. Raises CorruptError when
    `vectors` is shorter than its rows.
    """
    if written == 1:
        put_blocks(db, _block_sums(db, vectors))


def _block_sums(db: sqlite3.Connection, vectors: Path) -> dict[int, int]:
    facts = dict(db.execute("SELECT key, value FROM meta"))
    dimension = int(facts.get("dimension", 0))
    hashes = db.execute("SELECT hash FROM row ORDER BY row")
    sums: dict[int, int] = {}
    if not dimension or not vectors.exists():
        return sums
    with vectors.open("rb") as log:
        while kept := [value for (value,) in hashes.fetchmany(BLOCK_ROWS)]:
            data = log.read(4 * dimension * len(kept))
            if len(data) < 4 * dimension * len(kept):
                raise CorruptError(f"{vectors}: too short for the rows of the catalog")
            rows = np.frombuffer(data, "<f4").reshape(-1, dimension).copy()
            rows[[hash_ is None for hash_ in kept]] = 0
            whole = all(
                hash_ in {None, found} for hash_, found in zip(kept, row_hashes(rows), strict=True)
            )
            sums[len(sums)] = block_sum(rows) ^ (0 if whole else 1)
    return sums
