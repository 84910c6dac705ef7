"""Verify the folder of a collection: every byte against its checksum, and all parts against each
other. Reads only.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import blocks, pages, wal
from index.database import FORMAT, check, reading, version_of
from index.disk import naming
from index.errors import CorruptError
from index.findings import Finding, Harm, Part, Progress, silent
from index.opening import CATALOG, VECTORS
from index.vectors import row_hashes
from index.verify_snapshots import verify_snapshots

# Rows hashed, or images read, between two words of progress.
ROWS_TOGETHER = 64 * blocks.BLOCK_ROWS
PROBLEMS_SHOWN = 20

# Says what is wrong with the caller's own tables.
Also = Callable[[sqlite3.Connection], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Log:
    """What the catalog says of the vector log: hashes (None: dead) and images of each row, rows to
    be wiped, and the checksums of blocks (None: of a format that had none).
    """

    dimension: int
    collection: str
    hashes: list[bytes | None]
    counts: NDArray[np.int32]
    wiped: NDArray[np.int64]
    sums: NDArray[np.uint64] | None


def verify(directory: Path, progress: Progress = silent, also: Also | None = None) -> list[Finding]:
    """Everything that is wrong with a collection on which no worker runs.

    `also` is asked about the caller's own tables. Blocks for as long as it takes to read all of it
    and to hash every vector. Raises FormatError when it is of a newer format, OSError.
    """
    path, vectors = directory / CATALOG, directory / VECTORS
    findings, log = _verify_catalog(path, progress, also)
    if log is not None:
        findings += _verify_log(vectors, log, progress)
    return [*findings, *verify_snapshots(directory, vectors, log, progress)]


def _verify_catalog(
    path: Path, progress: Progress, also: Also | None
) -> tuple[list[Finding], Log | None]:
    findings: list[Finding] = []
    progress("catalog", 0, 1)

    def found(what: str, part: Part = Part.CATALOG, harm: Harm = Harm.DATA) -> None:
        findings.append(Finding(part, harm, path, what))

    try:
        with reading(path) as db:
            version = version_of(path, db)
            if version < FORMAT and not pages.path_of(path).exists():
                found(f"of format {version}: the next start upgrades it", harm=Harm.NONE)
            else:
                try:
                    check(path, db)
                except CorruptError as error:
                    found(str(error))
            for (problem,) in db.execute(f"PRAGMA integrity_check({PROBLEMS_SHOWN})"):
                if problem != "ok":
                    found(problem)
            for what in (*_references(db), *(also(db) if also else ())):
                found(what, Part.REFERENCES)
            log = _read_log(path, db)
    except CorruptError as error:
        if str(error) not in {finding.what for finding in findings}:
            found(str(error))
        return findings, None
    if wal.size(path):
        found("its log is not folded in: the worker was killed", harm=Harm.NONE)
    progress("catalog", 1, 1)
    return findings, log


def read_log(path: Path) -> Log | None:
    """What the catalog `path` says of its log; None before it has a dimension.

    Raises CorruptError.
    """
    with reading(path) as db:
        return _read_log(path, db)


def _read_log(path: Path, db: sqlite3.Connection) -> Log | None:
    facts = dict(db.execute("SELECT key, value FROM meta"))
    if "dimension" not in facts:
        return None
    if not str(facts["dimension"]).isdecimal() or int(facts["dimension"]) < 1:
        raise CorruptError(f"{path}: dimension {facts['dimension']!r}; it must be at least 1")
    if "collection" not in facts:
        raise CorruptError(f"{path}: the collection has no name of its own")
    hashes, counts = [], []
    for hash_, count in db.execute("SELECT hash, count FROM row ORDER BY row"):
        hashes.append(hash_)
        counts.append(count)
    wiped = [row for (row,) in db.execute("SELECT row FROM wipe")]
    sums = None
    if version_of(path, db) >= FORMAT:
        found = [value for (value,) in db.execute("SELECT sum FROM block ORDER BY block")]
        sums = _integers(path, "checksums of blocks", found).astype(np.uint64)
    return Log(
        dimension=int(facts["dimension"]),
        collection=facts["collection"],
        hashes=hashes,
        counts=_integers(path, "counts of images", counts).astype(np.int32),
        wiped=_integers(path, "rows to be wiped", wiped),
        sums=sums,
    )


def _integers(path: Path, what: str, values: list[Any]) -> NDArray[np.int64]:
    """SQLite gives what stands in a record, whatever the column is for: a flipped bit makes NULL of
    a number. Raises CorruptError.
    """
    for value in values:
        if not isinstance(value, int):
            raise CorruptError(f"{path}: {value!r} among {what}; all must be integers")
    return np.array(values, np.int64)


def _references(db: sqlite3.Connection) -> Iterator[str]:
    """What does not agree between the tables of the catalog."""
    checks = (
        ("rows whose number is not in sequence", "SELECT max(row) + 1 - count(*) FROM row"),
        (
            "images whose row is not there",
            "SELECT count(*) FROM image LEFT JOIN row USING (row) WHERE row.count IS NULL",
        ),
        (
            "rows that count other images than point to them",
            (
                "SELECT count(*) FROM row LEFT JOIN (SELECT row, count(*) AS images FROM image"
                " GROUP BY row) USING (row) WHERE count != coalesce(images, 0)"
            ),
        ),
        (
            "rows that live without a hash, or are dead with one",
            "SELECT count(*) FROM row WHERE (hash IS NULL) != (count = 0)",
        ),
        (
            "rows to be wiped that live",
            "SELECT count(*) FROM wipe JOIN row USING (row) WHERE count > 0",
        ),
        ("positions before the first record", "SELECT count(*) FROM position WHERE next < 0"),
    )
    for what, query in checks:
        number = db.execute(query).fetchone()[0]
        if number:
            yield f"{number} {what}"


def _verify_log(vectors: Path, log: Log, progress: Progress) -> Iterator[Finding]:
    """The rows of the log against the hashes, and its blocks against their checksums."""
    rows, width = len(log.hashes), 4 * log.dimension
    size = vectors.stat().st_size if vectors.exists() else 0
    if size > rows * width:
        what = f"{size - rows * width} bytes of a batch that was not committed: a torn tail"
        yield Finding(Part.LOG, Harm.NONE, vectors, what)
    if size < rows * width:
        what = f"{size} bytes; the catalog counts {rows} rows of {width} bytes"
        yield Finding(Part.LOG, Harm.DATA, vectors, what)
    whole = min(rows, size // width)
    erased = log.wiped[log.wiped < whole]
    damaged: list[int] = []
    wrong: list[int] = []
    unwiped = False
    for start in range(0, whole, ROWS_TOGETHER):
        content = _read_rows(vectors, range(start, min(start + ROWS_TOGETHER, whole)), log)
        inside = erased[(erased >= start) & (erased < start + len(content))] - start
        unwiped |= bool(content[inside].view(np.uint32).any())  # any bits, not numbers
        content[inside] = 0
        damaged += _damaged(content, log.hashes[start : start + len(content)], start)
        first = start // blocks.BLOCK_ROWS
        if log.sums is not None:
            wrong += [first + block for block in blocks.wrong(content, log.sums[first:])]
        progress("vector log", start + len(content), rows)
    if unwiped:
        what = "rows of erased images that are not overwritten yet"
        yield Finding(Part.LOG, Harm.NONE, vectors, what)
    # Nothing else is to be compared with them.
    log.counts[damaged] = 0
    for row in damaged:
        yield Finding(Part.LOG, Harm.DATA, vectors, f"row {row} is not what was written")
    for block in set(wrong) - {row // blocks.BLOCK_ROWS for row in damaged}:
        span = blocks.rows_of(block, rows)
        if span.stop <= whole:
            what = f"rows {span.start} to {span.stop - 1} fail the checksum of their block"
            yield Finding(Part.LOG, Harm.DATA, vectors, what)


def _read_rows(path: Path, rows: range, log: Log) -> NDArray[np.float32]:
    """Rows of the vector log, a copy. Not mapped: what the disk cannot give is an OSError."""
    with path.open("rb") as file, naming(path):
        file.seek(4 * log.dimension * rows.start)
        data = bytearray(file.read(4 * log.dimension * len(rows)))
    return np.frombuffer(data, "<f4").reshape(-1, log.dimension)


def _damaged(content: NDArray[np.float32], hashes: list[bytes | None], first: int) -> list[int]:
    """The rows that are not what their hash says; a dead one must be zeros."""
    return [
        row
        for row, (vector, expected, actual) in enumerate(
            zip(content, hashes, row_hashes(content), strict=False), first
        )
        if (vector.tobytes().strip(b"\0") if expected is None else expected != actual)
    ]
