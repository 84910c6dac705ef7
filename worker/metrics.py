"""Every metric, declared once with its meaning. Names follow Prometheus: base units, `_total`.

No label carries an image or a cluster, and a collection only in the figures of `DRIFT` and in
`CLUSTER_SIZES`, in a bounded number of series (`worker.by_collection`). Gauges are over all open
collections unless they say otherwise. `Metrics` owns its registry, so that tests make as many as
they like.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from worker.by_collection import Figure, Figures, Sizes, Together
from worker.errors import Reason

STEPS = ("poll", "decode", "log", "index", "assign", "publish", "commit")
STAGES = ("view", "graph", "features", "edges", "levels", "cut", "match", "correct", "total")
TRIGGERS = ("first", "images", "period", "demand")
OUTCOMES = ("added", "unchanged", "replaced", "erased", "absent")
BACKUP_RESULTS = ("good", "failed")
DAMAGES = ("data", "spare")
CORRECTION_KINDS = ("same", "apart", "belongs", "name", "uncorrect")
METHODS = (
    "hi-lander",
    "hi-lander sized by linkage",
    "hi-lander (coordinate)",
    "average linkage of few images",
    "hi-lander cut by answers",
)
DEVICES = ("cpu", "cuda")
RECLUSTER_RESULTS = ("published", "held", "failed", "discarded")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600)
_SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000, 100_000)


# What tells whether the groups are good. Keys are fields of `Drift`, or what is put beside them.
DRIFT = (
    Figure(
        "images",
        "shoal_drift_images",
        "Images that the last run clustered.",
        "0 or more",
        "Far fewer than were sent: records are refused, or erased.",
        Together.SUM,
    ),
    Figure(
        "clusters",
        "shoal_drift_clusters",
        "Clusters that the last run made of them.",
        "0 or more",
        "Many more or fewer than before while the images are the same: groups fall apart or melt.",
        Together.SUM,
    ),
    Figure(
        "changed_share",
        "shoal_drift_changed_ratio",
        "Share of the images placed by the full run before that the last run moved to another"
        " cluster.",
        "0 to 1",
        "High: users see groups change that were settled.",
    ),
    Figure(
        "merge_mass",
        "shoal_drift_merged_ratio",
        "Share of those images that the last run brought to the larger part of a cluster.",
        "0 to 1",
        "High: clusters melt together; different things may share one now.",
    ),
    Figure(
        "split_mass",
        "shoal_drift_split_ratio",
        "Share of those images that the last run took from the larger part of their cluster.",
        "0 to 1",
        "High: clusters fall apart; one thing may be in several now.",
    ),
    Figure(
        "rand_index",
        "shoal_drift_adjusted_rand_index",
        "Adjusted Rand index of the last run against the clusters before, over those images.",
        "-0.5 to 1; 1: the same groups, 0: no more alike than by chance",
        "Low: the run groups the same images in another way, which large clusters weigh most in.",
    ),
    Figure(
        "nmi",
        "shoal_drift_nmi_ratio",
        "Normalised mutual information of the last run and the clusters before.",
        "0 to 1; 1: the same groups",
        "Low: as the Rand index, but small clusters weigh as much as large ones.",
    ),
    Figure(
        "overturned_share",
        "shoal_drift_overturned_ratio",
        "Share of the provisional assignments that the last run changed.",
        "0 to 1",
        "High: what a user sees at once is often not what stays; runs are too rare, or images new.",
    ),
    Figure(
        "singleton_share",
        "shoal_drift_singleton_ratio",
        "Share of images that are alone in their cluster.",
        "0 to 1",
        "Rising: images that belong together are not found to; the encoder or the data changed.",
    ),
    Figure(
        "largest_share",
        "shoal_drift_largest_cluster_ratio",
        "Share of images in the largest cluster.",
        "0 to 1",
        "High: a cluster has swallowed different things.",
        Together.WORST,
    ),
    Figure(
        "mean_confidence",
        "shoal_drift_mean_confidence_ratio",
        "Mean confidence of the assignments of the last run.",
        "0 to 1",
        "Falling: the model finds the images hard to tell apart.",
    ),
    Figure(
        "expected_f",
        "shoal_expected_f_ratio",
        "The last run's own estimate of its pairwise F.",
        "0 to 1",
        "Low: the model is unsure of this collection as a whole.",
    ),
    Figure(
        "encoder_shift",
        "shoal_drift_encoder_shift_ratio",
        "How much further than usual the newest quarter of the rows, 10,000 at most, is from lying"
        " among the old: the Kolmogorov-Smirnov distance of two distributions of similarity, that"
        " of the new rows to the nearest old one and that among the old, less the same of earlier"
        " rows.",
        "0 to 1; up to 0.08 in ordinary streams",
        "High: the encoder changed, or images of a new kind come.",
    ),
    Figure(
        "graph_recall",
        "shoal_graph_recall_ratio",
        "Share of the true nearest neighbours that the k-NN graph lists, over rows sampled lately.",
        "0 to 1; 1 up to 4,096 rows, beyond that 0.97 or more while the worker keeps up",
        "Low: runs do not see images that are near each other, and groups fall apart.",
    ),
    Figure(
        "graph_recall_rows",
        "shoal_graph_recall_rows",
        "Rows that the recall of the graph was measured on.",
        "0 to 1,024",
        "Below some hundreds: the recall says little yet.",
        Together.SUM,
    ),
    Figure(
        "contradicted",
        "shoal_contradicted_corrections",
        "Corrections that the last run left out because newer ones contradict them.",
        "0 or more",
        "Above 0: people disagree, and the older word has no effect.",
        Together.SUM,
    ),
    Figure(
        "truth_images",
        "shoal_truth_images",
        "Images of the labelled sample (`shoal truth`) that the last run clustered.",
        "0 or more",
        "Far fewer than the sample has: its ids are not those of the collection.",
        Together.SUM,
    ),
    Figure(
        "truth_pairwise_f",
        "shoal_truth_pairwise_f_ratio",
        "Pairwise F of the last run against the labelled sample.",
        "0 to 1; 1: groups and labels are the same",
        "Falling: pairs of images are wrongly together or apart, of large groups above all.",
    ),
    Figure(
        "truth_bcubed_f",
        "shoal_truth_bcubed_f_ratio",
        "BCubed F of the last run against the labelled sample.",
        "0 to 1; 1: groups and labels are the same",
        "Falling: the group of a typical image has others in it, or lacks some.",
    ),
)

# Beside them the size distribution: a histogram instead of one number.
CLUSTER_SIZES = Figure(
    "cluster_sizes",
    "shoal_cluster_images",
    "Images of each cluster of the last run, as a histogram.",
    "1 or more; buckets from 1 to 100,000",
    "Mass moves to the upper buckets: clusters melt together. To the lowest: they fall apart.",
    Together.SUM,
)


class Metrics:
    """The worker's metrics on a registry of their own. Safe to read from another thread.

    `named`: the collections whose figures have series of their own.
    """

    def __init__(self, named: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self.lost_seen = 0
        ProcessCollector(registry=self.registry)
        self._ingest()
        self._state()
        self._recluster()
        self._corrections()
        self._erasures()
        self._backups()
        self._publish()
        self._drift(named)

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
        self.rows_since_snapshot = self._gauge(
            "shoal_rows_since_snapshot",
            "Rows that a start would insert again, of the collection with the most.",
        )
        self.ready = self._gauge("shoal_ready", "1 once replayed and serving.")
        self.standby = self._gauge(
            "shoal_standby", "1 while it follows another worker, which serves."
        )
        self.disk_errors = self._counter(
            "shoal_disk_errors_total", "Writes that the disk did not take; they are repeated."
        )
        self.damaged_files = self._gauge(
            "shoal_damaged_files",
            "Files that were not what was written when they were last read again: `data` cannot be"
            " made again, `spare` can be done without.",
            "harm",
        )
        for harm in DAMAGES:
            self.damaged_files.labels(harm)
        self.scrubbed = self._counter(
            "shoal_scrubbed_bytes_total", "Bytes that were read again and compared, about."
        )
        self.last_scrub = self._gauge(
            "shoal_last_scrub_timestamp_seconds",
            "When all files of open collections had been read again; 0: not since the start.",
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
        self.recluster_methods = self._counter(
            "shoal_recluster_methods_total",
            "Reclusterings that found clusters, by how these were made and on which device.",
            "method",
            "device",
        )
        for method, device in product(METHODS, DEVICES):
            self.recluster_methods.labels(method, device)
        self.recluster_seconds = self._histogram(
            "shoal_recluster_seconds", "Time of each stage of a run.", _LONG_SECONDS, "stage"
        )
        for stage in STAGES:
            self.recluster_seconds.labels(stage)
        self.reclustering = self._gauge("shoal_reclustering", "Runs in progress.")
        self.last_recluster = self._gauge(
            "shoal_last_recluster_timestamp_seconds", "When a run was last published."
        )
        self.held_runs = self._gauge(
            "shoal_held_runs", "Open collections whose last run waits for a person."
        )
        self.migrations = self._gauge(
            "shoal_migrations", "Open collections that migrate to another embedding model."
        )
        self.migration_missing = self._gauge(
            "shoal_migration_missing_images",
            "Images of these that have no embedding of the new model yet.",
        )

    def _corrections(self) -> None:
        self.corrections = self._counter(
            "shoal_corrections_total", "What people said of images and clusters, by kind.", "kind"
        )
        for kind in CORRECTION_KINDS:
            self.corrections.labels(kind)

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
        self.compactions = self._counter(
            "shoal_compactions_total", "Times that a collection was written anew without dead rows."
        )
        self.deleted_ratio = self._gauge(
            "shoal_hnsw_deleted_ratio",
            "Share of HNSW that is deleted elements; they go with the next purge.",
        )
        self.dead_ratio = self._gauge(
            "shoal_dead_rows_ratio",
            "Share of the rows that have no image any more: holes or zeros in the vector logs.",
        )

    def _backups(self) -> None:
        self.backups = self._counter("shoal_backups_total", "Backups, by how they ended.", "result")
        for result in BACKUP_RESULTS:
            self.backups.labels(result)
        self.backup_seconds = self._histogram(
            "shoal_backup_seconds", "Time of a backup that went well.", _LONG_SECONDS
        )
        self.backup_sent = self._counter(
            "shoal_backup_sent_bytes_total", "Bytes of backups that were not at the target before."
        )
        self.backup_interval = self._gauge(
            "shoal_backup_interval_seconds", "Time between backups; 0: none are configured."
        )
        self.last_backup = self._gauge(
            "shoal_last_backup_timestamp_seconds",
            "When the last good backup was begun; 0: there is none.",
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
        self.evicted = self._gauge(
            "shoal_store_evicted_keys",
            "Keys that Redis has dropped for want of memory since it was started.",
        )
        self.rebuilds = self._counter(
            "shoal_store_rebuilds_total", "Times a collection was written to Redis as a whole."
        )
        self.last_publish = self._gauge(
            "shoal_last_publish_timestamp_seconds", "When Redis last took a write."
        )

    def _drift(self, named: Collection[str]) -> None:
        self.drift = Figures(DRIFT, named)
        self.registry.register(self.drift)
        self.cluster_sizes = Sizes(CLUSTER_SIZES, _SIZES, named)
        self.registry.register(self.cluster_sizes)
