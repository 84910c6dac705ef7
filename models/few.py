"""Few images, of which no network can tell what strangers look like: average linkage.

Background, quantiles and context are nothing that ten images could say; centred cosines are, and
their threshold hardly depends on the encoder. docs/decisions/0117-few-images.md has the figures.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.choice import Choice, near_size
from models.conditions import UNKNOWN_SIZE
from models.prospects import Floats, Prospects
from models.tree import MergeTree
from models.view import View

# Distinct images; chosen on training classes, as the next three.
FEW_ROWS = 50
# The mean centred cosine at which a merge is as likely right as wrong, and how fast that changes.
EVEN = 0.4
STEEPNESS = 4.0
# Rows of that plain cosine are versions of one picture, whatever the others are.
VERSIONS = 0.98
# What says least: that two images are unlike each other.
LEAST = 0.0

METHOD = "average linkage of few images"
REASON = "{rows} distinct images are too few to tell what strangers look like"
EPSILON = 1e-9


def likeness(unit: NDArray[np.float32]) -> Floats:
    """How alike each two of the rows [n, d] are [n, n]: cosines of the rows less their mean.

    1 for versions of one picture. Rows of zeros, which are dead, do not count.
    """
    there = unit.any(axis=1)
    centred = unit - unit.sum(axis=0) / max(there.sum(), 1)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + EPSILON
    cosine = np.where(unit @ unit.T >= VERSIONS, 1.0, centred @ centred.T)
    return np.asarray(cosine, np.float64)


def probability(cosine: Floats) -> Floats:
    """The expected share of matching pairs where the mean of `likeness` is `cosine`."""
    odds = STEEPNESS * (np.maximum(cosine, LEAST) - EVEN)
    return np.asarray(1 / (1 + np.exp(-odds)), np.float64)


def linkage_tree(view: View, alive: NDArray[np.int64]) -> MergeTree:
    """Average linkage of the rows `alive`, to the very root; n^3 steps."""
    n = len(view)
    total = likeness(view.vectors.cpu().numpy()[alive])
    np.fill_diagonal(total, -np.inf)
    node, size = alive.copy(), np.ones(len(alive))
    left, right, mean = [], [], []
    for merge in range(len(alive) - 1):
        means = total / np.outer(size, size)
        a, b = sorted(divmod(int(means.argmax()), len(means)))
        left.append(node[a])
        right.append(node[b])
        mean.append(means[a, b])
        total[a] += total[b]
        total[:, a] = total[a]
        total[a, a] = -np.inf
        total, size[a] = np.delete(np.delete(total, b, 0), b, 1), size[a] + size[b]
        node[a] = n + merge
        node, size = np.delete(node, b), np.delete(size, b)
    return MergeTree(
        leaves=n,
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        probability=probability(np.array(mean, np.float64)),
        rounds=np.arange(len(left) + 1),
    )


def edges_of_few(view: View, rows: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """How likely the first `width` edges of `rows` [m] are right, [m, width]; 0 at padding."""
    neighbours = view.neighbours.cpu().numpy()[rows, :width]
    likely = probability(likeness(view.vectors.cpu().numpy()))[rows[:, None], neighbours]
    return np.where(neighbours >= 0, likely, 0).astype(np.float32)


def choose_few(family: Prospects, conditions: NDArray[np.float32], rows: int) -> Choice:
    """The cut at which merges are likelier right than wrong, or near the size that is told."""
    told = float(conditions[0])
    even = int(np.abs(family.lam - 0.5).argmin())
    choice = Choice(float(family.lam[even]), float(family.f[even]))
    if told != UNKNOWN_SIZE:
        choice = near_size(family, float(np.exp(told)))
    return replace(choice, method=METHOD, reason=REASON.format(rows=rows))
