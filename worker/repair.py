"""Repair a data directory on which no worker runs: every collection, and what is beside them."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from index import IndexSettings
from index.aside import DAMAGED, Aside
from index.catalog import Catalog
from index.errors import CorruptError as IndexCorruptError
from index.faults import reach
from index.findings import Finding, Harm, Part, Progress, silent
from index.repair import mend
from index.repair_catalog import files_of, repair_database
from index.repaired import Repaired
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


# Told what was done and what is lost.
Tell = Callable[[RepairedDirectory], None]


def untold(repaired: RepairedDirectory) -> None:
    """Told to nobody but the caller."""
    del repaired


def check_repaired(data_dir: Path) -> None:
    """Raise `CorruptError` where a repair of the positions did not end."""
    if (data_dir / DAMAGED).is_dir():
        raise CorruptError(f"{data_dir / DAMAGED}: a repair goes on, or did not end: run it again")


def repair(
    data_dir: Path,
    settings: IndexSettings,
    only: str | None = None,
    progress: Progress = silent,
    tell: Tell = untold,
) -> RepairedDirectory:
    """Repair the collection `only`, or all of them and the positions; the caller has the lock.

    What is lost is forgotten once the positions went back and `tell` was told; after a repair that
    ended before, the next one tells it. Raises `SettingsError` if there is no such collection,
    FormatError, OSError.
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
        reach("repair-collection")
    if only is None or (data_dir / DAMAGED).is_dir():
        repaired.directory += _repair_positions(data_dir)
    if only is None:
        repaired.directory += repair_beside(data_dir)
    _go_back(data_dir, repaired)
    tell(repaired)
    for name in repaired.collections:
        Aside(data_dir / FOLDER / name).discard()
    return repaired


def _repair_collection(directory: Path, settings: IndexSettings, progress: Progress) -> Repaired:
    def reconcile_own(db: sqlite3.Connection) -> None:
        reconcile(db, directory)

    repaired = mend(directory, settings, progress, references, reconcile_own)
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
    path, aside = data_dir / POSITIONS, Aside(data_dir)
    aside.put_back()
    done: list[str] = []
    if list(verify_positions(path)):
        aside.keep(*files_of(path))
        whole, done = _mend_positions(path)
        reach("repair-positions")
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


def _mend_positions(path: Path) -> tuple[bool, list[str]]:
    """Whether nothing of them is lost, and what was done; removed where nothing can be read."""
    try:
        mended = repair_database(path, SCHEMA)
    except IndexCorruptError:
        for own in files_of(path):
            own.unlink(missing_ok=True)
        return False, []
    return not mended.lost_commits and not mended.damaged, mended.done


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
            positions.go_back(done.reread or {})
    finally:
        positions.close()
