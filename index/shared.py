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

# Both in the order of their ids: through another index each lookup would be somewhere else.
_SHARED = "FROM first.image AS a NOT INDEXED CROSS JOIN main.image AS b ON a.id = b.id"


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
    """Compare two collections' folders as they were last committed. Blocks: some seconds for a
    million images.
    """
    with _both(first, second) as db:
        rows = np.array(db.execute(f"SELECT a.row, b.row {_SHARED}").fetchall(), np.int64)
        rows = rows.reshape(-1, 2)
        return Shared(
            rows,
            _only(db, "first", "main") if _images(db, "first") > len(rows) else [],
            _only(db, "main", "first") if _images(db, "main") > len(rows) else [],
        )


def count(first: Path, second: Path) -> tuple[int, int, int]:
    """How many images the first has, the second, and both. Blocks: a second or two for a million
    images.
    """
    with _both(first, second) as db:
        [shared] = db.execute(f"SELECT count(*) {_SHARED}").fetchone()
        return _images(db, "first"), _images(db, "main"), int(shared)


def differing(first: Path, second: Path) -> list[str]:
    """The images that are not in both with the same vector, group, uri and time. Blocks: some
    seconds for a million images.
    """
    with _both(first, second) as db:
        other = (
            "SELECT a.id FROM first.image AS a NOT INDEXED JOIN first.row AS r ON r.row = a.row"
            " LEFT JOIN main.image AS b ON b.id = a.id LEFT JOIN main.row AS s ON s.row = b.row"
            " WHERE s.hash IS NOT r.hash OR a.grp IS NOT b.grp OR a.uri IS NOT b.uri"
            " OR a.time IS NOT b.time"
        )
        return [id_ for (id_,) in db.execute(other)] + _only(db, "main", "first")


def _images(db: sqlite3.Connection, which: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {which}.image").fetchone()[0])  # noqa: S608


@contextmanager
def _both(first: Path, second: Path) -> Iterator[sqlite3.Connection]:
    with reading(second / CATALOG) as db:
        db.execute("ATTACH ? AS first", (uri(first / CATALOG),))
        yield db


def _only(db: sqlite3.Connection, here: str, there: str) -> list[str]:
    query = (
        f"SELECT id FROM {here}.image AS a NOT INDEXED"  # noqa: S608
        f" WHERE NOT EXISTS (SELECT 1 FROM {there}.image AS b WHERE b.id = a.id)"
    )
    return [id_ for (id_,) in db.execute(query)]
