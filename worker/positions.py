"""How far the worker as a whole has taken each partition, where a restart seeks to.

Each collection remembers its own positions with its records (step 3), and skips what it has.
This file only spares a restart from reading again what all collections have; it is written
after them, so it may be behind, never ahead.

A partition whose offsets begin anew (the topic was made again, and the settings accept that) gets
another key, so that no collection takes its new records for old ones.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS position (
  partition TEXT PRIMARY KEY, next INTEGER NOT NULL, rewinds INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS origin (name TEXT NOT NULL);
"""


class Positions:
    """Offsets to read next by partition, kept in `path` (SQLite)."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_SCHEMA)
        rows = self._database.execute("SELECT partition, next, rewinds FROM position").fetchall()
        self._next = {partition: following for partition, following, _ in rows}
        self._rewinds = {partition: rewinds for partition, _, rewinds in rows}
        found = self._database.execute("SELECT name FROM origin").fetchone()
        self._origin: str = found[0] if found else ""

    @property
    def next(self) -> Mapping[str, int]:
        """The offset to read next of each partition read so far."""
        return self._next

    @property
    def origin(self) -> str:
        """What the offsets are in (`Source.origin`); empty before anything was read."""
        return self._origin

    def begin_anew(self) -> None:
        """Forget the positions: the source has another origin and its offsets begin anew."""
        self._rewinds = {p: self._rewinds.get(p, 0) + 1 for p in self._next}
        self._write(dict.fromkeys(self._next, 0), "")
        self._next = {}

    def key(self, partition: str, offset: int) -> str:
        """The name under which collections remember `partition`, now that `offset` came.

        An offset before the position means that the offsets began anew.
        """
        if offset < self._next.get(partition, 0):
            self._rewinds[partition] = self._rewinds.get(partition, 0) + 1
            self._next[partition] = offset
        rewinds = self._rewinds.get(partition, 0)
        return f"{partition}~{rewinds}" if rewinds else partition

    def advance(self, following: Mapping[str, int], origin: str = "") -> None:
        """Remember the offsets to read next; survives a kill of the process."""
        self._next.update(following)
        self._write(following, origin)

    def _write(self, following: Mapping[str, int], origin: str) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?)",
            [(p, offset, self._rewinds.get(p, 0)) for p, offset in following.items()],
        )
        if origin != self._origin:
            self._database.execute("DELETE FROM origin")
            self._database.execute("INSERT INTO origin VALUES (?)", (origin,))
            self._origin = origin
        self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()
