"""Make a vector log whole again: damaged rows get their vector back, from one flipped bit or from a
snapshot, or are given up.
"""

import os
import sqlite3
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import blocks, files, snapshot
from index.aside import Aside
from index.catalog import Catalog, put_blocks
from index.errors import SnapshotError
from index.flipped import unflip
from index.live import LiveIndex
from index.references import HashOf, drop
from index.settings import IndexSettings
from index.vectors import damaged_rows, map_rows, row_hashes

Vectors = NDArray[np.float32]


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


class LogRepair:
    """One repair of the log `path`; `done` says in words what it did."""

    def __init__(self, path: Path, catalog: Catalog, dimension: int, aside: Aside) -> None:
        self.done: list[str] = []
        self._path = path
        self._catalog = catalog
        self._dimension = dimension
        self._aside = aside
        self._held = _Held(path.parent / snapshot.SNAPSHOTS, dimension)

    def count_lost(self, unknown: list[int]) -> int:
        """How many rows had images: of those `unknown` to the catalog, and of those beyond it."""
        size = self._path.stat().st_size if self._path.exists() else 0
        content = map_rows(self._path, size // (4 * self._dimension), self._dimension)
        live = np.asarray(content.any(axis=1))
        unknown = [row for row in unknown if row < len(live)]
        rows = len(self._catalog.counts())
        return int(live[unknown].sum() + live[rows:].sum())

    def run(self) -> list[str]:
        """Repair; returns the ids of images that are lost. May be done again."""
        rows = len(self._catalog.counts())
        self._set_length(rows * 4 * self._dimension)
        if not rows:
            return []
        content = np.memmap(self._path, "<f4", "r+", shape=(rows, self._dimension))
        content[self._catalog.rows_to_wipe()] = 0
        hashes = self._catalog.hashes(0, rows)
        every = list(range(-(-rows // blocks.BLOCK_ROWS)))
        damaged = damaged_rows(content, every, lambda start, stop: hashes[start:stop])
        if damaged:
            self._aside.keep_part(f"{self._path.name}.rows", content[damaged].tobytes())
        lost = [row for row in damaged if not self._restore(content, row, hashes[row])]
        content.flush()
        files.sync(self._path)
        return self._commit(content, lost)

    def _set_length(self, size: int) -> None:
        self._path.touch()
        found = self._path.stat().st_size
        if found > size:
            with self._path.open("rb") as file:
                file.seek(size)
                self._aside.keep_part(f"{self._path.name}.tail", file.read())
            self.done.append(f"{self._path.name}: cut off a torn tail of {found - size} bytes")
        os.truncate(self._path, size)

    def _restore(self, content: Vectors, row: int, expected: bytes | None) -> bool:
        """Put the vector of a row back; False, and zeros, when it cannot be had."""
        if expected is None:
            vector, how = None, "is dead: zeros again"
        else:
            vector, how = self._vector(content[row], row, expected)
        content[row] = 0 if vector is None else vector
        if vector is not None or expected is None:
            self.done.append(f"{self._path.name}: row {row} {how}")
        return vector is not None or expected is None

    def _vector(self, damaged: Vectors, row: int, expected: bytes) -> tuple[Vectors | None, str]:
        mended = unflip(damaged.tobytes(), lambda tried: _hash(bytes(tried)) == expected)
        if mended is not None:
            return np.frombuffer(mended, "<f4"), "had a flipped bit, which is put back"
        return self._held.vector(row, expected), "is restored from a snapshot"

    def _commit(self, content: Vectors, lost: list[int]) -> list[str]:
        sums = blocks.measure(content)
        kept = dict(self._catalog.connection.execute("SELECT block, sum FROM block"))
        put = dict(enumerate(sums.tolist()))
        if not lost and put == {block: value % 2**64 for block, value in kept.items()}:
            return []
        with self._catalog.transaction(durable=True) as db:
            ids = drop(db, lost)
            db.execute("DELETE FROM block")
            put_blocks(db, put)
        if lost:
            self.done.append(f"{self._path.name}: {len(lost)} rows cannot be restored: dropped")
        return ids


class _Held:
    """The vectors that snapshots hold; each snapshot is loaded when it is first needed."""

    def __init__(self, directory: Path, dimension: int) -> None:
        self._paths = sorted(directory.glob("[0-9]*"), reverse=True)
        self._dimension = dimension
        self._loaded: list[LiveIndex] = []

    def vector(self, row: int, expected: bytes) -> Vectors | None:
        """The vector of `row` with that hash, if a snapshot has it."""
        for live in self._all():
            if row < len(live.present) and live.present[row]:
                [vector] = live.held.vectors(np.array([row]))
                if _hash(vector.tobytes()) == expected:
                    return np.asarray(vector, np.float32)
        return None

    def _all(self) -> list[LiveIndex]:
        while self._paths:
            path = self._paths.pop(0)
            try:
                manifest = snapshot.read_manifest(path)
                if manifest.facts.dimension == self._dimension:
                    self._loaded.append(load_snapshot(path, manifest))
            except SnapshotError:
                continue
        return self._loaded


def load_snapshot(path: Path, manifest: snapshot.Manifest) -> LiveIndex:
    """A snapshot under the settings that it was written with. Raises SnapshotError."""
    facts = manifest.facts
    settings = IndexSettings(k=facts.k, m=facts.m, ef_construction=facts.ef_construction)
    live = LiveIndex(facts.dimension, settings)
    snapshot.load(path, manifest, live)
    return live


def _hash(vector: bytes) -> bytes:
    return row_hashes(np.frombuffer(vector, "<f4")[None])[0]
