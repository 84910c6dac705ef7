"""Make a vector log whole again: damaged rows get their vector back, from one flipped bit or from a
snapshot, or are given up.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import blocks, files, snapshot
from index.aside import Aside, unsealed
from index.catalog import Catalog, put_blocks
from index.errors import SnapshotError
from index.faults import reach
from index.findings import Progress
from index.flipped import unflip
from index.live import LiveIndex
from index.references import HashOf, drop
from index.sealed import seal
from index.settings import IndexSettings
from index.vectors import damaged_rows, map_rows, row_hashes

Vectors = NDArray[np.float32]

# More rows than these, of those that no snapshot has, are not a matter of single bits.
MOST_ROWS = 64


def undamaged_hashes(db: sqlite3.Connection, path: Path, dimension: int) -> HashOf:
    """The hashes of vectors that lie in blocks which pass their checksum."""
    size = path.stat().st_size if path.exists() else 0
    content = map_rows(path, size // (4 * dimension), dimension)
    kept = dict(db.execute("SELECT block, sum FROM block"))
    verdicts: dict[int, bool] = {}

    def hash_of(row: int) -> bytes | None:
        block = row // blocks.BLOCK_ROWS
        if block not in verdicts:
            span = blocks.rows_of(block, len(content))
            found = blocks.block_sum(content[span.start : span.stop]) if span else 0
            verdicts[block] = block in kept and found == kept[block] % 2**64
        return row_hashes(content[row : row + 1])[0] if verdicts[block] else None

    return hash_of


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Ids of images that were dropped: `lost`, or `perhaps_erased` by a commit that is lost."""

    lost: list[str]
    perhaps_erased: list[str]


