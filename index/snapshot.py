"""Snapshots of HNSW and graph: written aside, checked, renamed; the newest whole one is loaded."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import files
from index.arrays import load_array, save_array
from index.checksums import agrees, file_checksum
from index.errors import SnapshotError
from index.faults import reach
from index.forked import Forked
from index.hnsw import SPACE
from index.live import LiveIndex
from index.sealed import parsed, seal, unseal
from index.settings import IndexSettings

FORMAT = 3
# Of format 1 the manifest carries no checksum of its own; of 2 `hnsw.bin` is always hnswlib's.
UNSEALED_FORMAT, HNSW_FORMAT = 1, 2
SNAPSHOTS = "snapshots"
MANIFEST = "manifest.json"
HNSW = "hnsw.bin"
ARRAYS = ("neighbours", "similarity", "present", "searched_at")
UNFINISHED = "unfinished"
REMOVED = "removed"
DAMAGED = "damaged"
NUMBER_DIGITS = 20


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What was written: `rows` of the log are in it, in `seconds`, taking `bytes` on disk."""

    rows: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a snapshot must agree on with the collection that loads it."""

    collection: str
    dimension: int
    k: int
    m: int
    ef_construction: int
    space: str = SPACE
    format: int = FORMAT

    @classmethod
    def of(cls, collection: str, dimension: int, settings: IndexSettings) -> "Facts":
        """Those of a collection, known by its random name, under its settings."""
        return cls(collection, dimension, settings.k, settings.m, settings.ef_construction)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The file `manifest.json`: the facts, the sizes and the checksum of every other file.

    `last_hash` is the checksum of row `rows - 1`: it ties the snapshot to this very log.
    """

    facts: Facts
    rows: int
    elements: int
    live: int
    last_hash: str | None
    checksums: dict[str, str]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    child: Forked
    rows: int
    started: float


