"""What `shoal status` and the gauges say of the collections."""

from typing import Any

import numpy as np
import structlog

from worker.assignments import NONE
from worker.backup.schedule import Backups
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.compacting import Compacting
from worker.coverage import Coverages
from worker.errors import RetryError
from worker.metrics import Metrics
from worker.migration import second_of
from worker.publish import Publisher
from worker.purging import Purging
from worker.run_queue import RunQueue
from worker.sources.base import Source
from worker.takeover import Takeover

log = structlog.get_logger()

_SECONDS = 2.0


class StatusBoard:
    """Sets the gauges, and publishes the status of each collection where it has news."""

    def __init__(
        self,
        source: Source,
        collections: Collections,
        publisher: Publisher,
        queue: RunQueue,
        takeover: Takeover,
        coverages: Coverages,
        purging: Purging,
        compacting: Compacting,
        backups: Backups,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._source = source
        self._collections = collections
        self._publisher = publisher
        self._queue = queue
        self._takeover = takeover
        self._coverages = coverages
        self._purging = purging
        self._compacting = compacting
        self._backups = backups
        self._metrics = metrics
        self._clock = clock
        self._due = 0.0
        self._told: dict[str, dict[str, object]] = {}

    def show(self, *, at_once: bool = False) -> None:
        """Tell how all collections are, now and then, or `at_once`."""
        now = self._clock.monotonic()
        if now < self._due and not at_once:
            return
        self._due = now + _SECONDS
        lag = sum(self._source.lag().values())
        self._measure(lag)
        try:
            for collection in self._collections.serving:
                self._publish(collection, lag)
        except RetryError as error:
            log.debug("status not published", error=str(error))

    def _publish(self, collection: Collection, lag: int) -> None:
        told = self._status(collection, lag)
        # The lag of the source is no news of each collection.
        news = told | {"lag": bool(lag)}
        if self._told.get(collection.name) != news:
            self._publisher.put_status(collection, told)
            self._told[collection.name] = news

    def _status(self, collection: Collection, lag: int) -> dict[str, object]:
        """What is published beside the summary. Times are seconds since 1970, None for never."""
        state, times = collection.state, collection.times
        recall = collection.recall.recall
        backup = self._backups.last
        compacted = self._compacting.copied_ratio(collection)
        return {
            "rows": collection.index.rows,
            "provisional": _provisional(collection),
            "unpublished": len(collection.outbox),
            "lag": lag,
            "reclustering": self._queue.busy(collection),
            "erasures_waiting": collection.erasures.waiting,
            "compacted": None if compacted is None else round(compacted, 3),
            "held_run": self._takeover.is_held(collection),
            "migration": self._migration(collection),
            "last_ingest": times.ingested,
            "last_publish": times.published,
            "last_recluster": state.clustered_at or None,
            "last_snapshot": times.snapshot,
            "graph_recall": round(recall.ratio, 4) if recall else None,
            "graph_recall_rows": recall.rows if recall else 0,
            "last_backup": backup.begun if backup else None,
            "backup_failure": self._backups.failure,
            "holder": collection.lease.holder if collection.lease else None,
        }

    def _migration(self, collection: Collection) -> dict[str, Any] | None:
        """How a migration to another model stands; None where there is none."""
        migration, coverage = collection.migration, self._coverages.shown(collection)
        if migration is None:
            return None
        shared = coverage.shared if coverage else 0
        return {
            "model": migration.model,
            "shared": shared,
            "missing": coverage.missing if coverage else collection.images,
            "new": coverage.second - shared if coverage else 0,
            "reclustering": self._queue.running == second_of(collection.name),
            "held": migration.held,
        }

    def _measure(self, lag: int) -> None:
        """Set the gauges over all open collections."""
        metrics, collections = self._metrics, list(self._collections.serving)
        lost = self._source.lost_records
        metrics.collections.set(len(collections))
        metrics.live_images.set(sum(c.images for c in collections))
        metrics.rows.set(sum(c.index.rows for c in collections))
        metrics.clusters.set(sum(map(_clusters, collections)))
        metrics.provisional.set(sum(map(_provisional, collections)))
        metrics.unpublished.set(sum(len(c.outbox) for c in collections))
        migrations = [m for m in map(self._migration, collections) if m is not None]
        held = sum(bool(m["held"]) for m in migrations)
        metrics.held_runs.set(sum(map(self._takeover.is_held, collections)) + held)
        metrics.migrations.set(len(migrations))
        metrics.migration_missing.set(sum(m["missing"] for m in migrations))
        metrics.rows_since_snapshot.set(
            max((c.index.rows_since_snapshot for c in collections), default=0)
        )
        metrics.lag.set(lag)
        self._measure_erasures(list(self._collections))
        metrics.lost.inc(max(0, lost - metrics.lost_seen))
        metrics.lost_seen = lost

    def _measure_erasures(self, collections: list[Collection]) -> None:
        metrics, waiting = self._metrics, self._purging.waiting()
        metrics.erasures_waiting.set(sum(found.number for found in waiting))
        metrics.oldest_erasure.set(min((found.oldest for found in waiting), default=0.0))
        leftovers = [c.index.leftovers for c in collections]
        deleted, elements = (sum(x.deleted for x in leftovers), sum(x.elements for x in leftovers))
        metrics.deleted_ratio.set(_ratio(deleted, elements))
        dead = sum(int(np.count_nonzero(x.dead())) for x in leftovers)
        metrics.dead_ratio.set(_ratio(dead, sum(c.index.rows for c in collections)))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _clusters(collection: Collection) -> int:
    live = collection.assignments.labels[collection.index.counts > 0]
    return int(np.count_nonzero(np.bincount(live[live != NONE])))


def _provisional(collection: Collection) -> int:
    counts = collection.index.counts
    return int(counts[collection.assignments.provisional & (counts > 0)].sum())
