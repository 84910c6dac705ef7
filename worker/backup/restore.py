"""Brings a backup back: every byte is verified, and nothing is seen before all of it is there.

What the source got after the backup is not in it: the positions are those of the backup, and the
next start reads on from there.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index import reach_fault, sync_folder
from index.files import write_whole
from worker.backup.manifest import Files, Manifest, Piece, piece_name
from worker.backup.target import Target
from worker.collections import FOLDER, MAKING
from worker.errors import CorruptError, DataDirectoryError, SettingsError
from worker.lock import DirectoryLock
from worker.migration import end_switches, second_of
from worker.positions import Positions, Read
from worker.verify import POSITIONS, stored

# What is being restored is here, until all of it is, and of which backup it is.
RESTORING = "restoring"
_BACKUP = ".backup"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: images of each collection, and where the source is read on."""

    backup: str
    collections: Mapping[str, int]
    positions: Mapping[str, int]


def check_restored(data_dir: Path) -> None:
    """Raise `DataDirectoryError` where a restore goes on, or did not end."""
    aside = data_dir / RESTORING
    if aside.is_dir():
        # Once the collections are in place, what they need is still in there.
        or_else = ", or remove this folder" if (aside / FOLDER).is_dir() else ""
        raise DataDirectoryError(
            f"data_dir: {aside}: a restore goes on, or did not end; then run it again{or_else}"
        )


def restore(target: Target, backup: Manifest, data_dir: Path) -> Restored:
    """Restore a whole backup into a data directory that has no collections.

    A kill leaves the folder `restoring`, with which no worker starts; called again it begins anew
    or, where the collections are in place already, ends what was begun. Raises `DataDirectoryError`
    where there is something, or another backup was begun, `CorruptError` naming a file that is not
    what was backed up, `OSError`.
    """
    with DirectoryLock(data_dir):
        aside = data_dir / RESTORING
        there = [*stored(data_dir, None), *(p.name for p in data_dir.glob(f"{POSITIONS}*"))]
        if there and aside.is_dir() and not (aside / FOLDER).is_dir():
            _check_same(aside, backup)
        elif there:
            raise DataDirectoryError(
                f"data_dir: {data_dir} is not empty: it has {', '.join(there[:8])}"
            )
        else:
            _begin(target, backup, data_dir, aside)
        for path in sorted(aside.iterdir()):
            if path.name != _BACKUP:
                path.rename(data_dir / path.name)
                reach_fault("restore-rename")
        sync_folder(data_dir)
        shutil.rmtree(aside)
        sync_folder(data_dir)
        return Restored(backup.name, backup.images, _next(data_dir))


def _begin(target: Target, backup: Manifest, data_dir: Path, aside: Path) -> None:
    """Write everything into the folder `aside`, and put the collections in place."""
    shutil.rmtree(aside, ignore_errors=True)
    (aside / FOLDER).mkdir(parents=True)
    for name, collection in backup.collections.items():
        _write(target, collection.files, aside / FOLDER / name)
    _write(target, backup.files, aside)
    write_whole(aside / _BACKUP, backup.name)
    for folder in (aside / FOLDER, aside):
        sync_folder(folder)
    reach_fault("restore-before-rename")
    shutil.rmtree(data_dir / FOLDER, ignore_errors=True)
    # Positions without collections would be records that nobody has.
    (aside / FOLDER).rename(data_dir / FOLDER)
    sync_folder(data_dir)
    reach_fault("restore-rename")


def _check_same(aside: Path, backup: Manifest) -> None:
    """Raise `DataDirectoryError` where the collections in place are another backup's."""
    begun = aside / _BACKUP
    name = begun.read_text() if begun.exists() else backup.name
    if name != backup.name:
        raise DataDirectoryError(
            f"data_dir: {aside}: a restore of {name} did not end; run that again, with --at"
        )


def restore_collection(target: Target, backup: Manifest, name: str, data_dir: Path) -> Restored:
    """Restore one collection beside others, with its second index if it has one; the worker reads
    on from where they are.

    A kill leaves nothing of it, but for records that are read again and skipped. Raises as
    `restore`, and `SettingsError` where the backup has no such collection.
    """
    if name not in backup.images:
        known = ", ".join(backup.images) or "none"
        raise SettingsError(f"collection: {name!r}: not in backup {backup.name}; there: {known}")
    with DirectoryLock(data_dir):
        check_restored(data_dir)
        folder = data_dir / FOLDER
        end_switches(folder)
        if name in stored(data_dir, None):
            raise DataDirectoryError(f"data_dir: {folder / name} is there already")
        there = _positions_of(target, backup, data_dir)
        # The second index first: alone it is nothing.
        indexes = [n for n in (second_of(name), name) if n in backup.collections]
        for index in indexes:
            for left in (folder / f"{MAKING}{index}", folder / index):
                shutil.rmtree(left, ignore_errors=True)
            _write(target, backup.collections[index].files, folder / f"{MAKING}{index}")
            _read_on(data_dir, backup.collections[index].positions, there, known=True)
        reach_fault("restore-before-rename")
        for index in indexes:
            (folder / f"{MAKING}{index}").rename(folder / index)
        sync_folder(folder)
        # Before, a position in what nobody has read here would be records that nobody has.
        for index in indexes:
            _read_on(data_dir, backup.collections[index].positions, there, known=False)
        return Restored(backup.name, {name: backup.images[name]}, _next(data_dir))


def _write(target: Target, files: Files, folder: Path) -> None:
    """Write files down to the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, pieces in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("wb") as file:
            for piece in pieces:
                file.write(_read(target, piece, path))
            file.flush()
            os.fsync(file.fileno())
    for made in {folder, *((folder / path).parent for path in files)}:
        sync_folder(made)
    sync_folder(folder.parent)


def _read(target: Target, piece: Piece, path: str) -> bytes:
    content = target.read(piece.path)
    if piece_name(content) != piece.name:
        raise CorruptError(f"{path}: the piece {piece.path} is not what was backed up")
    return content


def _positions_of(target: Target, backup: Manifest, data_dir: Path) -> Mapping[str, Read]:
    """How the worker of the backup stood, by partition."""
    if POSITIONS not in backup.files:
        return {}
    aside = data_dir / FOLDER / f"{MAKING}{POSITIONS}"
    _write(target, backup.files, aside)
    positions = Positions(aside / POSITIONS)
    found = positions.read
    positions.close()
    shutil.rmtree(aside)
    return found


def _read_on(
    data_dir: Path, collection: Mapping[str, int], there: Mapping[str, Read], *, known: bool
) -> None:
    """Have the worker read each partition on from where the collection is, at the latest; where
    `known` only those that it has read.
    """
    positions = Positions(data_dir / POSITIONS)
    try:
        for key, offset in collection.items():
            partition = key.partition("~")[0]
            if partition in positions.next or not known:
                positions.join(key, offset, there.get(partition))
    finally:
        positions.close()


def _next(data_dir: Path) -> dict[str, int]:
    if not (data_dir / POSITIONS).exists():
        return {}
    positions = Positions(data_dir / POSITIONS)
    found = dict(positions.next)
    positions.close()
    return found
