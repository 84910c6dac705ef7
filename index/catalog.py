"""The catalog: images, rows and source positions in SQLite, written in durable transactions."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.database import Database, Upgrade
from index.errors import CorruptError
from index.plan import LogPlan

# One number for all: `IN (?, ?, ...)` statements of one length are prepared once.
KEYS_PER_QUERY = 500
ROWS_PER_PAGE = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (row INTEGER PRIMARY KEY, hash BLOB, count INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS row_hash ON row (hash) WHERE hash IS NOT NULL;
CREATE TABLE IF NOT EXISTS image (
  id TEXT PRIMARY KEY, row INTEGER NOT NULL, grp TEXT, uri TEXT, time REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_row ON image (row);
CREATE TABLE IF NOT EXISTS position (
  partition TEXT PRIMARY KEY, next INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wipe (row INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS block (block INTEGER PRIMARY KEY, sum INTEGER NOT NULL);
"""


class Catalog(Database):
    """The file `catalog.sqlite`. One owner; one call at a time.

    Every method blocks. sqlite3's own errors pass through, save those of opening.
    """

    def __init__(self, path: Path, upgrade: Upgrade | None = None) -> None:
        """Open the file, made when new; `upgrade` fills what an older format lacks.

        Raises CorruptError when it is damaged, FormatError when it is of a newer format.
        """
        super().__init__(path, schema=SCHEMA, upgrade=upgrade)

    def meta(self) -> dict[str, str]:
        """The facts that hold for the whole collection."""
        return dict(self.connection.execute("SELECT key, value FROM meta"))

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Add or change facts, durably."""
        with self.transaction(durable=True) as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def counts(self) -> NDArray[np.int32]:
        """How many images share each row, int32 [rows]; 0 for a dead row.

        Raises CorruptError when a row is missing.
        """
        query = "SELECT count(*), coalesce(min(row), 0), coalesce(max(row) + 1, 0) FROM row"
        found, first, rows = self.connection.execute(query).fetchone()
        if found != rows or first != 0:
            raise CorruptError(f"{self.path}: {found} rows; the last one is {rows - 1}")
        counts = np.ones(rows, np.int32)
        # Most rows have one image, and need not become a Python object.
        others = self.connection.execute("SELECT row, count FROM row WHERE count != 1")
        values = np.fromiter(chain.from_iterable(others), np.int64).reshape(-1, 2)
        counts[values[:, 0]] = values[:, 1]
        return counts

    def images(self) -> int:
        """Number of live images."""
        return int(self.connection.execute("SELECT count(*) FROM image").fetchone()[0])

    def positions(self) -> dict[str, int]:
        """Next offset of each source partition."""
        return dict(self.connection.execute("SELECT partition, next FROM position"))

    def hashes(self, start: int, stop: int) -> list[bytes | None]:
        """Checksums of the rows `start` to `stop`; None for a dead row."""
        query = "SELECT hash FROM row WHERE row >= ? AND row < ? ORDER BY row"
        return [value for (value,) in self.connection.execute(query, (start, stop))]

    def blocks(self) -> NDArray[np.uint64]:
        """The checksums of the blocks of the vector log, uint64 [blocks].

        Raises CorruptError when one is missing.
        """
        found = self.connection.execute("SELECT block, sum FROM block ORDER BY block").fetchall()
        numbers, sums = np.array(found, np.int64).reshape(-1, 2).T
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise CorruptError(f"{self.path}: the checksums of some blocks are missing")
        return sums.astype(np.uint64)

    def rows_of_ids(self, ids: Iterable[str]) -> dict[str, int]:
        """The row of each id that is known."""
        return dict(self._find("SELECT id, row FROM image WHERE id IN", ids))

    def rows_of_hashes(self, hashes: Iterable[bytes]) -> dict[bytes, int]:
        """The row of each checksum that is known."""
        return dict(self._find("SELECT hash, row FROM row WHERE hash IN", hashes))

    def ids_of_rows(self, rows: Iterable[int]) -> dict[int, list[str]]:
        """The images of each row that has any, in the order of their ids."""
        found: dict[int, list[str]] = {}
        for row, id_ in self._find("SELECT row, id FROM image WHERE row IN", rows, "ORDER BY id"):
            found.setdefault(row, []).append(id_)
        return found

    def images_of_ids(self, ids: Iterable[str]) -> dict[str, Sequence[Any]]:
        """Row, group, uri and time of each id that is known."""
        found = self._find("SELECT id, row, grp, uri, time FROM image WHERE id IN", ids)
        return {id_: rest for id_, *rest in found}

    def _find(self, query: str, keys: Iterable[Any], order: str = "") -> Iterator[Any]:
        """What is found for keys; the last lot is filled up so that one prepared statement does."""
        wanted = list(dict.fromkeys(keys))
        statement = f"{query} ({', '.join('?' * KEYS_PER_QUERY)}) {order}"
        for start in range(0, len(wanted), KEYS_PER_QUERY):
            lot = wanted[start : start + KEYS_PER_QUERY]
            lot += [None] * (KEYS_PER_QUERY - len(lot))
            yield from self.connection.execute(statement, lot)

    def iterate(self) -> Iterator[tuple[str, int]]:
        """Every live image and its row, by id; writes may come in between."""
        query = "SELECT id, row FROM image WHERE id > ? ORDER BY id LIMIT ?"
        page = self.connection.execute(query, ("", ROWS_PER_PAGE)).fetchall()
        while page:
            yield from page
            page = self.connection.execute(query, (page[-1][0], ROWS_PER_PAGE)).fetchall()

    def rows_to_wipe(self) -> NDArray[np.int64]:
        """Dead rows whose zeros may not be on the disk yet."""
        return np.array(
            [row for (row,) in self.connection.execute("SELECT row FROM wipe")], np.int64
        )

    def forget_wiped(self) -> None:
        """Take all rows off the list to wipe: the caller synced the vectors just now."""
        with self.transaction(durable=False) as db:
            db.execute("DELETE FROM wipe")

    def apply(
        self,
        db: sqlite3.Connection,
        plan: LogPlan,
        positions: Mapping[str, int],
        blocks: Mapping[int, int],
    ) -> None:
        """Write a plan inside a transaction, and the checksums of the blocks that it changes.

        What was to be wiped before is taken off the list: the caller synced the vectors just now.
        """
        dead = plan.dead_rows()
        db.execute("DELETE FROM wipe")
        db.executemany(
            "INSERT INTO row VALUES (?, ?, ?)",
            (
                (row, hash_, plan.counts.get(row, 0))
                for row, hash_ in enumerate(plan.new_hashes, plan.first_row)
            ),
        )
        db.executemany(
            "UPDATE row SET count = ? WHERE row = ?",
            ((count, row) for row, count in plan.counts.items() if row < plan.first_row),
        )
        db.executemany("UPDATE row SET hash = NULL WHERE row = ?", ((row,) for row in dead))
        db.executemany("INSERT INTO wipe VALUES (?)", ((row,) for row in dead))
        _write_images(db, plan)
        put_blocks(db, blocks)
        db.executemany("INSERT OR REPLACE INTO position VALUES (?, ?)", positions.items())


def put_blocks(db: sqlite3.Connection, blocks: Mapping[int, int]) -> None:
    """Keep the checksums (0 <= value < 2^64) of blocks of the vector log."""
    sums = np.array(list(blocks.values()), np.uint64).astype(np.int64)
    db.executemany(
        "INSERT OR REPLACE INTO block VALUES (?, ?)", zip(blocks, sums.tolist(), strict=True)
    )


def _write_images(db: sqlite3.Connection, plan: LogPlan) -> None:
    gone: Sequence[tuple[str]] = [(id_,) for id_, last in plan.images.items() if last is None]
    db.executemany("DELETE FROM image WHERE id = ?", gone)
    db.executemany(
        "INSERT INTO image VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "row = excluded.row, grp = excluded.grp, uri = excluded.uri, time = excluded.time",
        (
            (id_, last[0], last[1].group, last[1].uri, last[1].time)
            for id_, last in plan.images.items()
            if last is not None
        ),
    )
