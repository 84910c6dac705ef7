"""Repair the folder of a collection: what can be made whole is, what cannot is dropped and named.

In this order: the catalog, its references, the vector log, the snapshots. Each step may be done
again; a repair that was killed is begun anew, from the damaged files.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from index import snapshot
from index.aside import DAMAGED, Aside
from index.catalog import SCHEMA, Catalog
from index.collection import CollectionIndex
from index.errors import CorruptError, SnapshotError
from index.findings import Finding, Harm, Part, Progress, silent
from index.opening import CATALOG, VECTORS, open_catalog
from index.references import reconcile
from index.repair_catalog import repair_database
from index.repair_log import LogRepair, undamaged_hashes
from index.settings import IndexSettings
from index.verify import Also, read_log, verify
from index.verify_snapshots import verify_snapshots

# Within a transaction: makes the caller's own tables agree with what is left.
Reconcile = Callable[[sqlite3.Connection], None]


@dataclass
class Repaired:
    """What was `done`, in words.

    `lost_images`: ids whose vector or record is gone; they must be sent again. `nameless` is how
    many more, at least, were lost whose id is not known. `tables`: those of the catalog of which
    records were lost, and how many are left. `reread`: None unless records of the source were
    lost; then the offset to read from, of each partition that is known. `reread_others`: and all
    other partitions from their start.
    """

    done: list[str] = field(default_factory=list)
    lost_images: list[str] = field(default_factory=list)
    nameless: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    reread: dict[str, int] | None = None
    reread_others: bool = False


def repair(
    directory: Path,
    settings: IndexSettings,
    progress: Progress = silent,
    also: Also | None = None,
    reconcile_also: Reconcile | None = None,
) -> Repaired:
    """Make a collection on which no worker runs pass `verify`; blocks for as long as that takes.

    Raises CorruptError when too much is gone for that, or damage is left after all (what was
    damaged is kept in the folder `damaged` then), FormatError, OSError.
    """
    aside = Aside(directory)
    aside.put_back()
    found = verify(directory, progress, also)
    if all(finding.harm is Harm.NONE for finding in found):
        aside.discard()
        if found:
            CollectionIndex.open(directory, settings=settings).close()
        return Repaired([f"{finding.path.name}: {finding.what}: cleared" for finding in found])
    try:
        repaired = _repair_catalog(directory, aside, found, reconcile_also)
    except CorruptError:
        aside.put_back()
        aside.discard()
        raise
    _repair_snapshots(directory, settings, aside, repaired, progress)
    left = [f.what for f in verify(directory, progress, also) if f.harm is not Harm.NONE]
    if left:
        kept = directory / DAMAGED
        raise CorruptError(f"{left[0]}: cannot be repaired; what was damaged is in {kept}")
    aside.discard()
    return repaired


def _repair_catalog(
    directory: Path, aside: Aside, found: list[Finding], reconcile_also: Reconcile | None
) -> Repaired:
    path, vectors = directory / CATALOG, directory / VECTORS
    mended = repair_database(path, aside, SCHEMA)
    repaired = Repaired(list(mended.done), tables=mended.damaged)
    _restore_facts(directory, aside)
    disagree = [finding.what for finding in found if finding.part is Part.REFERENCES]
    partial = mended.lost_commits or bool(mended.damaged)
    catalog, dimension = open_catalog(directory, None, None)
    try:
        log = LogRepair(vectors, catalog, dimension, aside)
        if disagree or partial:
            with catalog.transaction(durable=True) as db:
                lost = reconcile(db, undamaged_hashes(db, vectors, dimension))
            repaired.lost_images += lost.images
            repaired.nameless += lost.counted
            if mended.damaged:
                repaired.nameless += log.count_lost(lost.unknown)
            repaired.done += [f"{CATALOG}: {what}: made to agree" for what in disagree]
        repaired.lost_images += log.run()
        repaired.done += log.done
        if reconcile_also is not None and (disagree or partial or repaired.lost_images):
            with catalog.transaction(durable=True) as db:
                reconcile_also(db)
        if mended.lost_commits or "position" in mended.damaged:
            repaired.reread = catalog.positions()
            repaired.reread_others = "position" in mended.damaged or not repaired.reread
    finally:
        catalog.close()
    return repaired


def _restore_facts(directory: Path, aside: Aside) -> None:
    """A catalog that lost the collection's facts takes them from a snapshot's manifest."""
    catalog = Catalog(directory / CATALOG)
    try:
        if {"dimension", "collection"} <= catalog.meta().keys():
            return
        aside.keep(directory / CATALOG)
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
