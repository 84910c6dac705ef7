"""How sure a run may be of itself: what its merges promise, as other collections bore it out.

Two small networks read what a run knows of itself (`models.prospects`) and of each row's place in
the merge tree. They learn from runs over labelled collections (`models.training.certainty`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.conditions import UNKNOWN_SIZE
from models.context import CollectionContext
from models.cut import confidence
from models.folding import Folded
from models.kernels.blocks import in_blocks
from models.levels import FLOOR
from models.network import HiLanderNetwork
from models.prospects import Prospects
from models.tree import MergeTree

Floats = NDArray[np.float64]
LEAST_DOUBT = 1e-4


@dataclass(frozen=True, slots=True)
class Belief:
    """`confidence` float32 [leaves] as in `Clustering`; pairwise `precision` and `recall`."""

    confidence: NDArray[np.float32]
    precision: float
    recall: float

    @property
    def f(self) -> float:
        """Pairwise F."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Certainty:
    """The networks, on the CPU, for runs over the collection of a `context`."""

    network: HiLanderNetwork
    context: CollectionContext

    def of(
        self,
        tree: MergeTree,
        counts: NDArray[np.int32],
        top: NDArray[np.int64],
        family: Prospects,
        lam: float,
    ) -> Belief:
        """How sure to be of the cut `top` of a tree of some merges, which is `family`'s at `lam`.

        A row's copies match it for certain. The precision is the mean confidence of image pairs.
        """
        told = told_of(family, lam, self.context)
        share = self._shares(assignment_features(tree, counts, top), told)
        size = tree.sizes(counts)[top[: tree.leaves]]
        copies, others = np.maximum(counts - 1, 0), size - counts
        matching = share * others + copies
        sure = np.where(size > 1, matching / np.maximum(size - 1, 1), share)
        pairs = counts * np.maximum(size - 1, 0)
        recall = self.network.recall.probability(torch.from_numpy(told)[None])
        return Belief(
            confidence=sure.astype(np.float32),
            precision=float(pairs @ sure / max(pairs.sum(), 1)),
            recall=float(recall[0]),
        )

    def _shares(self, features: NDArray[np.float32], told: NDArray[np.float32]) -> Floats:
        judge = Folded.of(self.network.assignment, torch.from_numpy(told))
        out = np.empty(len(features))

        def ask(start: int, stop: int) -> None:
            out[start:stop] = judge.probability(torch.from_numpy(features[start:stop])).numpy()

        in_blocks(ask, len(features))
        return out


@dataclass(frozen=True, slots=True)
class Promised:
    """What the merges promise, as it is; for runs of which no network knows anything."""

    def of(
        self,
        tree: MergeTree,
        counts: NDArray[np.int32],
        top: NDArray[np.int64],
        family: Prospects,
        lam: float,
    ) -> Belief:
        """As `Certainty.of`."""
        place = int(np.searchsorted(family.lam, lam))
        return Belief(
            confidence(tree, counts, top),
            precision=float(family.precision[place]),
            recall=float(family.recall[place]),
        )


def told_of(family: Prospects, lam: float, context: CollectionContext) -> NDArray[np.float32]:
    """What all rows of a run share [RUN_FEATURES + CONTEXT]: its promises, then the context."""
    k = int(np.searchsorted(family.lam, lam))
    promised = (
        family.precision[k],
        family.recall[k],
        family.f[k],
        family.bcubed_precision[k],
        family.bcubed_recall[k],
        lam,
    )
    size = float(context.conditions[0])
    run = (
        *log_odds(np.array(promised)),
        np.log(family.images),
        np.log(family.seen[k] / family.images),
        family.single[k],
        0.0 if size == UNKNOWN_SIZE else size - np.log(family.seen[k]),
    )
    return np.concatenate((run, context.numbers, context.conditions)).astype(np.float32)


def assignment_features(
    tree: MergeTree, counts: NDArray[np.int32], top: NDArray[np.int64]
) -> NDArray[np.float32]:
    """What sets each row apart [leaves, ASSIGNMENT_FEATURES], with `top` as in `Cut`.

    Log odds of: its uncalibrated confidence, their mean over its cluster, its first and its
    cluster's last merge, the weakest between, the merge above. Whether it is alone; the log size
    of its cluster, and relative to that of a typical image.
    """
    n = tree.leaves
    odds, cluster = log_odds(tree.probability), top[:n]
    above = np.full(n + len(odds), log_odds(np.array(FLOOR)))
    above[tree.left] = above[tree.right] = odds
    alone = cluster < n
    own = log_odds(confidence(tree, counts, top))
    images = np.maximum(np.bincount(cluster, counts, len(top)), 1)
    size = images[cluster]
    typical = (counts * size).sum() / max(counts.sum(), 1)
    columns = (
        own,
        (np.bincount(cluster, counts * own, len(top)) / images)[cluster],
        np.where(alone, 0, above[:n]),
        np.where(alone, 0, odds[np.maximum(cluster - n, 0)]),
        np.where(alone, 0, _weakest(tree, odds, top)),
        above[cluster],
        alone,
        np.log(size),
        np.log(size / max(typical, 1)),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _weakest(tree: MergeTree, odds: Floats, top: NDArray[np.int64]) -> Floats:
    """The least log odds of the merges above each row that the cut keeps [leaves]; inf: none."""
    weakest = np.full(len(top), np.inf)
    for level in reversed(tree.levels()):
        made = slice(tree.leaves + level.start, tree.leaves + level.stop)
        kept = np.where(top[made] >= 0, np.minimum(weakest[made], odds[level]), np.inf)
        weakest[tree.left[level]] = weakest[tree.right[level]] = kept
    return weakest[: tree.leaves]


def log_odds(p: NDArray[np.floating]) -> Floats:
    """log(p / (1 - p)), finite at 0 and 1."""
    q = np.asarray(p, np.float64).clip(LEAST_DOUBT, 1 - LEAST_DOUBT)
    return np.asarray(np.log(q / (1 - q)))
