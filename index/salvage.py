"""A new SQLite file from the records of an old one that lie in undamaged pages."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from index import wal
from index.database import reading

Record = tuple[Any, ...]

# Made anew, not copied.
_OWN = {"commits"}


def zeroed_copy(path: Path, copy: Path, wrong: list[int], page_bytes: int) -> None:
    """A copy in which SQLite refuses to read the `wrong` pages, also those that the file is too
    short for; save the first, which says where the tables are.
    """
    shutil.copyfile(path, copy)
    if wal.size(path):
        shutil.copyfile(wal.path_of(path), wal.path_of(copy))
    with copy.open("r+b") as file:
        for page in wrong:
            if page > 1:
                file.seek((page - 1) * page_bytes)
                file.write(bytes(page_bytes))


def salvage(source: Path, target: sqlite3.Connection) -> dict[str, int]:
    """Copy what can be read, in one transaction of `target`; tables it lacks are made.

    Returns, for each table with damage, how many records were taken. Raises CorruptError when
    `source` cannot be opened.
    """
    damaged = {}
    with reading(source) as db:
        for name, sql in _tables(db):
            if name in _OWN:
                continue
            target.execute(sql.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))
            taken, whole = 0, True
            for record in _records(db, name):
                if record is None:
                    whole = False
                    continue
                marks = ", ".join("?" * len(record))
                target.execute(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", record)  # noqa: S608
                taken += 1
            if not whole:
                damaged[name] = taken
    return damaged


def _tables(db: sqlite3.Connection) -> list[tuple[str, str]]:
    query = (
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY name"
    )
    return db.execute(query).fetchall()


def _records(db: sqlite3.Connection, table: str) -> Iterator[Record | None]:
    """The records that can be read; None where some cannot."""
    info = db.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [(place, name, kind) for place, name, kind, _, _, pk in info if pk]
    place, key, kind = keys[0] if keys else (0, "rowid", "")
    last: Any = None
    ended = False
    for record in _scan(db, table, key, "ASC"):
        if record is None:
            break
        last = record[place]
        yield record
    else:
        ended = True
    if ended:
        return
    yield None
    first: Any = None
    for record in _scan(db, table, key, "DESC"):
        if record is None or record[place] == last:
            break
        first = record[place]
        yield record
    if kind == "INTEGER" and first is not None:
        yield from _between(db, table, key, range(-1 if last is None else last, first))
    elif table == "image":
        yield from _images_between(db, last, first)


def _scan(db: sqlite3.Connection, table: str, key: str, order: str) -> Iterator[Record | None]:
    try:
        yield from db.execute(f"SELECT * FROM {table} ORDER BY {key} {order}")  # noqa: S608
    except sqlite3.DatabaseError:
        yield None


def _between(db: sqlite3.Connection, table: str, key: str, gap: range) -> Iterator[Record]:
    query = f"SELECT * FROM {table} WHERE {key} = ?"  # noqa: S608
    for number in gap[1:]:
        with suppress(sqlite3.DatabaseError):
            yield from db.execute(query, (number,))


def _images_between(
    db: sqlite3.Connection, last: str | None, first: str | None
) -> Iterator[Record]:
    """Images of damaged pages that the index by row still names: without group, uri and time."""
    for row, id_ in _rows_and_ids(db):
        if (last is None or id_ > last) and (first is None or id_ < first):
            try:
                found = db.execute("SELECT * FROM image WHERE id = ?", (id_,)).fetchall()
            except sqlite3.DatabaseError:
                found = []
            yield from found or [(id_, row, None, None, None)]


def _rows_and_ids(db: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    for order in ("ASC", "DESC"):
        query = f"SELECT row, id FROM image INDEXED BY image_row ORDER BY row {order}"  # noqa: S608
        try:
            yield from db.execute(query)
        except sqlite3.DatabaseError:
            continue
        return
