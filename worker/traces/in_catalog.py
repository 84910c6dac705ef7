"""What a SQLite file knows of an image: by its tables, and in its pages and write-ahead log."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import CorruptError
from index.database import reading
from index.opening import VECTORS
from worker.traces.records import Longer, is_text
from worker.traces.scan import IsPart, places
from worker.traces.sought import Sought, Trace, times

# A shorter id stands by chance among the hashes of rows and the checksums of a write-ahead log.
_SURE_BYTES = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog says of an image: its `row` while it is there, `erased` (seconds since 1970)
    while its erasure waits for a purge, and the collection's dimension.
    """

    row: int | None
    erased: float | None
    dimension: int


def known(catalog: Path, id_: str) -> Known:
    """What the catalog says of an image."""
    with reading(catalog) as db:
        row = db.execute("SELECT row FROM image WHERE id = ?", (id_,)).fetchone()
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        erased = None
        if "erasure" in tables:
            query = "SELECT max(at) FROM erasure WHERE image = ?"
            erased = db.execute(query, (id_,)).fetchone()[0]
        query = "SELECT value FROM meta WHERE key = 'dimension'"
        [dimension] = db.execute(query).fetchone()
    return Known(row and row[0], erased, int(dimension))


def images_with(catalog: Path, sought: Sought) -> list[str]:
    """The images, at most ten, whose vector is the one that is sought."""
    query = (
        "SELECT image.id FROM row JOIN image ON image.row = row.row"
        " WHERE row.hash = ? AND image.id != ? ORDER BY image.id LIMIT 10"
    )
    with reading(catalog) as db:
        found = [db.execute(query, (c, sought.id)).fetchall() for c in sought.checksums]
    return [id_ for rows in found for (id_,) in rows]


def vector_of(folder: Path, found: Known) -> NDArray[np.float32] | None:
    """The vector of an image that is there, float32 [d]."""
    if found.row is None:
        return None
    with (folder / VECTORS).open("rb") as file:
        file.seek(4 * found.dimension * found.row)
        return np.frombuffer(file.read(4 * found.dimension), "<f4")


def in_catalog(path: Path, where: str, sought: Sought) -> Iterator[Trace]:
    """Traces in the tables of a SQLite file, and in the raw bytes of it and its write-ahead log.

    An id of less than five bytes counts among raw bytes where a record says that it is one. Of a
    file whose tables cannot be read the raw bytes are searched, where an id may also be a part of
    another.
    """
    longer: set[bytes] = set()
    with suppress(CorruptError):
        yield from _in_tables(path, where, sought, longer)
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            yield from _in_pages(file, where.replace(path.name, file.name), sought, longer)


def _in_tables(path: Path, where: str, sought: Sought, longer: set[bytes]) -> Iterator[Trace]:
    """Adds to `longer` the texts that hold the id as a part of something else."""
    with reading(path) as db:
        for table, column in _texts(db):
            texts = _with_any(db, table, column, sought.names)
            hits = sum(sought.in_text(text) is not None for text in texts)
            if hits:
                yield Trace(where, "id", f"table {table}, column {column}: {times(hits)}")
            longer.update(text.encode() for text in texts if sought.in_text(text) is None)


def _with_any(db: sqlite3.Connection, table: str, column: str, parts: Sequence[str]) -> list[str]:
    """The texts of a column that have one of the parts in them."""
    has = " OR ".join(f'instr("{column}", ?) > 0' for _ in parts)
    query = f'SELECT "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\' AND ({has})'  # noqa: S608
    return [text for (text,) in db.execute(query, parts)]


def _in_pages(file: Path, where: str, sought: Sought, texts: set[bytes]) -> Iterator[Trace]:
    for what, content in sought.patterns:
        is_other = _is_other(content, texts) if what == "id" else None
        found = places(file, content, is_other) if is_other else places(file, content)
        if found:
            yield Trace(where, what, f"in its pages: {times(len(found))}, first at {found[0]}")


def _is_other(id_: bytes, texts: set[bytes]) -> IsPart:
    """Whether a place in some pages has the id as a part of something else."""
    longer = Longer(texts, id_)

    def is_other(page: bytes, at: int) -> bool:
        return longer.have(page, at) or (len(id_) < _SURE_BYTES and not is_text(page, at, len(id_)))

    return is_other


def _texts(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every column of every table."""
    tables = [n for (n,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [
        (table, column)
        for table in tables
        for (column,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))
    ]
