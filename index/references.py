"""Make the tables of a catalog agree with each other, where records were lost."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

# The hash of a row's vector, if the vector is known to be undamaged.
HashOf = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class Lost:
    """`images`: ids that had to be dropped because their vector cannot be verified. `counted`: how
    many more the rows counted. `unknown`: rows of which neither record nor image is left.
    """

    images: list[str]
    counted: int
    unknown: list[int]


def reconcile(db: sqlite3.Connection, hash_of: HashOf) -> Lost:
    """Within a transaction: rows, and what counts them, follow the images that are there.

    A row whose record is gone gets another, with the hash of its vector.
    """
    rows = db.execute(
        "SELECT max(coalesce((SELECT max(row) FROM row), -1),"
        " coalesce((SELECT max(row) FROM image), -1)) + 1"
    ).fetchone()[0]
    used = {row for (row,) in db.execute("SELECT DISTINCT row FROM image")}
    hashes = dict(db.execute("SELECT row, hash FROM row"))
    made = {row: hash_of(row) for row in used if hashes.get(row) is None}
    db.executemany(
        "INSERT OR REPLACE INTO row VALUES (?, ?, 0)",
        ((row, made.get(row)) for row in range(rows) if row not in hashes or row in made),
    )
    dropped = drop(db, [row for row, hash_ in made.items() if hash_ is None])
    counted = "(SELECT count(*) FROM image WHERE image.row = row.row)"
    missing = db.execute(
        f"SELECT coalesce(sum(max(count - {counted}, 0)), 0) FROM row"  # noqa: S608
    ).fetchone()[0]
    db.execute(f"UPDATE row SET count = {counted}")  # noqa: S608
    db.execute("UPDATE row SET hash = NULL WHERE count = 0")
    db.execute("DELETE FROM wipe WHERE row IN (SELECT row FROM row WHERE count > 0)")
    unknown = [row for row in range(rows) if row not in hashes and row not in used]
    return Lost(dropped, int(missing), unknown)


def drop(db: sqlite3.Connection, rows: list[int]) -> list[str]:
    """Make rows dead; the ids of the images that were in them."""
    ids: list[str] = []
    for row in rows:
        ids += [id_ for (id_,) in db.execute("SELECT id FROM image WHERE row = ?", (row,))]
        db.execute("DELETE FROM image WHERE row = ?", (row,))
        db.execute("UPDATE row SET hash = NULL, count = 0 WHERE row = ?", (row,))
    return ids
