"""One collection on disk: the log that loses nothing, and the index that serves from it."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from index import recovery, scrub
from index.aside import DAMAGED, Aside
from index.catalog import Catalog
from index.errors import CorruptError
from index.faults import reach
from index.findings import Part
from index.growing import GrowingArray
from index.leftovers import Leftovers
from index.live import LiveIndex
from index.opening import VECTORS, open_catalog
from index.plan import LogPlan, plan_log
from index.settings import IndexSettings
from index.snapshot import SNAPSHOTS, Facts, SnapshotInfo, Snapshots
from index.vectors import VectorLog, row_hashes, stack
from index.writes import Erasure, Logged, NewImage

Also = Callable[[sqlite3.Connection, Logged], None]


class CollectionIndex:
    """The log, the HNSW and the k-NN graph of one collection, in one folder.

    One owner, one thread at a time: nothing here locks. Every method blocks. Arrays that properties
    return are views of what is kept, valid until the next write; copy them to keep them.
    """

    def __init__(
        self,
        directory: Path,
        catalog: Catalog,
        counts: NDArray[np.int32],
        vectors: VectorLog,
        settings: IndexSettings,
    ) -> None:
        """Take over open files, and the `counts` of the catalog; use `open`."""
        self.directory = directory
        self._catalog = catalog
        self._log = vectors
        meta = catalog.meta()
        self.dimension = vectors.dimension
        self.model = meta.get("model")
        self.settings = settings
        self._positions = catalog.positions()
        self._images = catalog.images()
        self._counts: GrowingArray[np.int32] = GrowingArray(np.int32, 0)
        self._counts.load(counts)
        facts = Facts.of(meta["collection"], self.dimension, settings)
        self._snapshots = Snapshots(directory / SNAPSHOTS, facts, settings.snapshots_kept)
        self._view = vectors.view(self.rows)
        self._covered = 0
        self._rolled_back = False
        self._live: LiveIndex

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        settings: IndexSettings,
        dimension: int | None = None,
        model: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        repairing: bool = False,
    ) -> Self:
        """Open a collection, made when new (`dimension` is needed then), and recover it.

        Loads the newest snapshot that passes its checks and brings it up to the log; `progress` is
        told (rows done, rows to do). When it returns, HNSW and graph hold every live row. Only a
        repair opens what it has not ended to repair.

        Raises DirectoryError, FormatError, DimensionError or ModelError when this folder does not
        fit, CorruptError when what cannot be rebuilt is damaged.
        """
        if not repairing and (directory / DAMAGED).is_dir():
            raise CorruptError(f"{directory / DAMAGED}: a repair did not end: run it again")
        Aside(directory).clear()
        with ExitStack() as undo:
            catalog, dimension = open_catalog(directory, dimension, model)
            undo.callback(catalog.close)
            counts = catalog.counts()
            rows = len(counts)
            vectors = VectorLog(directory / VECTORS, dimension=dimension, rows=rows)
            undo.callback(vectors.close)
            vectors.wipe(catalog.rows_to_wipe())
            vectors.check(catalog.blocks(), rows, catalog.hashes)
            opened = cls(directory, catalog, counts, vectors, settings)
            opened._recover(progress)
            undo.pop_all()
        return opened

    def _recover(self, progress: Callable[[int, int], None] | None) -> None:
        self._live, self._covered = recovery.load_newest(
            self._snapshots,
            self._catalog,
            self.rows,
            lambda: LiveIndex(self.dimension, self.settings),
        )
        recovery.replay(self._live, self.vectors, self.counts, progress)

    def name_model(self, model: str) -> None:
        """Name the embedding model of a collection that has none, durably."""
        self._catalog.set_meta({"model": model})
        self.model = model

    @property
    def rows(self) -> int:
        """Rows in the log; they are the labels 0 .. rows - 1."""
        return self._counts.rows

    @property
    def images(self) -> int:
        """Live images."""
        return self._images

    @property
    def positions(self) -> Mapping[str, int]:
        """Next offset of each source partition, as the last `log` left it."""
        return MappingProxyType(self._positions)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [rows, d], read-only, memory-mapped; zeros for a dead row."""
        if len(self._view) != self.rows:
            self._view = self._log.view(self.rows)
        return self._view

    @property
    def vectors_path(self) -> Path:
        """The file that `vectors` maps."""
        return self._log.path

    @property
    def k(self) -> int:
        """Neighbours that are kept of a row."""
        return self.settings.k

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """int32 [rows, k], best first; -1 where there is none."""
        return self._live.graph.neighbours

    @property
    def similarity(self) -> NDArray[np.float32]:
        """float32 [rows, k], the cosine to each neighbour; -2 where there is none."""
        return self._live.graph.similarity

    @property
    def graph_changes(self) -> int:
        """Rises whenever `neighbours` or `similarity` change."""
        return self._live.graph_changes

    def linked(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` live and have been taken into the graph, bool as `rows`."""
        return self._live.linked(rows) & (self.counts[rows] > 0)

    @property
    def counts(self) -> NDArray[np.int32]:
        """int32 [rows]: images that share the row; 0 when it is dead."""
        return self._counts.view

    @property
    def leftovers(self) -> Leftovers:
        """What dead rows leave behind."""
        return Leftovers(self, self._live, self._log, self._catalog, self._snapshots)

    @property
    def rows_since_snapshot(self) -> int:
        """Rows of the log that a start would have to insert again."""
        return self.rows - self._covered

    def log(
        self,
        writes: Sequence[NewImage | Erasure],
        positions: Mapping[str, int],
        also: Also | None = None,
    ) -> Logged:
        """Protocol step 3: make a batch and its source offsets durable, all or nothing.

        `also` writes to the caller's own tables in the same transaction, told what is being logged.
        When `log` returns, nothing of it can be lost; when it raises, nothing of it was taken, but
        see `doubtful`.
        Raises DimensionError or VectorError (with the id) before anything is written, OSError or
        sqlite3.Error when the disk does not take it.
        """
        new = [write for write in writes if isinstance(write, NewImage)]
        vectors = stack(
            [image.vector for image in new], [image.id for image in new], self.dimension
        )
        hashes = row_hashes(vectors)
        plan = plan_log(
            writes,
            hashes,
            first_row=self.rows,
            row_of_id=self._catalog.rows_of_ids(write.id for write in writes),
            row_of_hash=self._catalog.rows_of_hashes(hashes),
            count_of_row=lambda row: int(self.counts[row]),
        )
        blocks: dict[int, int] = {}
        if writes or positions:
            blocks = self._commit(plan, vectors[plan.new_positions], positions, also)
        return self._take(plan, positions, blocks)

    def _commit(
        self,
        plan: LogPlan,
        vectors: NDArray[np.float32],
        positions: Mapping[str, int],
        also: Also | None,
    ) -> dict[int, int]:
        """Make it durable; the checksums of the blocks of the log that change with it."""
        logged = _logged(plan)
        blocks = self._log.changed_blocks(plan.first_row, vectors, logged.dead_rows)
        self._log.write(plan.first_row, vectors)
        self._log.sync()
        with self._catalog.transaction(durable=True) as db:
            self._catalog.apply(db, plan, positions, blocks)
            if also is not None:
                also(db, logged)
            reach("3b")
        reach("3c")
        return blocks

    def _take(
        self, plan: LogPlan, positions: Mapping[str, int], blocks: Mapping[int, int]
    ) -> Logged:
        """Follow in memory what was committed."""
        logged = _logged(plan)
        self._log.take_blocks(blocks)
        self._log.wipe(logged.dead_rows)
        self._positions.update(positions)
        self._images += plan.images_gained()
        self._counts.resize(plan.first_row + len(plan.new_hashes))
        self.counts[list(plan.counts)] = list(plan.counts.values())
        self._live.resize(self.rows)
        return logged

    def insert(self, rows: NDArray[np.int64]) -> None:
        """Protocol step 4 for new rows: into HNSW, and into the graph on both sides.

        Dead rows and rows that are in already are passed over.
        """
        self.begin_insert(rows)
        self._live.end_inserts(self.vectors)

    def begin_insert(self, rows: NDArray[np.int64]) -> None:
        """As `insert`, but HNSW takes the rows in on another thread; `end_insert` does the rest.

        Blocks until HNSW is done with the batch before, if there is one. What is written to the log
        in between does no harm.
        """
        rows = np.asarray(rows, np.int64)
        self._live.begin_insert(self.vectors, rows[self.counts[rows] > 0])

    def begin_link(self) -> None:
        """Begin what `end_insert` does, on a third thread: who looks at the graph waits for it."""
        self._live.begin_link(self.vectors)

    def end_insert(self) -> None:
        """Take the batch that was begun first into the graph; blocks until HNSW is done with it.

        Where none is begun, or other work has ended it already, there is nothing to do.
        """
        self._live.end_insert(self.vectors)

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Protocol step 4 for dead rows: out of HNSW and graph; who listed one is searched again.

        Rows with images and rows that are out already are passed over.
        """
        rows = np.asarray(rows, np.int64)
        self._live.remove(self.vectors, rows[self.counts[rows] == 0])

    def refresh(self, limit: int) -> int:
        """Search again up to `limit` rows whose last search lies furthest back; how many needed it.

        A row that came early may want a later one that did not find it; this finds it. Call it
        while there is time, until it returns 0.
        """
        return self._live.refresh(self.vectors, limit)

    def row_of(self, ids: Sequence[str]) -> list[int | None]:
        """The row of each image; None for an unknown one."""
        found = self._catalog.rows_of_ids(ids)
        return [found.get(id_) for id_ in ids]

    def ids_of(self, rows: Sequence[int]) -> list[list[str]]:
        """The images of each row, by id; none for a dead row."""
        wanted = [int(row) for row in rows]
        found = self._catalog.ids_of_rows(wanted)
        return [found.get(row, []) for row in wanted]

    def writes_of(self, ids: Sequence[str]) -> list[NewImage | Erasure]:
        """What another index is to log so that it has of these images what this one has."""
        found = self._catalog.images_of_ids(ids)
        writes: list[NewImage | Erasure] = []
        for id_ in ids:
            if id_ in found:
                row, *words = found[id_]
                writes.append(NewImage(id_, self.vectors[row], *words))
            else:
                writes.append(Erasure(id_))
        return writes

    def iterate(self) -> Iterator[tuple[str, int]]:
        """Every live image and its row, by id, read page by page; writes may come in between."""
        return self._catalog.iterate()

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction for tables of the caller's own in the same catalog.

        Commits at the end of the block, rolls back when it raises, and is `doubtful` then.
        `durable=False` does not wait for the disk: it survives the death of the process, not a
        power loss.
        """
        try:
            with self._catalog.transaction(durable=durable) as connection:
                yield connection
        except BaseException:
            self._rolled_back = True
            raise

    @property
    def doubtful(self) -> bool:
        """Whether memory and disk may differ since something failed: close it and open it again.

        Not after a `log` that found no room: that left both as they were.
        """
        return self._rolled_back or self._catalog.failed or self._log.failed

    def ensure_schema(self, script: str) -> None:
        """Run `CREATE ... IF NOT EXISTS` statements for the caller's own tables."""
        self._catalog.run_script(script)

    def snapshot(self) -> SnapshotInfo:
        """Write HNSW and graph to the disk, so that the next start need not rebuild them.

        Raises SnapshotError or OSError when the disk does not take it; earlier ones stay then.
        """
        self._live.end_inserts(self.vectors)
        info = self._snapshots.write(self._live, self._last_hash())
        self._covered = info.rows
        return info

    def begin_snapshot(self) -> None:
        """As `snapshot`, but a child process writes it while the index goes on.

        What is written is the index of this moment; `end_snapshot` does the rest. Blocks until
        HNSW is done with what was begun, and for the fork: some ten milliseconds for every
        gigabyte. What either process then writes to is copied, page by page. Raises OSError when
        the system has no room for another process.
        """
        self._live.end_inserts(self.vectors)
        self._snapshots.begin(self._live, self._last_hash())

    @property
    def snapshot_under_way(self) -> bool:
        """Whether one was begun that did not end yet."""
        return self._snapshots.under_way

    def end_snapshot(self) -> SnapshotInfo | None:
        """What was written, once it is on the disk, None before; does not wait for it.

        Raises OSError when the disk did not take it; earlier ones stay then.
        """
        info = self._snapshots.end()
        if info is not None:
            self._covered = info.rows
        return info

    def scrub(self, found: scrub.Found) -> Iterator[int]:
        """Read all files again and compare them with their checksums; `found` hears of damage.

        Yields after each slice the bytes that it read, about; anything may be done with the
        collection in between. A damaged snapshot is taken out of use: the one before it serves the
        next start, and `rows_since_snapshot` tells that a new one is due.
        """
        yield from scrub.scrub_log(self._log, self, found)
        yield from scrub.scrub_database(self._catalog, Part.CATALOG, found)
        yield from scrub.scrub_snapshots(self._snapshots, self._set_aside, found)

    def _set_aside(self, snapshot: Path) -> None:
        self._snapshots.set_aside(snapshot)
        self._covered = min(self._covered, self._snapshots.rows())

    def _last_hash(self) -> str | None:
        [last] = self._catalog.hashes(self.rows - 1, self.rows) if self.rows else [None]
        return last.hex() if last else None

    def close(self) -> None:
        """Close the files, once or more. Takes no snapshot; nothing logged is lost without one.

        One that is under way is given up.
        """
        self._snapshots.give_up()
        self._live.close()
        self._catalog.close()
        self._log.close()


def _logged(plan: LogPlan) -> Logged:
    new_rows = np.arange(plan.first_row, plan.first_row + len(plan.new_hashes))
    return Logged(plan.writes, new_rows, np.array(plan.dead_rows(), np.int64))
