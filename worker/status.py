"""What `shoal status` and the gauges say of the collections."""

from collections.abc import Sequence

import numpy as np

from worker.assignments import NONE
from worker.collection import Collection
from worker.metrics import Metrics


def status(collection: Collection, lag: int, reclustering: bool, held: bool) -> dict[str, object]:
    """What is published beside the summary. Times are seconds since 1970, None for never."""
    state, times = collection.state, collection.times
    return {
        "rows": collection.index.rows,
        "provisional": _provisional(collection),
        "unpublished": len(collection.outbox),
        "lag": lag,
        "reclustering": reclustering,
        "held_run": held,
        "last_ingest": times.ingested,
        "last_publish": times.published,
        "last_recluster": state.clustered_at or None,
        "last_snapshot": times.snapshot,
        "holder": collection.lease.holder if collection.lease else None,
    }


def measure(metrics: Metrics, collections: Sequence[Collection], lag: int, lost: int) -> None:
    """Set the gauges over all open collections."""
    metrics.collections.set(len(collections))
    metrics.live_images.set(sum(c.images for c in collections))
    metrics.rows.set(sum(c.index.rows for c in collections))
    metrics.clusters.set(sum(_clusters(c) for c in collections))
    metrics.provisional.set(sum(map(_provisional, collections)))
    metrics.unpublished.set(sum(len(c.outbox) for c in collections))
    metrics.lag.set(lag)
    metrics.lost.inc(max(0, lost - metrics.lost_seen))
    metrics.lost_seen = lost


def _clusters(collection: Collection) -> int:
    live = collection.assignments.labels[collection.index.counts > 0]
    return int(np.count_nonzero(np.bincount(live[live != NONE])))


def _provisional(collection: Collection) -> int:
    counts = collection.index.counts
    return int(counts[collection.assignments.provisional & (counts > 0)].sum())
