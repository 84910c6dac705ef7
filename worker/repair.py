"""Repair a data directory on which no worker runs: every collection, and what is beside them."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from index import IndexSettings
from index.aside import Aside
from index.catalog import Catalog
from index.errors import CorruptError as IndexCorruptError
from index.findings import Finding, Harm, Part, Progress, silent
from index.repair import Repaired
from index.repair import repair as repair_index
from index.repair_catalog import repair_database
from worker import adopt
from worker.beside import repair_beside
from worker.collections import FOLDER
from worker.errors import CorruptError
from worker.migration import end_switches
from worker.positions import SCHEMA, Positions
from worker.recluster import generations
from worker.recluster.folder import remove_folder
from worker.reconcile import give_up_adoption, reconcile
from worker.verify import (
    POSITIONS,
    adopting,
    indexes,
    references,
    verify_positions,
    verify_runs,
)


@dataclass
class RepairedDirectory:
    """What was done to each collection, by name, and to the positions; `failed` says why some could
    not be repaired.
    """

    collections: dict[str, Repaired] = field(default_factory=dict)
    directory: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def repair(
    data_dir: Path, settings: IndexSettings, only: str | None = None, progress: Progress = silent
) -> RepairedDirectory:
    """Repair the collection `only`, or all of them and the positions; the caller has the lock.

    Raises `SettingsError` if there is no such collection, FormatError, OSError.
    """
    repaired = RepairedDirectory()
    end_switches(data_dir / FOLDER)
    for name in indexes(data_dir, only):
        directory = data_dir / FOLDER / name

        def told(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        try:
            repaired.collections[name] = _repair_collection(directory, settings, told)
        except (IndexCorruptError, CorruptError) as error:
            repaired.failed[name] = str(error)
    if only is None:
        repaired.directory += _repair_positions(data_dir)
        repaired.directory += repair_beside(data_dir)
    _go_back(data_dir, repaired)
    return repaired


def _repair_collection(directory: Path, settings: IndexSettings, progress: Progress) -> Repaired:
    def reconcile_own(db: sqlite3.Connection) -> None:
        reconcile(db, directory)

    repaired = repair_index(directory, settings, progress, references, reconcile_own)
    found = list(verify_runs(directory, progress))
    broken = any(finding.harm is Harm.DATA for finding in found)
    number = adopting(directory)
    if broken:
        catalog = Catalog(directory / "catalog.sqlite")
        try:
            with catalog.transaction(durable=True) as db:
                give_up_adoption(db)
        finally:
            catalog.close()
        repaired.done.append(f"run {number} is not published to its end; the next run starts anew")
        found += [
            Finding(Part.RUN, Harm.DATA, directory / "runs" / adopt.ADOPTING, ""),
            Finding(Part.GENERATION, Harm.DATA, generations.path_of(directory, number), ""),
        ]
    for path in sorted({finding.path for finding in found}):
        if path.exists():
            remove_folder(path)
            repaired.done.append(f"{path.relative_to(directory)}: removed")
    return repaired


def _repair_positions(data_dir: Path) -> list[str]:
    """The worker's positions; where nothing can be read, all is read again, and skipped."""
    path = data_dir / POSITIONS
    if not list(verify_positions(path)):
        return []
    aside = Aside(data_dir)
    done: list[str] = []
    try:
        mended = repair_database(path, aside, SCHEMA)
        done += mended.done
        whole = not mended.lost_commits and not mended.damaged
    except IndexCorruptError:
        whole = False
        for suffix in ("", "-wal", "-shm", ".sums"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if not whole:
        positions = Positions(path)
        positions.forget(_rewinds(data_dir))
        positions.close()
        done.append(
            f"{path.name}: lost: the source is read again from its start; collections skip what"
            " they have"
        )
    aside.discard()
    return done


def _rewinds(data_dir: Path) -> dict[str, int]:
    """How often each partition began anew, as far as the collections remember."""
    rewinds: dict[str, int] = {}
    for name in indexes(data_dir, None):
        try:
            catalog = Catalog(data_dir / FOLDER / name / "catalog.sqlite")
        except IndexCorruptError:
            continue
        for key in catalog.positions():
            partition, _, number = key.partition("~")
            rewinds[partition] = max(rewinds.get(partition, 0), int(number or 0))
        catalog.close()
    return rewinds


def _go_back(data_dir: Path, repaired: RepairedDirectory) -> None:
    """The worker must read again what a collection lost: from that offset on."""
    lost = [done for done in repaired.collections.values() if done.reread is not None]
    if not lost or not (data_dir / POSITIONS).exists():
        return
    positions = Positions(data_dir / POSITIONS)
    try:
        for done in lost:
            positions.go_back(done.reread or {}, others=done.reread_others)
    finally:
        positions.close()
