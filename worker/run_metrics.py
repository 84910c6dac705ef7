"""What the metrics say of a run that ended."""

from dataclasses import asdict

import numpy as np

from models.metrics import Scores
from worker.metrics import Metrics
from worker.recluster.result import RunResult

# The figures of a labelled sample, by key.
_TRUTH = ("truth_images", "truth_pairwise_f", "truth_bcubed_f")


def observe(metrics: Metrics, collection: str, result: RunResult, scores: Scores | None) -> None:
    """Show how and where a run made its clusters, how long each stage took, its drift, and how it
    scored against the sample if there is one.
    """
    metrics.recluster_methods.labels(result.method, result.device).inc()
    for stage, seconds in result.seconds.items():
        metrics.recluster_seconds.labels(stage).observe(seconds)
    drift = asdict(result.drift)
    figures = drift | {"contradicted": len(result.contradicted)}
    if result.expected_f is not None:
        figures["expected_f"] = result.expected_f
    metrics.drift.show(collection, result.drift.images, figures)
    observe_truth(metrics, collection, result.drift.images, scores)
    _, sizes = np.unique(result.cluster[result.cluster != -1], return_counts=True)
    metrics.cluster_sizes.show(collection, sizes)


def observe_truth(metrics: Metrics, collection: str, images: int, scores: Scores | None) -> None:
    """Show how a collection of so many images does against its sample; None: it has none."""
    if scores is None:
        metrics.drift.forget(collection, _TRUTH)
        return
    figures = (scores.images, scores.pairwise_f, scores.bcubed_f)
    metrics.drift.show(collection, images, dict(zip(_TRUTH, figures, strict=True)))
