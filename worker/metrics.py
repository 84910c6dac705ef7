"""Every metric, declared once with its meaning. Names follow Prometheus: base units, `_total`.

No label carries an image, cluster or collection: gauges are over all open collections unless
they say otherwise. `Metrics` owns its registry, so that tests make as many as they like.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from worker.errors import Reason

STEPS = ("poll", "decode", "log", "index", "assign", "publish", "commit")
STAGES = ("view", "graph", "features", "edges", "levels", "cut", "match", "correct", "total")
TRIGGERS = ("first", "images", "period", "demand")
OUTCOMES = ("added", "unchanged", "replaced", "erased", "absent")
CORRECTION_KINDS = ("same", "apart", "belongs", "name", "uncorrect")
RECLUSTER_RESULTS = ("published", "held", "failed", "discarded")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600)
_SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000, 100_000)


class ClusterSizes(Collector):
    """A histogram of the last run's cluster sizes, replaced as a whole by each run."""

    def __init__(self) -> None:
        self._sizes = np.empty(0, np.int64)

    def show(self, sizes: NDArray[np.int64]) -> None:
        """Take the sizes of all clusters, int64 [clusters]."""
        self._sizes = sizes

    def collect(self) -> Iterator[Metric]:
        """The one metric."""
        sizes = self._sizes
        buckets = [(str(float(limit)), float((sizes <= limit).sum())) for limit in _SIZES]
        yield HistogramMetricFamily(
            "shoal_cluster_images",
            "Images of each cluster of the last run.",
            buckets=[*buckets, ("+Inf", float(len(sizes)))],
            sum_value=float(sizes.sum()),
        )


