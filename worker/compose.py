"""Puts a worker together from its settings."""

from collections.abc import Sequence
from typing import Any

from index import ImageWrite
from index import warm_up as warm_up_graph
from worker.answering import Answering
from worker.backup.restore import check_restored
from worker.backup.schedule import Backups
from worker.blocking import Blocking
from worker.clock import Clock, SystemClock
from worker.collection import Collection
from worker.collections import FOLDER, Collections, clear_unmade
from worker.compacting import Compacting
from worker.connections import field_names, letters_path
from worker.coverage import Coverages
from worker.dead_letters.base import DeadLetters
from worker.dead_letters.limits import DeadLetterLimits, LimitSettings
from worker.decode import Decoder, DecodeSettings
from worker.edges import Edges, ModelEdges
from worker.edges import warm_up as warm_up_edges
from worker.errors import SettingsError
from worker.evictions import Evictions
from worker.holder import holder
from worker.ingest import Ingest
from worker.leases import Leases
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.migrating import Migrating
from worker.migration import end_switches
from worker.outage import Outage
from worker.parts import Parts
from worker.pause import Pause
from worker.positions import Positions
from worker.publish import Publisher
from worker.publishing import Publishing
from worker.purge import Tools
from worker.purging import Purging
from worker.recall import RecallWatch
from worker.recluster.schedule import ScheduleSettings
from worker.recluster.supervisor import Runner, Supervisor
from worker.reclustering import Reclustering
from worker.repair import check_repaired
from worker.requests import Mailbox
from worker.role import Role
from worker.run_queue import RunQueue
from worker.scrub import ScrubWatch
from worker.service import Worker
from worker.settings import Settings
from worker.shifts import ShiftWatch
from worker.sorting import Sorter
from worker.sources.base import Source
from worker.standby import Standby
from worker.status import StatusBoard
from worker.store.base import Store
from worker.takeover import Takeover
from worker.tracing import NoTracing, Tracing


def make_worker(
    settings: Settings,
    source: Source,
    dead_letters: DeadLetters,
    store: Store,
    metrics: Metrics,
    clock: Clock | None = None,
    edges: Edges | None = None,
    supervisor: Runner | None = None,
    tracing: Tracing | None = None,
) -> Worker:
    """A worker over these parts; it takes the lock of the data directory.

    `edges` and `supervisor` are the model's by default, and nothing is traced. Raises
    `DataDirectoryError`.
    """
    return Worker(
        make_parts(
            settings, source, dead_letters, store, metrics, clock, edges, supervisor, tracing
        )
    )


