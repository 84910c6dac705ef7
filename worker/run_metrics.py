"""What the metrics say of a run that ended."""

import numpy as np

from worker.metrics import Metrics
from worker.recluster.result import RunResult


def observe(metrics: Metrics, result: RunResult) -> None:
    """Show the times of a run and its drift."""
    drift = result.drift
    for stage, seconds in result.seconds.items():
        metrics.recluster_seconds.labels(stage).observe(seconds)
    if result.expected_f is not None:
        metrics.expected_f.set(result.expected_f)
    metrics.contradicted.set(len(result.contradicted))
    metrics.changed_ratio.set(drift.changed_share)
    metrics.merged_ratio.set(drift.merge_mass)
    metrics.split_ratio.set(drift.split_mass)
    metrics.rand_index.set(drift.rand_index)
    metrics.nmi.set(drift.nmi)
    metrics.singleton_ratio.set(drift.singleton_share)
    metrics.largest_ratio.set(drift.largest_share)
    metrics.mean_confidence.set(drift.mean_confidence)
    metrics.overturned_ratio.set(drift.overturned_share)
    _, sizes = np.unique(result.cluster[result.cluster != -1], return_counts=True)
    metrics.cluster_sizes.show(sizes)
