"""Moves a collection from one data directory to another, on neither of which a worker runs."""

import shutil
from pathlib import Path

from index import reach_fault, sync_folder
from worker.backup.kept import look
from worker.backup.restore import Restored, restore_collection
from worker.backup.take import MOVING, back_up
from worker.backup.target import FolderTarget
from worker.collections import FOLDER
from worker.errors import DataDirectoryError
from worker.lock import DirectoryLock
from worker.migration import end_switches, second_of
from worker.recluster.folder import remove_folder


def move(name: str, source: Path, to: Path) -> Restored:
    """Copy the collection, verify the copy, and remove the original.

    A kill leaves the original, or both, of which the one at `to` is whole: then a second call says
    that it is there. Takes room for three copies meanwhile. Raises `DataDirectoryError`, `OSError`,
    `CorruptError`, `SettingsError` where there is no such collection.
    """
    if source.resolve() == to.resolve():
        raise DataDirectoryError(f"to: {to} is the data directory that it is in")
    with DirectoryLock(source):
        end_switches(source / FOLDER)
        target = FolderTarget(to / MOVING)
        shutil.rmtree(to / MOVING, ignore_errors=True)
        back_up(source, target, keep=1, only=name)
        moved = restore_collection(target, look(target).find(None), name, to)
        reach_fault("move-copied")
        shutil.rmtree(to / MOVING)
        # In this order no second index is left alone: nobody would erase from it.
        remove_folder(source / FOLDER / second_of(name))
        remove_folder(source / FOLDER / name)
        sync_folder(source / FOLDER)
    return moved
