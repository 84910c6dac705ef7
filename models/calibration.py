"""Probabilities against the truth: what was said of edges and assignments, and what was so."""

import numpy as np
from numpy.typing import NDArray

BINS = 10


def assignment_truth(labels: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """What a confidence claims, of every image [n]: the share of the others in its cluster that
    are of its class; for an image alone 1 if its class is alone too, else 0.
    """
    size = _counts(clusters)
    classes = np.unique(labels, return_inverse=True)[1].ravel()
    mates = _counts(classes * (clusters.max(initial=-1) + 1) + clusters)
    alone = (_counts(labels) == 1).astype(np.float64)
    return np.where(size > 1, (mates - 1) / np.maximum(size - 1, 1), alone)


def _counts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each entry of `values` [n] occurs in them [n]."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(count[place.ravel()], np.int64)


def reliability_bins(
    probability: NDArray[np.floating], truth: NDArray[np.bool_ | np.floating]
) -> NDArray[np.float64]:
    """Sum of probability, of truth and of ones [10, 3] in ten bins of probability."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    weights = (probability, truth, np.ones(len(truth)))
    return np.stack([np.bincount(place, weight, BINS) for weight in weights], axis=1)


def calibration_error(bins: NDArray[np.float64]) -> float:
    """The expected calibration error: |probability - truth| of the bins, a mean over entries."""
    return float(np.abs(bins[:, 0] - bins[:, 1]).sum() / max(bins[:, 2].sum(), 1))
