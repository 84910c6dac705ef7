"""How far the worker as a whole has taken each partition, where a restart seeks to.

Each collection remembers its own positions with its records (step 3), and skips what it has.
This file only spares a restart from reading again what all collections have; it is written
after them, so it may be behind, never ahead.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path


class Positions:
    """Offsets to read next by partition, kept in `path` (SQLite)."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS position"
            " (partition TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;"
        )
        self._values = dict(self._database.execute("SELECT partition, next FROM position"))

    @property
    def values(self) -> Mapping[str, int]:
        """The offset to read next of each partition read so far."""
        return self._values

    def advance(self, positions: Mapping[str, int]) -> None:
        """Remember `positions`; survives a kill of the process."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO position VALUES (?, ?)"
            " ON CONFLICT (partition) DO UPDATE SET next = excluded.next",
            positions.items(),
        )
        self._database.execute("COMMIT")
        self._values.update(positions)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
