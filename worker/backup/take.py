"""Takes a backup of a data directory, beside a worker or without one.

B1 copy the positions, first, so that they are not ahead of any collection
B2 copy each collection as it is at one moment
B3 write the manifest: from here the backup is one
B4 look whether all of it is there
B5 remove what is older than those that are kept, and pieces that nobody names
"""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from index import pages, seal
from index.faults import reach
from index.files import remove_tree, replace
from worker import __version__
from worker.backup import manifest
from worker.backup.cut import copy_collection, copy_database
from worker.backup.kept import doomed, look
from worker.backup.last import FOLDER, LAST, Taken
from worker.backup.manifest import Files, Manifest
from worker.backup.pieces import Pieces
from worker.backup.target import Target, open_target
from worker.collections import FOLDER as COLLECTIONS
from worker.errors import CorruptError, RetryError
from worker.lock import DirectoryLock
from worker.migration import switches
from worker.recluster.folder import DOOMED
from worker.verify import POSITIONS, indexes

# In the folder of backups: what is copied before it is sent.
_SCRATCH = "scratch"

# In the data directory that a collection moves to: the way there.
MOVING = "moving"


def worker_target(url: str, ordinal: int) -> Target:
    """Where the worker of that number has its backups: each a folder of its own."""
    return open_target(url, f"worker-{ordinal}")


def back_up(data_dir: Path, target: Target, keep: int, only: str | None = None) -> Taken:
    """Take a backup of all collections, or of `only`, which does not count as one of the data
    directory; nothing in it changes but the folder `backup`.

    Raises `DataDirectoryError` while another is taken, `OSError`, `CorruptError`, `RetryError`,
    `SettingsError` if there is no such collection.
    """
    begun, started = time.time(), time.monotonic()
    with DirectoryLock(data_dir / FOLDER):
        scratch = data_dir / FOLDER / _SCRATCH
        clear_remains(data_dir)
        scratch.mkdir()
        before = look(target)
        pieces = Pieces(target, before.pieces, before.whole.values())
        files = _copy_positions(data_dir / POSITIONS, pieces, scratch)
        collections = {
            name: copy_collection(data_dir / COLLECTIONS / name, pieces, scratch)
            for name in _indexes(data_dir, only)
        }
        name = _next_name(begun, max((*before.whole, *before.damaged), default=""))
        made = Manifest(name, begun, __version__, collections, files)
        reach("backup-before-manifest")
        target.write(made.path, manifest.write(made))
        reach("backup-after-manifest")
        _clear(target, name, keep)
        clear_remains(data_dir)
        taken = Taken(
            name,
            begun,
            time.monotonic() - started,
            len(made.images),
            sum(made.images.values()),
            pieces.sent,
            sum(piece.size for piece in made.pieces()),
        )
        if only is None:
            replace(data_dir / FOLDER / LAST, seal(asdict(taken)).encode())
        return taken


def _indexes(data_dir: Path, only: str | None) -> list[str]:
    """What to copy. Raises `RetryError` where a collection has no folder of its name now."""
    names = indexes(data_dir, only)
    begun = switches(data_dir / COLLECTIONS)
    if begun:
        raise RetryError(
            f"collection {begun[0]!r}: its index gives way to another just"
            " now; where no worker runs the next start ends that"
        )
    return names


def clear_remains(data_dir: Path) -> None:
    """Remove what a backup, or a move, that was killed left in a data directory: it may have copies
    of what is erased. For who holds its lock. Raises OSError.
    """
    moved = (data_dir / COLLECTIONS).glob(f"{DOOMED}*")
    for path in (data_dir / FOLDER / _SCRATCH, data_dir / MOVING, *moved):
        remove_tree(path)


def _copy_positions(path: Path, pieces: Pieces, scratch: Path) -> Files:
    if not path.exists():
        return {}
    copy = scratch / POSITIONS
    copy_database(path, copy)
    return {part.name: pieces.put_file(part) for part in (copy, pages.path_of(copy))}


def _next_name(begun: float, newest: str) -> str:
    """Names rise, also where two are taken within a second or the clock went back."""
    name = _named(begun)
    if name > newest:
        return name
    return _named(datetime.strptime(f"{newest}+0000", "%Y%m%dT%H%M%SZ%z").timestamp() + 1)


def _named(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _clear(target: Target, name: str, keep: int) -> None:
    kept = look(target)
    if name not in kept.whole:
        raise CorruptError(kept.damaged.get(name, f"backup {name}: it is gone again"))
    manifests, pieces = doomed(kept, keep)
    for path in (*manifests, *pieces):
        reach("backup-remove")
        target.remove(path)
