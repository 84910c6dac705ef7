"""What each of a family of cuts promises, by the model's own merges: no labels are read here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cut import cut_at, expected_matches
from models.kernels.blocks import for_each
from models.tree import MergeTree

Floats = NDArray[np.float64]

# From a cut that keeps nearly every merge to one that keeps only the surest, evenly in log odds.
LAMBDAS = tuple(float(x) for x in 1 / (1 + np.exp(-np.linspace(-4, 3, 29))))


@dataclass(frozen=True, slots=True)
class Prospects:
    """The cuts of one tree at `lam` [c], rising: from coarse to fine.

    `images` in the collection; the other fields are float64 [c]. `precision`, `recall`, `f`:
    expected pairwise; `bcubed_precision`, `bcubed_recall`, `bcubed_f`: expected BCubed; `seen`:
    images in a typical image's cluster, sum s^2 / n; `mean_size`: images per cluster; `single`:
    share of images that are alone.
    """

    images: float
    lam: Floats
    precision: Floats
    recall: Floats
    f: Floats
    bcubed_precision: Floats
    bcubed_recall: Floats
    bcubed_f: Floats
    seen: Floats
    mean_size: Floats
    single: Floats


def prospects(tree: MergeTree, counts: NDArray[np.int32]) -> Prospects:
    """Judge the cuts at `LAMBDAS`, where row i stands for `counts[i]` images that all match."""
    sizes = tree.sizes(counts)
    own = np.asarray(counts, np.float64)
    copies = float((own * (own - 1)).clip(0).sum() / 2)
    weight = sizes[tree.left] * sizes[tree.right]
    true = weight * tree.probability
    everywhere = np.zeros(len(sizes), np.int64)
    class_size = expected_matches(tree, sizes, everywhere) + own

    def judge(lam: float) -> tuple[float, ...]:
        return _judge(sizes, own, weight, true, copies, class_size, tree, lam)

    rows = for_each(judge, LAMBDAS)
    return Prospects(float(own.sum()), np.array(LAMBDAS), *np.array(rows).T)


def _judge(
    sizes: Floats,
    own: Floats,
    weight: Floats,
    true: Floats,
    copies: float,
    class_size: Floats,
    tree: MergeTree,
    lam: float,
) -> tuple[float, ...]:
    """The fields of `Prospects` after `lam`, for one cut."""
    top = cut_at(tree, sizes, lam)
    kept = top[tree.leaves :] >= 0
    right = float(true[kept].sum()) + copies
    together = float(weight[kept].sum()) + copies
    total = float(true.sum()) + copies
    cluster = sizes[top[: tree.leaves]]
    images = max(float(own.sum()), 1.0)
    alive = own > 0
    matching = (expected_matches(tree, sizes, top) + own)[alive]
    own, cluster, class_size = own[alive], cluster[alive], class_size[alive]
    purity = float((own * matching / cluster).sum()) / images
    found = float((own * matching / class_size).sum()) / images
    clusters = float((own / cluster).sum())
    return (
        _over(right, together),
        _over(right, total),
        _over(2 * right, together + total),
        purity,
        found,
        _over(2 * purity * found, purity + found),
        float((own * cluster).sum()) / images,
        images / max(clusters, 1.0),
        float((own * (cluster == 1)).sum()) / images,
    )


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