class LogRepair:
    """One repair of the log `path`; `done` says in words what it did."""

    def __init__(
        self,
        path: Path,
        catalog: Catalog,
        dimension: int,
        aside: Aside,
        lost_commits: bool,
        progress: Progress,
    ) -> None:
        self.done: list[str] = []
        self.path = path
        self.dimension = dimension
        self._catalog = catalog
        self._aside = aside
        self._lost_commits = lost_commits
        self._progress = progress
        self._held = _Held(path.parent / snapshot.SNAPSHOTS, dimension)
        self._tries = MOST_ROWS

    def count_lost(self, unknown: list[int]) -> int:
        """How many rows had images: of those `unknown` to the catalog, and of those beyond it."""
        live = np.asarray(self._found().view(np.uint32).any(axis=1))
        unknown = [row for row in unknown if row < len(live)]
        rows = len(self._catalog.counts())
        return int(live[unknown].sum() + live[rows:].sum())

    def run(self, db: sqlite3.Connection) -> GivenUp:
        """Repair, within a transaction of the catalog. May be done again."""
        rows = len(self._catalog.counts())
        hashes = self._catalog.hashes(0, rows)
        erased = self._perhaps_erased(hashes)
        self._set_length(rows * 4 * self.dimension)
        if not rows:
            return GivenUp([], [])
        content = np.memmap(self.path, "<f4", "r+", shape=(rows, self.dimension))
        content[self._catalog.rows_to_wipe()] = 0
        every = list(range(-(-rows // blocks.BLOCK_ROWS)))
        damaged = damaged_rows(content, every, lambda start, stop: hashes[start:stop])
        if damaged:
            self._aside.keep_part(f"{self.path.name}.rows", content[damaged].tobytes())
        lost = self._restore(content, [row for row in damaged if row not in erased], hashes)
        content.flush()
        files.sync(self.path)
        reach("repair-log")
        return self._give_up(db, content, lost, [row for row in damaged if row in erased])

    def _found(self) -> Vectors:
        """The rows that the file has, as many as they are; changes of the array stay in memory."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return map_rows(self.path, size // (4 * self.dimension), self.dimension)

    def _perhaps_erased(self, hashes: list[bytes | None]) -> set[int]:
        """Rows of images that are zeros, where commits are lost: only after a commit that erased or
        replaced its last image is a row overwritten. As the first run found them: this one writes
        zeros, too.
        """
        if not self._lost_commits:
            return set()
        dead = ~self._found()[: len(hashes)].view(np.uint32).any(axis=1)
        rows = [row for row in np.flatnonzero(dead).tolist() if hashes[row] is not None]
        name = f"{self.path.name}.erased"
        kept = self._aside.keep_part(name, seal({"rows": rows}).encode())
        lost = "which images an earlier repair took for erased"
        return unsealed(name, kept, lambda fields: set(fields["rows"]), lost)

    def _set_length(self, size: int) -> None:
        self.path.touch()
        found = self.path.stat().st_size
        if found > size:
            with self.path.open("rb") as file:
                file.seek(size)
                self._aside.keep_part(f"{self.path.name}.tail", file.read())
            self.done.append(f"{self.path.name}: cut off a torn tail of {found - size} bytes")
        os.truncate(self.path, size)

    def _restore(
        self, content: Vectors, damaged: list[int], hashes: list[bytes | None]
    ) -> list[int]:
        """Put the vectors of rows back; the rows of which that cannot be had, zeros now."""
        lost = []
        for number, row in enumerate(damaged, 1):
            vector, how = self._vector(content[row], row, hashes[row])
            content[row] = 0 if vector is None else vector
            if vector is None and hashes[row] is not None:
                lost.append(row)
            else:
                self.done.append(f"{self.path.name}: row {row} {how}")
            self._progress("damaged rows", number, len(damaged))
        return lost

    def _vector(
        self, damaged: Vectors, row: int, expected: bytes | None
    ) -> tuple[Vectors | None, str]:
        if expected is None:
            return None, "is dead: zeros again"
        if (held := self._held.vector(row, expected)) is not None:
            return held, "is restored from a snapshot"
        return self._unflipped(damaged, expected), "had a flipped bit, which is put back"

    def _unflipped(self, damaged: Vectors, expected: bytes) -> Vectors | None:
        """A row with the one bit changed that makes it right; not of zeros, nor of many rows."""
        if not self._tries or not damaged.view(np.uint32).any():
            return None
        self._tries -= 1
        mended = unflip(damaged.tobytes(), lambda tried: _hash(bytes(tried)) == expected)
        return None if mended is None else np.frombuffer(mended, "<f4")

    def _give_up(
        self, db: sqlite3.Connection, content: Vectors, lost: list[int], erased: list[int]
    ) -> GivenUp:
        """Make rows dead, and the checksums of the blocks those of the rows that are left."""
        put = dict(enumerate(blocks.measure(content).tolist()))
        kept = {block: value % 2**64 for block, value in db.execute("SELECT block, sum FROM block")}
        if put != kept:
            db.execute("DELETE FROM block")
            put_blocks(db, put)
        name = self.path.name
        if lost:
            self.done.append(f"{name}: {len(lost)} rows cannot be restored: dropped")
        if erased:
            self.done.append(f"{name}: {len(erased)} rows of images are zeros: dropped")
        return GivenUp(drop(db, lost), drop(db, erased))


class _Held:
    """The vectors that snapshots hold; each snapshot is loaded when it is first needed."""

    def __init__(self, directory: Path, dimension: int) -> None:
        self._paths = sorted(directory.glob("[0-9]*"), reverse=True)
        self._dimension = dimension
        self._loaded: list[LiveIndex] = []

    def vector(self, row: int, expected: bytes) -> Vectors | None:
        """The vector of `row` with that hash, if a snapshot has it."""
        for live in self._each():
            if row < len(live.present) and live.present[row]:
                [vector] = live.held.vectors(np.array([row]))
                if _hash(vector.tobytes()) == expected:
                    return np.asarray(vector, np.float32)
        return None

    def _each(self) -> Iterator[LiveIndex]:
        """Those that are loaded, then one more and one more."""
        yield from self._loaded
        while self._paths:
            path = self._paths.pop(0)
            try:
                manifest = snapshot.read_manifest(path)
                if manifest.facts.dimension != self._dimension:
                    continue
                self._loaded.append(load_snapshot(path, manifest))
            except SnapshotError:
                continue
            yield self._loaded[-1]


def load_snapshot(path: Path, manifest: snapshot.Manifest) -> LiveIndex:
    """A snapshot under the settings that it was written with. Raises SnapshotError."""
    facts = manifest.facts
    settings = IndexSettings(k=facts.k, m=facts.m, ef_construction=facts.ef_construction)
    live = LiveIndex(facts.dimension, settings)
    snapshot.load(path, manifest, live)
    return live


def _hash(vector: bytes) -> bytes:
    return row_hashes(np.frombuffer(vector, "<f4")[None])[0]