class Snapshots:
    """The folder `snapshots`. One owner, one thread."""

    def __init__(self, directory: Path, facts: Facts, kept: int) -> None:
        self._directory = directory
        self._facts = facts
        self._kept = kept
        self._refused: set[Path] = set()
        self._under_way: _UnderWay | None = None
        directory.mkdir(exist_ok=True)
        for name in (UNFINISHED, REMOVED, DAMAGED):
            shutil.rmtree(directory / name, ignore_errors=True)

    def newest_first(self) -> list[Path]:
        """The folders of finished snapshots."""
        found = [path for path in self._directory.iterdir() if path.name.isdigit()]
        return sorted(found, reverse=True)

    def refuse(self, path: Path) -> None:
        """Do not count this one among those kept; it goes with the next snapshot."""
        self._refused.add(path)

    def set_aside(self, path: Path) -> None:
        """Take a damaged one out of use; it goes with the next snapshot, purge or start.

        Raises OSError.
        """
        shutil.rmtree(self._directory / DAMAGED, ignore_errors=True)
        path.rename(self._directory / DAMAGED)
        files.sync(self._directory)

    def rows(self) -> int:
        """The rows that the newest finished one covers; 0 where none can be read."""
        for path in self.newest_first():
            with suppress(SnapshotError):
                return self.manifest(path).rows
        return 0

    def write(self, live: LiveIndex, last_hash: str | None) -> SnapshotInfo:
        """Write a snapshot and wait until it is on the disk, then remove old ones.

        A kill at any moment leaves the earlier snapshots as they were; one that is under way is
        given up. Raises SnapshotError or OSError when the disk does not take it.
        """
        self.give_up()
        started = time.monotonic()
        self._write_aside(live, last_hash)
        return self._finish(len(live.present), started)

    def begin(self, live: LiveIndex, last_hash: str | None) -> None:
        """As `write`, but a child process writes what `live` is now; `end` does the rest.

        Does not wait for the disk. Raises OSError when the system has no room for a process.
        """
        self.give_up()
        child = Forked(lambda: self._write_aside(live, last_hash))
        self._under_way = _UnderWay(child, len(live.present), time.monotonic())

    @property
    def under_way(self) -> bool:
        """Whether one was begun that did not end yet."""
        return self._under_way is not None

    def end(self) -> SnapshotInfo | None:
        """What was written, once the child that was begun is done, else None; does not wait for it.

        Raises OSError when the disk did not take it.
        """
        if self._under_way is None or not self._under_way.child.ended():
            return None
        done, self._under_way = self._under_way, None
        done.child.join()
        return self._finish(done.rows, done.started)

    def give_up(self) -> None:
        """End what is under way; nothing of it stays."""
        if self._under_way is not None:
            self._under_way.child.kill()
            self._under_way = None

    def _write_aside(self, live: LiveIndex, last_hash: str | None) -> None:
        """Write the whole folder under a name of its own, down to the disk."""
        aside = self._directory / UNFINISHED
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        live.held.save(aside / HNSW)
        for name, array in live.arrays().items():
            save_array(aside / f"{name}.npy", array)
        content = sorted(aside.iterdir())
        for path in content:
            files.sync(path)
        manifest = Manifest(
            facts=self._facts,
            rows=len(live.present),
            elements=live.held.elements,
            live=live.held.live,
            last_hash=last_hash,
            checksums={path.name: file_checksum(path) for path in content},
        )
        files.write_whole(aside / MANIFEST, seal(asdict(manifest)))
        files.sync(aside)

    def _finish(self, rows: int, started: float) -> SnapshotInfo:
        """Give what was written aside its name, and remove old ones."""
        aside = self._directory / UNFINISHED
        size = sum(path.stat().st_size for path in aside.iterdir())
        reach("snapshot-before-rename")
        aside.rename(self._directory / self._next_name())
        files.sync(self._directory)
        reach("snapshot-after-rename")
        self._prune()
        return SnapshotInfo(rows, time.monotonic() - started, size)

    def _next_name(self) -> str:
        newest = next(iter(self.newest_first()), None)
        return str(int(newest.name) + 1 if newest else 1).zfill(NUMBER_DIGITS)

    def _prune(self) -> None:
        """Remove those that are not kept; what the disk does not let go stays until the next."""
        good = [path for path in self.newest_first() if path not in self._refused]
        for path in [*good[self._kept :], *self._refused]:
            with suppress(OSError):
                self._remove(path)
        self._refused.clear()
        shutil.rmtree(self._directory / DAMAGED, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        """Remove a snapshot so that no part of it is ever taken for a damaged one."""
        doomed = self._directory / REMOVED
        files.remove_tree(doomed)
        path.rename(doomed)
        files.sync(self._directory)  # before its files go: their names may leave the disk first
        files.remove_tree(doomed)

    def drop_older(self) -> None:
        """Remove all but the newest, whatever number is to be kept.

        Raises OSError while the disk does not let one go, or a part of one.
        """
        for path in self.newest_first()[1:]:
            self._remove(path)
        for name in (REMOVED, DAMAGED):
            files.remove_tree(self._directory / name)
        files.sync(self._directory)

    def manifest(self, path: Path) -> Manifest:
        """The manifest of a snapshot of this collection, under these settings.

        Raises SnapshotError with what does not hold.
        """
        manifest = read_manifest(path)
        if replace(manifest.facts, format=FORMAT) != self._facts:
            raise SnapshotError(f"{path}: written for {manifest.facts}, not {self._facts}")
        return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of a snapshot, verified. Raises SnapshotError."""
    try:
        fields = _read_manifest((path / MANIFEST).read_bytes())
        return Manifest(**{**fields, "facts": Facts(**fields["facts"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Not its repr: that of a UnicodeDecodeError holds the whole file.
        raise SnapshotError(f"{path / MANIFEST}: {type(error).__name__}: {error}") from error


def check_log(manifest: Manifest, rows: int, hash_of: Callable[[int], bytes | None]) -> None:
    """The snapshot must be one of a log of `rows`: not longer, and with the same last row.

    Raises SnapshotError.
    """
    if manifest.rows > rows:
        raise SnapshotError(f"a snapshot of {manifest.rows} rows; the log has {rows}")
    found = hash_of(manifest.rows - 1) if manifest.rows else None
    if found and manifest.last_hash and found.hex() != manifest.last_hash:
        raise SnapshotError(f"row {manifest.rows - 1} of the log is not that of the snapshot")


def _read_manifest(content: bytes) -> dict[str, Any]:
    """The fields of a manifest. Raises ValueError, KeyError or TypeError."""
    fields = parsed(content)
    version = fields["facts"]["format"]
    if version == UNSEALED_FORMAT:
        return fields
    if version not in {HNSW_FORMAT, FORMAT}:
        raise ValueError(f"format {version}; this version reads up to {FORMAT}")
    return unseal(content)


def _load_array(path: Path) -> NDArray[Any]:
    """Raises SnapshotError."""
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path}: {error}") from error


def load(path: Path, manifest: Manifest, live: LiveIndex) -> None:
    """Verify every file of a snapshot, then load it into an empty `live`.

    Raises SnapshotError; `live` is not to be used after that.
    """
    if sorted(manifest.checksums) != sorted([HNSW, *(f"{name}.npy" for name in ARRAYS)]):
        raise SnapshotError(f"{path / MANIFEST}: lists {sorted(manifest.checksums)}")
    for name, expected in manifest.checksums.items():
        try:
            whole = agrees(path / name, expected)
        except OSError as error:
            raise SnapshotError(f"{path / name}: {error!r}") from error
        if not whole:
            raise SnapshotError(f"{path / name}: its checksum is not that of the manifest")
    arrays = {name: _load_array(path / f"{name}.npy") for name in ARRAYS}
    shapes = {name: array.shape for name, array in arrays.items()}
    lists, row = (manifest.rows, manifest.facts.k), (manifest.rows,)
    if shapes != dict(zip(ARRAYS, (lists, lists, row, row), strict=True)):
        raise SnapshotError(f"{path}: arrays of {shapes}; the manifest has {manifest.rows} rows")
    if manifest.live != np.count_nonzero(arrays["present"]):
        raise SnapshotError(f"{path}: {manifest.live} live rows in the manifest, not in the array")
    rows = np.flatnonzero(arrays["present"])
    live.held.load(path / HNSW, elements=manifest.elements, rows=rows)
    live.load(**arrays)
