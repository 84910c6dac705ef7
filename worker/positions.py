"""How far the worker as a whole has taken each partition, where a restart seeks to.

Each collection remembers its own positions with its records (step 3), and skips what it has.
This file only spares a restart from reading again what all collections have; it is written
after them, so it may be behind, never ahead.

A partition whose offsets begin anew (the topic was made again, and the settings accept that) gets
another key, so that no collection takes its new records for old ones.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from index import Database

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS position (
  partition TEXT PRIMARY KEY, next INTEGER NOT NULL, rewinds INTEGER NOT NULL, origin TEXT NOT NULL
) WITHOUT ROWID
"""


class Positions:
    """Offsets to read next by partition, kept in `path` (SQLite).

    What changes them raises `sqlite3.Error` if the disk does not take it, and has no effect then.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, version=_FORMAT, schema=_SCHEMA)
        rows = self._database.connection.execute(
            "SELECT partition, next, rewinds, origin FROM position"
        ).fetchall()
        self._next = {partition: following for partition, following, _, _ in rows}
        self._rewinds = {partition: rewinds for partition, _, rewinds, _ in rows}
        self._origins: dict[str, str] = {partition: origin for partition, _, _, origin in rows}

    @property
    def next(self) -> Mapping[str, int]:
        """The offset to read next of each partition read so far."""
        return self._next

    def origin(self, partition: str) -> str:
        """What the position is an offset in (`Source.origin`); empty if nothing was read of it."""
        return self._origins.get(partition, "")

    def begin_anew(self, partitions: Iterable[str]) -> None:
        """Forget positions: these partitions have another origin, and their offsets begin anew."""
        rewinds = {partition: self._rewinds.get(partition, 0) + 1 for partition in partitions}
        self._store(dict.fromkeys(rewinds, 0), "", self._rewinds | rewinds)

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
        self._store(following, origin, self._rewinds)

    def _store(self, following: Mapping[str, int], origin: str, rewinds: Mapping[str, int]) -> None:
        if self._database.failed:
            self._database.close()
            self._database = Database(self._database.path, version=_FORMAT, schema=_SCHEMA)
        with self._database.transaction(durable=False) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)",
                [(p, offset, rewinds.get(p, 0), origin) for p, offset in following.items()],
            )
        self._next.update(following)
        self._origins.update(dict.fromkeys(following, origin))
        self._rewinds.update(rewinds)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