class Metrics:
    """The worker's metrics on a registry of their own. Safe to read from another thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lost_seen = 0
        ProcessCollector(registry=self.registry)
        self._ingest()
        self._state()
        self._recluster()
        self._corrections()
        self._erasures()
        self._publish()
        self._drift()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of the step `name`, or of a part of it, also when it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.step_seconds.labels(name).observe(time.perf_counter() - started)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def _ingest(self) -> None:
        self.build = Info("shoal_build", "Version of the worker.", registry=self.registry)
        self.records = self._counter("shoal_records_total", "Records polled from the source.")
        self.images = self._counter(
            "shoal_writes_total", "Records taken, by what they did to the catalog.", "outcome"
        )
        for outcome in OUTCOMES:
            self.images.labels(outcome)
        self.skipped = self._counter(
            "shoal_replayed_records_total", "Records skipped because they were taken before."
        )
        self.dead_letters = self._counter(
            "shoal_dead_letters_total", "Records refused, by reason.", "reason"
        )
        for reason in Reason:
            self.dead_letters.labels(reason)
        self.lost = self._counter(
            "shoal_lost_records_total",
            "Records that the source dropped before they were read. Must stay 0.",
        )
        self.step_seconds = self._histogram(
            "shoal_step_seconds",
            "Time of one batch in each step of the protocol.",
            _SECONDS,
            "step",
        )
        for step in STEPS:
            self.step_seconds.labels(step)
        self.batch_images = self._histogram(
            "shoal_batch_records", "Records in a batch.", tuple(float(size) for size in _SIZES)
        )
        self.visible_seconds = self._histogram(
            "shoal_visible_seconds",
            "Time from a record's time stamp until its cluster is in Redis.",
            _SECONDS,
        )
        self.lag = self._gauge(
            "shoal_lag_records", "Records in the source that were not read yet, all partitions."
        )
        self.paused = self._gauge(
            "shoal_paused",
            "1 while reading is paused: too much waits for Redis, the disk fails, or dead letters"
            " cannot be kept.",
        )
        self.last_ingest = self._gauge(
            "shoal_last_ingest_timestamp_seconds", "When a batch was last logged."
        )

    def _state(self) -> None:
        self.collections = self._gauge("shoal_collections", "Collections that are open.")
        self.live_images = self._gauge("shoal_images", "Live images.")
        self.rows = self._gauge("shoal_rows", "Rows of the vector logs (distinct vectors).")
        self.clusters = self._gauge("shoal_clusters", "Live clusters.")
        self.provisional = self._gauge(
            "shoal_provisional_images", "Images whose cluster no full run has confirmed yet."
        )
        self.snapshot_seconds = self._histogram(
            "shoal_snapshot_seconds", "Time to take a snapshot.", _LONG_SECONDS
        )
        self.last_snapshot = self._gauge(
            "shoal_last_snapshot_timestamp_seconds", "When a snapshot was last completed."
        )
        self.ready = self._gauge("shoal_ready", "1 once replayed and serving.")
        self.disk_errors = self._counter(
            "shoal_disk_errors_total", "Writes that the disk did not take; they are repeated."
        )

    def _recluster(self) -> None:
        self.reclusterings = self._counter(
            "shoal_reclusterings_total", "Reclusterings, by how they ended.", "result"
        )
        for result in RECLUSTER_RESULTS:
            self.reclusterings.labels(result)
        self.triggers = self._counter(
            "shoal_recluster_triggers_total", "Reclusterings started, by cause.", "trigger"
        )
        for trigger in TRIGGERS:
            self.triggers.labels(trigger)
        self.recluster_seconds = self._histogram(
            "shoal_recluster_seconds", "Time of each stage of a run.", _LONG_SECONDS, "stage"
        )
        for stage in STAGES:
            self.recluster_seconds.labels(stage)
        self.reclustering = self._gauge("shoal_reclustering", "Runs in progress.")
        self.last_recluster = self._gauge(
            "shoal_last_recluster_timestamp_seconds", "When a run was last published."
        )
        self.expected_f = self._gauge(
            "shoal_expected_f_ratio",
            "The last run's own estimate of its pairwise F, 0 to 1. Low: the model is unsure.",
        )

    def _corrections(self) -> None:
        self.corrections = self._counter(
            "shoal_corrections_total", "What people said of images and clusters, by kind.", "kind"
        )
        for kind in CORRECTION_KINDS:
            self.corrections.labels(kind)
        self.contradicted = self._gauge(
            "shoal_contradicted_corrections",
            "Corrections that the last run left out because newer ones contradict them.",
        )

    def _erasures(self) -> None:
        self.erasures_waiting = self._gauge(
            "shoal_erasures_waiting",
            "Erased and replaced images of which copies may be left, in all collections.",
        )
        self.oldest_erasure = self._gauge(
            "shoal_oldest_erasure_timestamp_seconds",
            "When the first of them was erased or replaced; 0: none waits.",
        )
        self.purges = self._counter(
            "shoal_purges_total", "Times that a collection was rid of what was erased."
        )
        self.deleted_ratio = self._gauge(
            "shoal_hnsw_deleted_ratio",
            "Share of HNSW that is deleted elements; they go with the next purge.",
        )
        self.dead_ratio = self._gauge(
            "shoal_dead_rows_ratio",
            "Share of the rows that have no image any more: holes or zeros in the vector logs.",
        )

    def _publish(self) -> None:
        self.published = self._counter(
            "shoal_published_images_total", "Image states written to Redis."
        )
        self.unpublished = self._gauge(
            "shoal_unpublished_images", "Images whose new state is not in Redis yet."
        )
        self.store_errors = self._counter(
            "shoal_store_errors_total", "Writes that Redis did not take; they are repeated."
        )
        self.rebuilds = self._counter(
            "shoal_store_rebuilds_total", "Times a collection was written to Redis as a whole."
        )
        self.last_publish = self._gauge(
            "shoal_last_publish_timestamp_seconds", "When Redis last took a write."
        )

    def _drift(self) -> None:
        self.changed_ratio = self._gauge(
            "shoal_drift_changed_ratio", "Share of images that changed cluster in the last run."
        )
        self.merged_ratio = self._gauge(
            "shoal_drift_merged_ratio", "Share of images that the last run moved by merging."
        )
        self.split_ratio = self._gauge(
            "shoal_drift_split_ratio", "Share of images that the last run moved by splitting."
        )
        self.rand_index = self._gauge(
            "shoal_drift_adjusted_rand_index",
            "Adjusted Rand index of the last run against the clusters before; 1: nothing moved.",
        )
        self.nmi = self._gauge(
            "shoal_drift_nmi_ratio",
            "Normalised mutual information of the last run and the clusters before.",
        )
        self.singleton_ratio = self._gauge(
            "shoal_drift_singleton_ratio", "Share of images that are alone in their cluster."
        )
        self.largest_ratio = self._gauge(
            "shoal_drift_largest_cluster_ratio", "Share of images in the largest cluster."
        )
        self.mean_confidence = self._gauge(
            "shoal_drift_mean_confidence_ratio", "Mean confidence of the assignments."
        )
        self.overturned_ratio = self._gauge(
            "shoal_drift_overturned_ratio",
            "Share of provisional assignments that the last run changed.",
        )
        self.cluster_sizes = ClusterSizes()
        self.registry.register(self.cluster_sizes)
