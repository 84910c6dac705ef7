"""Which images two collections on disk share, counted and listed by SQLite itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.database import reading, uri
from index.opening import CATALOG

_SHARED = "FROM first.image AS a JOIN main.image AS b ON a.id = b.id"


@dataclass(frozen=True)
class Shared:
    """What two collections have in common.

    `rows` int64 [m, 2]: the rows of each image that is in both, in the first and in the second.
    `first_only` and `second_only`: ids of the other images.
    """

    rows: NDArray[np.int64]
    first_only: list[str]
    second_only: list[str]


def compare(first: Path, second: Path) -> Shared:
    """Compare two collections' folders as they were last committed. Blocks: O(n log n)."""
    with _both(first, second) as db:
        rows = np.array(db.execute(f"SELECT a.row, b.row {_SHARED}").fetchall(), np.int64)
        return Shared(rows.reshape(-1, 2), _only(db, "first", "main"), _only(db, "main", "first"))


def count(first: Path, second: Path) -> tuple[int, int, int]:
    """How many images the first has, the second, and both. Blocks: O(n log n)."""
    sources = ("FROM first.image", "FROM main.image", _SHARED)
    with _both(first, second) as db:
        ours, theirs, both = (
            int(db.execute(f"SELECT count(*) {source}").fetchone()[0]) for source in sources
        )
    return ours, theirs, both


@contextmanager
def _both(first: Path, second: Path) -> Iterator[sqlite3.Connection]:
    with reading(second / CATALOG) as db:
        db.execute("ATTACH ? AS first", (uri(first / CATALOG),))
        yield db


def _only(db: sqlite3.Connection, here: str, there: str) -> list[str]:
    query = (
        f"SELECT id FROM {here}.image AS a"  # noqa: S608
        f" WHERE NOT EXISTS (SELECT 1 FROM {there}.image AS b WHERE b.id = a.id)"
    )
    return [id_ for (id_,) in db.execute(query)]
