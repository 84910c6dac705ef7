"""Verify a data directory on which no worker runs: every collection, and what is beside them.

Reads only.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from index.aside import DAMAGED
from index.database import check as check_pages
from index.database import reading, version_of
from index.errors import CorruptError as IndexCorruptError
from index.findings import Finding, Harm, Part, Progress, silent
from index.verify import verify as verify_index
from worker import adopt
from worker.beside import verify_beside
from worker.collections import FOLDER, MAKING
from worker.errors import CorruptError, SettingsError
from worker.migration import FORMER, first_of, is_second, read_migration, second_of
from worker.recluster import generations
from worker.recluster.folder import ASIDE, read_folder
from worker.state import read_state

POSITIONS = "positions.sqlite"

_CHECKS = (
    (
        "assignments of rows that are not there",
        "SELECT count(*) FROM assignment LEFT JOIN row USING (row) WHERE row.count IS NULL",
    ),
    (
        "assignments to clusters that are not there",
        (
            "SELECT count(*) FROM assignment LEFT JOIN cluster ON number = cluster"
            " WHERE number IS NULL"
        ),
    ),
    (
        "clusters whose number is not in sequence",
        "SELECT coalesce(max(number) + 1, 0) - count(*) FROM cluster",
    ),
    (
        "successors that are not there",
        (
            "SELECT count(*) FROM cluster AS old LEFT JOIN cluster AS new"
            " ON old.successor = new.number WHERE old.successor IS NOT NULL AND new.number IS NULL"
        ),
    ),
    (
        "unpublished images whose old cluster is not there",
        (
            "SELECT count(*) FROM outbox LEFT JOIN cluster ON number = old"
            " WHERE old IS NOT NULL AND number IS NULL"
        ),
    ),
    (
        "corrections that name a cluster that is not there",
        (
            "SELECT count(*) FROM correction LEFT JOIN cluster"
            " ON cluster.number = correction.cluster"
            " WHERE correction.cluster IS NOT NULL AND cluster.number IS NULL"
        ),
    ),
)


@dataclass
class Verified:
    """What is wrong with each collection, by name, and with what is beside them."""

    collections: dict[str, list[Finding]] = field(default_factory=dict)
    directory: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [*self.directory, *(f for found in self.collections.values() for f in found)]

    @property
    def harm(self) -> Harm:
        """The worst there is."""
        harms = {finding.harm for finding in self.findings}
        return next((harm for harm in (Harm.DATA, Harm.SPARE) if harm in harms), Harm.NONE)


def verify(data_dir: Path, only: str | None = None, progress: Progress = silent) -> Verified:
    """Verify the collection `only`, or all of them and the positions; the caller has the lock.

    Raises `SettingsError` if there is no such collection, FormatError, OSError.
    """
    verified = Verified()
    for name in indexes(data_dir, only):
        directory = data_dir / FOLDER / name

        def told(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        found = verify_index(directory, told, references)
        verified.collections[name] = [
            *found,
            *verify_runs(directory, told),
            *unended_repair(directory),
        ]
    verified.directory += unended_repair(data_dir)
    if only is None:
        verified.directory += verify_positions(data_dir / POSITIONS)
        verified.directory += verify_beside(data_dir)
        for path in sorted((data_dir / FOLDER).glob(f"{MAKING}*")):
            what = "a collection that was not made to its end"
            verified.directory.append(Finding(Part.CATALOG, Harm.NONE, path, what))
        for path in sorted((data_dir / FOLDER).glob(f"{FORMER}*")):
            what = "the index that another took the place of; the next start removes it"
            verified.directory.append(Finding(Part.CATALOG, Harm.NONE, path, what))
        for path in sorted((data_dir / FOLDER).glob(second_of("*"))):
            if is_left(path):
                what = "of a compaction that did not end; the next start removes it"
                verified.directory.append(Finding(Part.CATALOG, Harm.NONE, path, what))
    return verified


def indexes(data_dir: Path, only: str | None) -> list[str]:
    """The collection `only`, or all there are, each followed by its second index if it has one that
    is not only a compaction's.

    Raises as `stored`.
    """
    folder = data_dir / FOLDER
    names = [n for name in stored(data_dir, only) for n in (name, second_of(name))]
    names = [name for name in names if (folder / name).is_dir()]
    if only is None:
        # In a switch that was not ended the second index stands alone.
        names += sorted(p.name for p in folder.glob(second_of("*")) if p.name not in names)
    return [name for name in names if not is_left(folder / name)]


def is_left(path: Path) -> bool:
    """Whether `path` is a second index that no migration made, and so nothing but a copy."""
    if not is_second(path.name):
        return False
    try:
        with reading(path.with_name(first_of(path.name)) / "catalog.sqlite") as db:
            return read_migration(db) is None
    except IndexCorruptError:
        return False


def stored(data_dir: Path, only: str | None) -> list[str]:
    """The collection `only`, or all there are. Raises `SettingsError` if it is not there."""
    folder = data_dir / FOLDER
    names = sorted(
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.is_dir() and not path.name.startswith(".")
    )
    if only is None:
        return names
    if only not in names:
        there = ", ".join(names) or "none"
        raise SettingsError(f"collection: {only!r}: not in {data_dir}; there: {there}")
    return [only]


def references(db: sqlite3.Connection) -> Iterator[str]:
    """What does not agree in the worker's own tables."""
    made = "SELECT count(*) FROM sqlite_schema WHERE name = 'assignment'"
    if not db.execute(made).fetchone()[0]:
        return
    for what, query in _CHECKS:
        number = db.execute(query).fetchone()[0]
        if number:
            yield f"{number} {what}"
    try:
        read_state(db)
    except (ValueError, TypeError) as error:
        yield f"the state is not readable: {error}"