def make_parts(
    settings: Settings,
    source: Source,
    dead_letters: DeadLetters,
    store: Store,
    metrics: Metrics,
    clock: Clock | None = None,
    edges: Edges | None = None,
    supervisor: Runner | None = None,
    tracing: Tracing | None = None,
) -> Parts:
    """What `make_worker` makes a worker of."""
    clock = clock or SystemClock()
    tracing = tracing or NoTracing()
    check_restored(settings.data_dir)
    check_repaired(settings.data_dir)
    lock = DirectoryLock(settings.data_dir)
    role = Role(standing_by=settings.standby)
    end_switches(settings.data_dir / FOLDER)
    clear_unmade(settings.data_dir / FOLDER)
    publisher = Publisher(store, holder(settings.data_dir), clock, metrics)
    make_edges = _model_edges(settings) if edges is None else lambda: edges
    queue = RunQueue(_schedule_settings(settings), clock)
    blocking = Blocking(clock)
    collections = Collections(settings, lock, publisher, make_edges, metrics, clock, role, blocking)
    positions = Positions(settings.data_dir / "positions.sqlite")
    publishing = Publishing(collections, publisher, metrics, clock, role)
    pause = Pause(source, metrics)
    sorter = Sorter(
        Decoder(_decode_settings(settings)),
        DeadLetterLimits(
            LimitSettings(max_ratio=settings.bad_ratio, max_consecutive=settings.bad_consecutive)
        ),
        collections,
        positions,
        metrics,
    )
    takeover = Takeover(queue, metrics, clock, tracing)
    leases = Leases(collections, publisher, metrics, clock, settings.lease_seconds, role)
    standby = Standby(
        role,
        collections,
        publisher,
        source,
        positions,
        metrics,
        clock,
        settings.lease_seconds,
        settings.collection if settings.worker_count == 1 else None,
    )
    blocking.meanwhile += [leases.extend, standby.keep_claims]
    mailbox = Mailbox(settings.data_dir)
    backups = Backups(settings, mailbox, metrics, clock)
    purging = Purging(
        collections,
        Tools(
            collections,
            publisher,
            queue,
            mailbox,
            letters_path(settings.data_dir),
            field_names(settings),
            blocking.keep,
        ),
        metrics,
        clock,
        settings.erasure_seconds,
    )
    ingest = Ingest(
        source,
        sorter,
        dead_letters,
        collections,
        publishing,
        positions,
        pause,
        metrics,
        clock,
        settings.batch_records,
        role,
        tracing,
    )
    coverages = Coverages(collections, blocking, clock)
    migrating = Migrating(
        collections, coverages, queue, takeover, ingest.rest, blocking, metrics, clock
    )
    compacting = Compacting(
        collections, queue, takeover, ingest.rest, blocking, metrics, clock, role
    )

    def heard(collection: Collection, writes: Sequence[ImageWrite]) -> None:
        coverages.saw(collection, writes)
        compacting.saw(collection, writes)

    ingest.heard = heard
    ingest.at_rest = ShiftWatch(collections, metrics, clock).tick
    collections.closing += [queue.note, purging.note, migrating.note]
    runner = supervisor or Supervisor(settings.recluster_timeout_seconds)
    return Parts(
        settings=settings,
        source=source,
        ingest=ingest,
        publishing=publishing,
        collections=collections,
        leases=leases,
        blocking=blocking,
        evictions=Evictions(collections, publisher, metrics, clock, role),
        queue=queue,
        takeover=takeover,
        migrating=migrating,
        reclustering=Reclustering(
            settings, collections, queue, takeover, migrating, runner, metrics, clock, tracing
        ),
        answering=Answering(
            mailbox,
            collections,
            queue,
            takeover,
            backups,
            migrating,
            heard,
            metrics,
            clock,
            role,
        ),
        purging=purging,
        compacting=compacting,
        recall=RecallWatch(collections, metrics, clock),
        scrub=ScrubWatch(collections, positions, metrics, clock, settings.scrub_seconds),
        backups=backups,
        board=StatusBoard(
            source,
            collections,
            publisher,
            queue,
            takeover,
            coverages,
            purging,
            compacting,
            backups,
            metrics,
            clock,
        ),
        standby=standby,
        role=role,
        positions=positions,
        pause=pause,
        outage=Outage(collections, pause, lock, metrics),
        lock=lock,
        metrics=metrics,
        clock=clock,
    )


def _decode_settings(settings: Settings) -> DecodeSettings:
    return DecodeSettings(
        default_collection=settings.collection,
        max_record_bytes=settings.max_record_bytes,
        fields=field_names(settings),
    )


def _schedule_settings(settings: Settings) -> ScheduleSettings:
    return ScheduleSettings(
        period_seconds=settings.recluster_seconds,
        new_images=settings.recluster_images,
        first_images=settings.recluster_first_images,
        first_seconds=settings.recluster_first_seconds,
    )


def _model_edges(settings: Settings) -> Any:
    import torch

    from models import load_model
    from models.errors import ModelError

    # A batch is small: more threads would only take the cores from HNSW.
    torch.set_num_threads(1)
    try:
        model = load_model(settings.weights, "cpu")  # a batch is too small for a GPU
    except ModelError as error:
        raise SettingsError(f"weights: {error}") from error
    warm_up_edges(model)
    warm_up_graph()
    return lambda: ModelEdges(model, settings.told_granularity, settings.group_size)
