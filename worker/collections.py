"""The collections of a worker: opened on demand, the least recently used closed beyond a bound."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from index import (
    CollectionIndex,
    IndexSettings,
    SnapshotError,
    SnapshotInfo,
    reach_fault,
    remove_tree,
    sync_folder,
)
from index.database import reading
from index.opening import CATALOG
from worker import adopt, migration
from worker.amend import hold
from worker.blocking import Blocking
from worker.carry import forget_outboxes
from worker.clock import Clock
from worker.collection import Collection
from worker.edges import Edges
from worker.errors import RetryError, SettingsError
from worker.inherit import inherit
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.publish import Publisher
from worker.role import Role
from worker.settings import Settings
from worker.state import read_state
from worker.store.base import Lease

log = structlog.get_logger()

FOLDER = "collections"

# Begins the name of a folder that is being made; no collection's name begins so.
MAKING = ".making-"

# What hnswlib keeps of an element beside vector and links, and all else of an image in memory
# (measured by benchmarks/storage.py).
_BOOKS_BYTES = 290

MakeEdges = Callable[[], Edges]
MayClose = Callable[[Collection], bool]

# Hears of a collection that is about to be closed.
Closing = Callable[[Collection], object]


class Collections:
    """Opens, keeps and closes collections; owned by the ingest thread.

    What is in the list `closing` is told of each collection that is about to be closed.
    """

    def __init__(
        self,
        settings: Settings,
        lock: DirectoryLock,
        publisher: Publisher,
        make_edges: MakeEdges,
        metrics: Metrics,
        clock: Clock,
        role: Role,
        blocking: Blocking,
    ) -> None:
        self._role = role
        self._blocking = blocking
        self._settings = settings
        self._lock = lock
        self._publisher = publisher
        self._make_edges = make_edges
        self.closing: list[Closing] = []
        self._metrics = metrics
        self._clock = clock
        self._folder = settings.data_dir / FOLDER
        self._open: dict[str, Collection] = {}
        self._reserved: dict[str, Lease] = {}
        self._suspended: set[str] = set()
        self._snapshots_fail = False

    def __iter__(self) -> Iterator[Collection]:
        return iter(list(self._open.values()))

    def stored(self) -> list[str]:
        """The names of all collections in the data directory."""
        if not self._folder.is_dir():
            return []
        return sorted(
            path.name
            for path in self._folder.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )

    def follow(self) -> bool:
        """Whether a stored collection follows another worker's, as its catalog says. Raises
        `CorruptError`, `OSError`.
        """
        return any(_follows(self._folder / name / CATALOG) for name in self.stored())

    @property
    def serving(self) -> Iterator[Collection]:
        """The open collections that readers see: all but the second indexes."""
        return (collection for collection in self if collection.serves)

    def opened(self, name: str) -> Collection | None:
        """The collection if it is open."""
        return self._open.get(name)

    def path_of(self, name: str) -> Path:
        """The folder of a collection, there or not."""
        return self._folder / name

    def find(self, name: str) -> Collection | None:
        """The collection, opened if it is on disk; None if it never was. Raises as `get`."""
        if name not in self._open:
            self._lock.check()
            self._blocking.run(lambda: migration.end_switch(self._folder, name))
            if not (self._folder / name).is_dir():
                return None
        return self.get(name)

    def indexes_of(self, name: str) -> list[Collection]:
        """The collection, if it ever was, and its second index where it migrates; opened."""
        first = self.find(name)
        second = None
        if first is not None and first.migration is not None:
            second = self.find(migration.second_of(name))
        return [found for found in (first, second) if found is not None]

    def get(self, name: str, dimension: int | None = None, model: str | None = None) -> Collection:
        """The collection, opened or made (`dimension` is needed then) if it is not open.

        Blocks for as long as recovery takes. Raises `LeaseError` if another worker holds it, and
        `OSError` if the data directory is not the one that is locked, in which cases nothing was
        made; what `CollectionIndex.open` raises.
        """
        collection = self._open.get(name)
        if collection is None:
            collection = self._open[name] = self._load(name, dimension, model)
            self._reserved.pop(name, None)  # it has a newer lease, or none
        collection.used_at = self._clock.monotonic()
        return collection

    def _load(self, name: str, dimension: int | None, model: str | None) -> Collection:
        directory = self._folder / name
        self._lock.check()
        self._blocking.run(lambda: migration.end_switch(self._folder, name))
        if not directory.is_dir():
            if not migration.is_second(name):
                self.reserve(name)
            self._make(directory, dimension, model)
        for folder in (self._folder, self._folder.parent):
            sync_folder(folder)  # also where that failed when it was made
        settings = index_settings(self._settings)
        index = self._blocking.run(lambda: CollectionIndex.open(directory, settings=settings))
        try:
            collection = self._recovered(name, index)
        except BaseException:
            index.close()
            raise
        log.info("collection open", collection=name, images=index.images, rows=index.rows)
        return collection

    def _recovered(self, name: str, index: CollectionIndex) -> Collection:
        edges, join_probability = self._make_edges(), self._settings.join_probability
        collection = self._blocking.run(
            lambda: Collection(name, index, edges, self._clock, join_probability)
        )
        if not collection.serves:
            self._give_up_switch(collection)
            return collection
        if collection.migration is None and migration.second_of(name) not in self._open:
            # Left by a migration that was cancelled, or a compaction that did not end.
            self.remove(migration.second_of(name))
        if self._role.standing_by:
            collection.follow()
            self._blocking.run(collection.recover)
            return collection
        if collection.state.followed:
            raise SettingsError(
                f"standby: False: {str(index.directory)!r} follows another worker and has not taken"
                " over; start it with standby"
            )
        self._blocking.run(lambda: self._go_on(collection))
        try:
            self._publisher.renew(collection)
        except RetryError as error:
            log.warning("no lease yet", collection=name, error=str(error))
        return collection

    def _go_on(self, collection: Collection) -> None:
        """Go on where the process that had it ended."""
        # First, so that what recovery assigns joins the clusters of that run.
        adopt.resume(collection, collection.runs / adopt.ADOPTING)
        collection.recover()
        hold(collection, self._clock.time())

    def _give_up_switch(self, second: Collection) -> None:
        """What a process that died before M6 made of a run is made anew."""
        forget_outboxes(second)
        if second.state.adopting:
            with second.index.transaction(durable=True) as connection:
                second.set_state(connection, adopting=0)
            shutil.rmtree(second.runs / adopt.ADOPTING, ignore_errors=True)

    def _make(self, directory: Path, dimension: int | None, model: str | None) -> None:
        """Make a new collection's folder: whole, or not there at all."""
        aside = directory.with_name(MAKING + directory.name)
        remove_tree(aside)
        settings = index_settings(self._settings)
        CollectionIndex.open(aside, settings=settings, dimension=dimension, model=model).close()
        reach_fault("make")
        aside.rename(directory)

    def take_over(self, name: str, lease: Lease) -> Collection | None:
        """Serve a collection that was followed, under its `lease`; what readers see is kept.

        None if there is no such collection yet; the lease is kept for it.
        Blocks for as long as it takes to read that. Raises `RetryError`; call it again then.
        """
        collection = self.find(name)
        if collection is None:
            self._reserved[name] = lease
            return None
        if lease.epoch <= collection.state.epoch:  # the store has lost what it had
            lease = self._publisher.claim(name, collection.state.epoch)
        if collection.following:
            inherited = inherit(collection, self._publisher.shown(name), self._clock.time())
            collection.recover()
            hold(collection, self._clock.time())
            log.info("inherited", collection=name, images=inherited.images)
            if inherited.missing:
                log.warning("shown and not here", collection=name, images=inherited.missing)
        self._publisher.attach(collection, lease)
        return collection

    def reserve(self, name: str) -> None:
        """Claim a collection that need not exist yet. Raises `LeaseError` if another holds it."""
        if name in self._open or self._role.standing_by:
            return
        try:
            self._reserved[name] = self._publisher.claim(name)
        except RetryError as error:
            log.warning("no lease yet", collection=name, error=str(error))

    def renew_reserved(self) -> None:
        """Keep the claims on collections that are not open."""
        for name in [name for name in self._reserved if name in self._open]:
            del self._reserved[name]
        for name in list(self._reserved):
            self.reserve(name)

    @property
    def leases(self) -> list[Lease]:
        """Those that are held, also of collections that are not open, or not now."""
        reserved = [lease for name, lease in self._reserved.items() if name not in self._open]
        held = (collection.lease for collection in self.serving)
        return [*reserved, *(lease for lease in held if lease is not None)]

    def let_go(self) -> None:
        """Forget all leases, so that each is claimed anew; they lapse if none is."""
        self._reserved.clear()
        for collection in self:
            self._publisher.suspend(collection)

    def release_reserved(self) -> None:
        """Give the claims on collections that are not open up."""
        for name, lease in self._reserved.items():
            if name not in self._open:
                self._publisher.give_back(lease)
        self._reserved.clear()

    def snapshot(self, collection: Collection) -> None:
        """Take a snapshot, if the disk takes it; blocks for as long as that takes."""
        collection.settle()
        with self._snapshot_errors(collection):
            self._note_snapshot(collection, collection.index.snapshot())

    def begin_snapshot(self, collection: Collection) -> None:
        """Begin a snapshot beside ingestion; `end_snapshots` ends it."""
        collection.settle()
        with self._snapshot_errors(collection):
            collection.index.begin_snapshot()

    def end_snapshots(self) -> bool:
        """End those begun that are on the disk now; whether none is under way any more."""
        begun = [collection for collection in self if collection.index.snapshot_under_way]
        for collection in begun:
            with self._snapshot_errors(collection):
                info = collection.index.end_snapshot()
                if info is not None:
                    self._note_snapshot(collection, info)
        return not any(collection.index.snapshot_under_way for collection in begun)

    def _has_ended(self, collection: Collection) -> bool:
        self.end_snapshots()
        return not collection.index.snapshot_under_way

    @contextmanager
    def _snapshot_errors(self, collection: Collection) -> Iterator[None]:
        try:
            yield
        except (OSError, SnapshotError) as error:
            self._metrics.disk_errors.inc()
            if not self._snapshots_fail:
                log.warning("no snapshot", collection=collection.name, error=str(error))
            self._snapshots_fail = True

    def _note_snapshot(self, collection: Collection, info: SnapshotInfo) -> None:
        self._snapshots_fail = False
        collection.times.snapshot = self._clock.time()
        self._metrics.last_snapshot.set(collection.times.snapshot)
        self._metrics.snapshot_seconds.observe(info.seconds)
        log.info("snapshot taken", collection=collection.name, rows=info.rows, seconds=info.seconds)

    def shrink(self, may_close: MayClose) -> None:
        """Close the least recently used collections beyond the bounds, where `may_close`."""
        if len(self._open) <= 1 or not self._too_much():
            return
        for collection in sorted(self._open.values(), key=lambda c: c.used_at)[:-1]:
            if may_close(collection):
                self.close(collection)
                if not self._too_much():
                    return

    def close(self, collection: Collection) -> None:
        """Take a snapshot, give up the lease and close the files."""
        collection.settle()
        for hear in self.closing:
            hear(collection)
        if collection.index.rows_since_snapshot:
            self.snapshot(collection)
        self.abandon(collection)

    def abandon(self, collection: Collection) -> None:
        """Give up the lease and close the files; the next opening recovers from the log."""
        self._publisher.release(collection)
        self._forget(collection)

    def remove(self, name: str) -> None:
        """Close a second index and remove it from the disk."""
        collection = self._open.get(name)
        if collection is not None:
            self._forget(collection)
        remove_tree(self._folder / name)

    def switch(self, first: Collection, second: Collection) -> Collection:
        """M6 to M8: `second` takes the place of `first`, whose lease is kept; opened anew.

        Blocks for as long as it takes to open it.
        """
        if second.index.rows_since_snapshot:
            self.begin_snapshot(second)
            self._blocking.until(lambda: self._has_ended(second))
        lease = self._publisher.suspend(first)
        if lease is not None:
            self._reserved[first.name] = lease
        self._forget(first)
        self._forget(second)
        self._suspended.add(first.name)  # should the disk fail now
        self._blocking.run(lambda: migration.switch(self._folder, first.name))
        collection = self.get(first.name)
        self._suspended.discard(first.name)
        return collection

    def suspend_doubtful(self) -> None:
        """Close what may differ from the disk and keep the leases; `reopen` is to follow."""
        for collection in self:
            if collection.index.doubtful:
                lease = self._publisher.suspend(collection)
                if lease is not None:
                    self._reserved[collection.name] = lease
                self._suspended.add(collection.name)
                self._forget(collection)

    def reopen(self) -> list[Collection]:
        """Recover from the disk what was suspended. Raises as `get` does; call it again then."""
        opened = []
        for name in sorted(self._suspended):
            opened.append(self.get(name))
            self._suspended.remove(name)
        return opened

    def _forget(self, collection: Collection) -> None:
        del self._open[collection.name]
        collection.closed = True
        collection.index.close()

    def _too_much(self) -> bool:
        return len(self._open) > self._settings.open_collections or (
            sum(map(memory_bytes, self._open.values())) > self._settings.memory_bytes
        )


def clear_unmade(folder: Path) -> None:
    """Remove what a kill left of collections that were made, or restored, in `folder`: it may have
    copies of what is erased. For who holds the lock of the data directory. Raises OSError.
    """
    for path in folder.glob(f"{MAKING}*"):
        shutil.rmtree(path)


def memory_bytes(collection: Collection) -> int:
    """An estimate of what an open collection takes: HNSW with its vectors, graph, assignments."""
    index = collection.index
    links = 8 * index.settings.m
    per_row = links + 4 * index.dimension + 8 * index.settings.k + _BOOKS_BYTES
    return 2**16 + index.rows * per_row


def index_settings(settings: Settings) -> IndexSettings:
    """How collections are indexed."""
    return IndexSettings(
        k=settings.neighbours,
        m=settings.hnsw_m,
        ef_construction=settings.hnsw_ef_construction,
        ef_search=settings.hnsw_ef_search,
        threads=settings.threads,
    )


def _follows(catalog: Path) -> bool:
    with reading(catalog) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
            return False  # of a process that was killed before anything was stored
        return bool(read_state(db).followed)