def adopting(directory: Path) -> int:
    """The run that is being published, 0 if there is none or it cannot be known."""
    try:
        with reading(directory / "catalog.sqlite") as db:
            found = db.execute("SELECT value FROM state WHERE key = 'adopting'").fetchone()
    except IndexCorruptError:
        return 0
    return int(found[0]) if found else 0


def verify_runs(directory: Path, progress: Progress) -> Iterator[Finding]:
    """Generations and folders of runs; those of a run that is being published cannot be spared."""
    current = adopting(directory)
    kept = generations.numbers(directory)
    for done, number in enumerate(kept):
        progress("generations", done, len(kept))
        try:
            generations.load(directory, number)
        except CorruptError as error:
            harm = Harm.DATA if number == current else Harm.SPARE
            yield Finding(Part.GENERATION, harm, generations.path_of(directory, number), str(error))
    if current and current not in kept:
        path = generations.path_of(directory, current)
        yield Finding(Part.GENERATION, Harm.DATA, path, f"{path}: missing")
    runs = directory / "runs"
    for path in sorted(runs.iterdir()) if runs.is_dir() else []:
        if path.name.startswith(ASIDE):
            yield Finding(Part.RUN, Harm.NONE, path, "a folder that was not written to its end")
            continue
        try:
            read_folder(path)
        except CorruptError as error:
            harm = Harm.DATA if current and path.name == adopt.ADOPTING else Harm.SPARE
            yield Finding(Part.RUN, harm, path, str(error))
    if current and not (runs / adopt.ADOPTING).is_dir():
        path = runs / adopt.ADOPTING
        yield Finding(Part.RUN, Harm.DATA, path, f"{path}: missing")


def unended_repair(directory: Path) -> Iterator[Finding]:
    """What a repair that did not end has kept in a folder, and a start refuses to pass over."""
    path = directory / DAMAGED
    if path.is_dir():
        what = f"{path}: a repair did not end: run it again"
        yield Finding(Part.CATALOG, Harm.DATA, path, what)


def verify_positions(path: Path) -> Iterator[Finding]:
    """The worker's own positions; one of a version without checksums is taken as it is."""
    if not path.exists():
        if path.with_name(f"{path.name}.sums").exists():
            yield Finding(Part.POSITIONS, Harm.DATA, path, f"{path}: missing")
        return
    try:
        with reading(path) as db:
            if version_of(path, db):
                check_pages(path, db)
            problems = [text for (text,) in db.execute("PRAGMA integrity_check(3)")]
    except IndexCorruptError as error:
        yield Finding(Part.POSITIONS, Harm.DATA, path, str(error))
        return
    if problems != ["ok"]:
        yield Finding(Part.POSITIONS, Harm.DATA, path, "; ".join(problems))
