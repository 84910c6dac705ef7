"""R7: how far a run moved away from the clusters before it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.recluster.overlap import Ints, Overlap, dense, overlap, total


@dataclass(frozen=True, slots=True)
class Drift:
    """One run against the clusters before it. Everything counts images, not rows.

    A settled image is one whose cluster before came from a full run; a provisional one was
    assigned on arrival. All but the last six compare settled images alone, since arrivals are
    bound to move. Shares lie in 0..1 and are 0 where there is nothing to share.

    * `settled_images`: how many images the comparison is over.
    * `changed_share`: share of them whose cluster number is another one now.
    * `merge_mass`: share of them that are not of the old cluster that fills most of their new
      one: what merging brought together.
    * `split_mass`: share of them that are not in the new cluster that holds most of their old
      one: what splitting took apart.
    * `rand_index`: adjusted Rand index (Hubert and Arabie 1985), -0.5..1; 1: same partition.
    * `nmi`: mutual information over the mean of both entropies, 0..1; 1: same partition.
    * `clusters_before`, `clusters_after`: in how many clusters they were and are.
    * `largest_share_before`: share of them in the largest cluster before.
    * `images`, `clusters`: all living images, and their clusters now.
    * `singleton_share`: share of all images that are alone in their cluster.
    * `largest_share`: share of all images in the largest cluster.
    * `mean_confidence`: of all images, 0..1.
    * `overturned_share`: share of the provisional images whose cluster number is another one now.
    """

    settled_images: int
    changed_share: float
    merge_mass: float
    split_mass: float
    rand_index: float
    nmi: float
    clusters_before: int
    clusters_after: int
    largest_share_before: float
    images: int
    clusters: int
    singleton_share: float
    largest_share: float
    mean_confidence: float
    overturned_share: float


def measure(
    old: NDArray[np.int32],
    cluster: NDArray[np.int32],
    counts: NDArray[np.int32],
    provisional: NDArray[np.bool_],
    confidence: NDArray[np.float32],
) -> Drift:
    """Compare `old` [n] (numbers, -1: none) with the matched `cluster` [n] (-1: dead).

    `counts` [n] images of each row, `provisional` [n] marks rows no full run has placed yet,
    `confidence` [n] is the run's. A pure function.
    """
    alive = (counts > 0) & (cluster != -1)
    images = np.where(alive, counts, 0).astype(np.int64)
    settled = alive & ~provisional & (old >= 0)
    waiting = alive & provisional & (old >= 0)
    changed = old != cluster
    table = _cross(old, cluster, images, settled)
    sizes = _sizes(cluster, images, alive)
    everything, compared = int(images.sum()), int(images[settled].sum())
    return Drift(
        settled_images=compared,
        changed_share=_share(images[settled & changed].sum(), compared),
        merge_mass=_share(compared - _largest_parts(table.right, table.images), compared),
        split_mass=_share(compared - _largest_parts(table.left, table.images), compared),
        rand_index=rand_index(table),
        nmi=nmi(table),
        clusters_before=len(table.left_size),
        clusters_after=len(table.right_size),
        largest_share_before=_share(table.left_size.max(initial=0), compared),
        images=everything,
        clusters=len(sizes),
        singleton_share=_share((sizes == 1).sum(), everything),
        largest_share=_share(sizes.max(initial=0), everything),
        mean_confidence=_share(confidence[alive].astype(float) @ images[alive], everything),
        overturned_share=_share(images[waiting & changed].sum(), int(images[waiting].sum())),
    )


def rand_index(table: Overlap) -> float:
    """Adjusted Rand index of the two partitions: 1 if equal, about 0 if unrelated."""
    both, left, right = (_pairs(x) for x in (table.images, table.left_size, table.right_size))
    n = int(table.images.sum())
    every = n * (n - 1) // 2
    if every == 0 or left == right == both:
        return 1.0
    expected = left * right / every
    return (both - expected) / ((left + right) / 2 - expected)


def nmi(table: Overlap) -> float:
    """Normalised mutual information, by the arithmetic mean of the entropies, 0..1."""
    n = int(table.images.sum())
    left, right = _entropy(table.left_size, n), _entropy(table.right_size, n)
    if left == right == 0:
        return 1.0
    shared = left + right - _entropy(table.images, n)
    return float(np.clip(shared / ((left + right) / 2), 0.0, 1.0))


def _cross(
    old: NDArray[np.int32], cluster: NDArray[np.int32], images: Ints, rows: NDArray[np.bool_]
) -> Overlap:
    before, numbers = dense(old, rows)
    after, codes = dense(as_groups(cluster), rows)
    return overlap(before, after, images, (len(numbers), len(codes)))


def _sizes(cluster: NDArray[np.int32], images: Ints, alive: NDArray[np.bool_]) -> Ints:
    index, codes = dense(as_groups(cluster), alive)
    return total(index, images, len(codes))


def as_groups(cluster: NDArray[np.int32]) -> Ints:
    """Encoded clusters, int64 [n]: numbers stay, new ones (below -1) lie above all numbers."""
    return np.where(cluster < -1, np.int64(2**31) - cluster, cluster).astype(np.int64)


def _largest_parts(cluster: Ints, images: Ints) -> int:
    largest = np.zeros(int(cluster.max(initial=-1)) + 1, np.int64)
    np.maximum.at(largest, cluster, images)
    return int(largest.sum())


def _pairs(sizes: Ints) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _entropy(sizes: Ints, n: int) -> float:
    """In nats, of `n` images over parts of these sizes; 0 for no images."""
    if len(sizes) < 2:
        return 0.0
    p = sizes / n
    return float(-(p * np.log(p)).sum())


def _share(part: Any, whole: int) -> float:
    return float(part) / whole if whole else 0.0
