"""Repair the folder of a collection: what can be made whole is, what cannot is dropped and named.

In this order: the catalog, its references, the vector log, the snapshots. Each step may be done
again; a repair that was killed is begun anew, from the damaged files. What is lost is noted before
it is dropped.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from index import snapshot
from index.aside import DAMAGED, Aside
from index.catalog import SCHEMA, Catalog
from index.collection import CollectionIndex
from index.errors import CorruptError, SnapshotError
from index.faults import reach
from index.findings import Finding, Harm, Part, Progress, silent
from index.opening import CATALOG, VECTORS, open_catalog
from index.references import reconcile
from index.repair_catalog import CatalogRepair, files_of, repair_database
from index.repair_log import LogRepair, undamaged_hashes
from index.repaired import Repaired, note, noted, united
from index.settings import IndexSettings
from index.verify import Also, read_log, verify
from index.verify_snapshots import verify_snapshots

# Within a transaction: makes the caller's own tables agree with what is left.
Reconcile = Callable[[sqlite3.Connection], None]


def repair(
    directory: Path,
    settings: IndexSettings,
    progress: Progress = silent,
    also: Also | None = None,
    reconcile_also: Reconcile | None = None,
) -> Repaired:
    """As `mend`; what was damaged is forgotten."""
    repaired = mend(directory, settings, progress, also, reconcile_also)
    Aside(directory).discard()
    return repaired


def mend(
    directory: Path,
    settings: IndexSettings,
    progress: Progress = silent,
    also: Also | None = None,
    reconcile_also: Reconcile | None = None,
) -> Repaired:
    """Make a collection on which no worker runs pass `verify`; blocks for as long as that takes.

    Until the caller discards what is `Aside`, no worker opens the collection, and to do it again
    returns the same losses. Raises CorruptError when too much is gone, or damage is left after all
    (what was damaged is kept in the folder `damaged` then), FormatError, OSError.
    """
    aside = Aside(directory)
    aside.put_back()
    before = noted(aside)
    found = verify(directory, progress, also)
    if all(finding.harm is Harm.NONE for finding in found):
        if found:
            CollectionIndex.open(directory, settings=settings, repairing=True).close()
        cleared = [f"{finding.path.name}: {finding.what}: cleared" for finding in found]
        return united(before, Repaired(cleared))
    try:
        repaired = _repair_catalog(directory, aside, found, before, reconcile_also, progress)
    except CorruptError:
        aside.put_back()
        aside.discard()
        raise
    _repair_snapshots(directory, settings, aside, repaired, progress)
    left = [f.what for f in verify(directory, progress, also) if f.harm is not Harm.NONE]
    if left:
        kept = directory / DAMAGED
        raise CorruptError(f"{left[0]}: cannot be repaired; what was damaged is in {kept}")
    return repaired


def _repair_catalog(
    directory: Path,
    aside: Aside,
    found: list[Finding],
    before: Repaired,
    reconcile_also: Reconcile | None,
    progress: Progress,
) -> Repaired:
    """Catalog and vector log agree after one transaction; what that loses is noted before it."""
    path, vectors = directory / CATALOG, directory / VECTORS
    aside.keep(*files_of(path))
    mended = repair_database(path, SCHEMA)
    _restore_facts(directory)
    disagree = [finding.what for finding in found if finding.part is Part.REFERENCES]
    catalog, dimension = open_catalog(directory, None, None)
    try:
        log = LogRepair(vectors, catalog, dimension, aside, mended.lost_commits, progress)
        with catalog.transaction(durable=True) as db:
            now = _repair_records(db, catalog, log, mended, disagree, reconcile_also)
            repaired = united(before, now)
            note(aside, repaired)
        reach("repair-committed")
    finally:
        catalog.close()
    return repaired


def _repair_records(
    db: sqlite3.Connection,
    catalog: Catalog,
    log: LogRepair,
    mended: CatalogRepair,
    disagree: list[str],
    reconcile_also: Reconcile | None,
) -> Repaired:
    """Within a transaction: what cannot be had is dropped, and all tables agree."""
    repaired = Repaired(list(mended.done), tables=mended.damaged, lost_commits=mended.lost_commits)
    changed = bool(disagree or mended.lost_commits or mended.damaged)
    if changed:
        lost = reconcile(db, undamaged_hashes(db, log.path, log.dimension))
        repaired.lost_images += lost.images
        repaired.nameless += lost.counted
        if mended.damaged:
            repaired.nameless += log.count_lost(lost.unknown)
        repaired.done += [f"{CATALOG}: {what}: made to agree" for what in disagree]
    given_up = log.run(db)
    repaired.lost_images += given_up.lost
    repaired.perhaps_erased += given_up.perhaps_erased
    repaired.done += log.done
    if reconcile_also is not None and (changed or given_up.lost or given_up.perhaps_erased):
        reconcile_also(db)
    if mended.lost_commits or "position" in mended.damaged:
        repaired.reread = catalog.positions()
    return repaired


def _restore_facts(directory: Path) -> None:
    """A catalog that lost the collection's facts takes them from a snapshot's manifest."""
    catalog = Catalog(directory / CATALOG)
    try:
        if {"dimension", "collection"} <= catalog.meta().keys():
            return
        for path in sorted((directory / snapshot.SNAPSHOTS).glob("[0-9]*"), reverse=True):
            try:
                facts = snapshot.read_manifest(path).facts
            except SnapshotError:
                continue
            catalog.set_meta({"collection": facts.collection, "dimension": str(facts.dimension)})
            return
        raise CorruptError(
            f"{catalog.path}: the dimension is lost, and no snapshot tells it: put a backup back"
        )
    finally:
        catalog.close()


def _repair_snapshots(
    directory: Path,
    settings: IndexSettings,
    aside: Aside,
    repaired: Repaired,
    progress: Progress,
) -> None:
    """Snapshots that are damaged, or not of this log any more, go; others or the log serve."""
    log = read_log(directory / CATALOG)
    found = list(verify_snapshots(directory, directory / VECTORS, log, progress))
    for path in sorted({finding.path for finding in found}):
        aside.move(path)
        repaired.done.append(f"{path.parent.name}/{path.name}: removed")
    index = CollectionIndex.open(
        directory,
        settings=settings,
        repairing=True,
        progress=lambda done, total: progress("HNSW and graph from the log", done, total),
    )
    try:
        first = index.rows - index.rows_since_snapshot
        if index.rows_since_snapshot:
            index.snapshot()
            repaired.done.append(
                f"HNSW and graph made from the log for rows {first} to {index.rows - 1}"
            )
    finally:
        index.close()
