"""Facts: a few answers to "are these two the same?" settle how coarse the groups are.

The model picks the pairs itself: those that hang on merges it is unsure of and that decide many
image pairs. The answers correct its probabilities in the whole tree at once, by the three numbers
of q' = sigmoid(a logit q + b + c log w), and the cut is made anew.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.clustering import Clustering
from models.errors import BadInputError
from models.hierarchy import Hierarchy
from models.kernels.cuts import leaf_spans
from models.prospects import prospects
from models.publishing import published
from models.tree import MergeTree

# The method of a cut that agrees with answers.
ANSWERED = "hi-lander cut by answers"

Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]

# Before any answer: a = 1, b = 0, c = 0, give or take so much.
PRIOR = np.array([1.0, 0.0, 0.0])
PRIOR_SPREAD = np.array([0.5, 2.0, 0.5])
LOG_ODDS_LIMIT = 8.0
STEPS = 30
# Rounds of drawing, since a pair that was drawn before is none.
DRAWS = 20
CLOSE = 1e-6


def ask(result: Clustering, count: int = 100, *, seed: int = 0) -> Pairs:
    """The pairs of rows [m, 2] whose answers would tell most, m <= `count`. The same every time.

    They are drawn in turn: the first of them tell as much as any others would. m is less only
    where the run has hardly more pairs to ask about. After answers they are still those of the
    run (docs/decisions/0118). Raises `BadInputError` for a `count` below 1.
    """
    if count < 1:
        raise BadInputError(f"count is {count}; it must be at least 1")
    hierarchy = _hierarchy(result)
    tree, counts = hierarchy.tree, hierarchy.counts
    sizes = tree.sizes(counts)
    weight = sizes[tree.left] * sizes[tree.right]
    interest = weight * tree.probability * (1 - tree.probability)
    if not interest.sum() > 0:
        return np.zeros((0, 2), np.int64)
    likely, rng = interest / interest.sum(), np.random.default_rng(seed)
    order, start, below = leaf_spans(tree.left, tree.right, tree.leaves)
    leaves = np.zeros((0, 2), np.int64)
    for _ in range(DRAWS):
        merge = rng.choice(len(likely), count, p=likely)
        sides = tree.left[merge], tree.right[merge]
        drawn = [order[start[s] + (rng.random(count) * below[s]).astype(np.int64)] for s in sides]
        both = np.concatenate((leaves, np.sort(np.stack(drawn, axis=1), axis=1)))
        leaves = both[np.sort(np.unique(both, axis=0, return_index=True)[1])]
        leaves = leaves[(counts[leaves] > 0).all(axis=1)][:count]
        if len(leaves) == count:
            break
    return np.sort(hierarchy.first_rows()[leaves], axis=1)


def calibrated(result: Clustering, pairs: ArrayLike, same: ArrayLike) -> Clustering:
    """`result` cut anew as coarsely as answers say: is each of `pairs` [m, 2] one group?

    Meant for the pairs of `ask`, which are drawn from all over the run; pairs that were picked
    because of their answer (only sames, say) draw the cut to that side. What a `result` was told
    before does not count: give all answers at once. Pairs that no merge of the
    run connects are left out; where none is left the result is as it was.
    `expected_precision`, `expected_recall` and `expected_f` follow the answers, `method` says so.
    Raises `BadInputError` for rows that are not there, and for arrays that do not fit.
    """
    asked, truth = _checked(result, pairs, same)
    hierarchy = _hierarchy(result)
    merge = meeting_merges(hierarchy.tree, hierarchy.row[asked])
    met = merge >= 0
    if not met.any():
        return result
    tree = corrected(hierarchy.tree, hierarchy.counts, merge[met], truth[met])
    family = prospects(tree, hierarchy.counts)
    place = int(((family.f + family.bcubed_f) / 2).argmax())
    parts = published(replace(hierarchy, tree=tree), family, float(family.lam[place]))
    return replace(
        result,
        labels=parts.labels,
        levels=parts.levels,
        level=parts.level,
        exemplars=parts.exemplars,
        confidence=parts.confidence,
        expected_precision=parts.expected_precision,
        expected_recall=parts.expected_recall,
        expected_f=parts.expected_f,
        method=ANSWERED,
        reason=f"cut by {int(met.sum())} answers",
    )


def _hierarchy(result: Clustering) -> Hierarchy:
    if result.hierarchy is None:
        raise BadInputError("result has no hierarchy; only relational models make one")
    return result.hierarchy


def _checked(
    result: Clustering, pairs: ArrayLike, same: ArrayLike
) -> tuple[Pairs, NDArray[np.bool_]]:
    asked, truth = np.asarray(pairs), np.asarray(same)
    if asked.size == 0 and truth.size == 0:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.bool_)
    if asked.ndim != 2 or asked.shape[1] != 2 or not np.issubdtype(asked.dtype, np.integer):
        raise BadInputError(f"pairs is {asked.dtype} {asked.shape}; it must be rows [m, 2]")
    if truth.shape != asked.shape[:1]:
        raise BadInputError(f"same has shape {truth.shape}; it must have one entry per pair")
    n = len(result.labels)
    if asked.size and (asked.min() < 0 or asked.max() >= n):
        row = asked[(asked < 0) | (asked >= n)][0]
        raise BadInputError(f"pairs names row {row}; rows are 0..{n - 1}")
    if truth.dtype != np.bool_ and not np.isin(truth, (0, 1)).all():
        odd = truth[~np.isin(truth, (0, 1))][0]
        raise BadInputError(f"same has the entry {odd!r}; each must be true or false")
    return asked.astype(np.int64), truth.astype(np.bool_)


def meeting_merges(tree: MergeTree, leaves: Pairs) -> NDArray[np.int64]:
    """The merge that first brings both `leaves` [m, 2] together, -1 where none does or they are
    one leaf; [m].
    """
    parent = np.full(tree.leaves + len(tree.left), -1)
    made = tree.leaves + np.arange(len(tree.left))
    parent[tree.left] = parent[tree.right] = made
    out = np.full(len(leaves), -1)
    for place, (a, b) in enumerate(leaves.tolist()):
        low, high = min(a, b), max(a, b)
        while low != high and low >= 0:  # a node is younger than all below it
            low, high = sorted((int(parent[low]), high))
        out[place] = low - tree.leaves if low >= 0 else -1
    return np.asarray(np.maximum(out, -1))


def corrected(
    tree: MergeTree, counts: NDArray[np.int32], merge: NDArray[np.int64], same: NDArray[np.bool_]
) -> MergeTree:
    """`tree` with its probabilities fitted to the answers `same` [m] at `merge` [m]."""
    sizes = tree.sizes(counts)
    log_weight = np.log(np.maximum(sizes[tree.left] * sizes[tree.right], 1))
    odds = np.log(tree.probability / np.maximum(1 - tree.probability, 1e-12))
    odds = odds.clip(-LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
    x = np.stack((odds, np.ones_like(odds), log_weight - log_weight[merge].mean()), axis=1)
    theta = _most_probable(x[merge], same)
    return replace(tree, probability=1 / (1 + np.exp(-(x @ theta).clip(-12, 12))))


def _most_probable(told: Floats, same: NDArray[np.bool_]) -> Floats:
    """(a, b, c) of q' = sigmoid(told (a, b, c)) [m] that explain `same` [m] best, by the prior too.

    Newton's method on a concave sum; a step that leads downhill went too far, and is halved.
    """
    precision = np.diag(PRIOR_SPREAD**-2)

    def log_posterior(theta: Floats) -> float:
        z, away = told @ theta, theta - PRIOR
        return float((same * z - np.logaddexp(0, z)).sum() - away @ precision @ away / 2)

    theta, reached = PRIOR, log_posterior(PRIOR)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-told @ theta))
        gradient = told.T @ (same - p) - precision @ (theta - PRIOR)
        step = np.linalg.solve((told * (p * (1 - p))[:, None]).T @ told + precision, gradient)
        while log_posterior(theta + step) < reached and np.abs(step).max() > CLOSE:
            step = step / 2
        theta = theta + step
        reached = log_posterior(theta)
        if np.abs(step).max() < CLOSE:
            break
    return theta
