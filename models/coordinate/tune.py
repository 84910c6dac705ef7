"""What is chosen on classes that were not learnt from: tau, and what a logit means."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.coordinate.episode import Collection
from models.coordinate.level import first_level
from models.coordinate.linkage import edge_logits
from models.coordinate.network import CoordinateNetwork
from models.coordinate.recursion import final_labels, recursion
from models.coordinate.weights import NEIGHBOURS
from models.peers.choose import worth_of_rows

TAUS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
# Above the first level; the last adds no edge there.
TAUS_ABOVE = (0.7, 0.9, 0.98, 1.0)
# What merging above the first level must gain. The strangers that a tuning class could be merged
# with are classes that were learnt, and kept apart better than any that come.
WORTHWHILE = 0.01
NEWTON_STEPS = 30


@dataclass(frozen=True, slots=True)
class Tuning:
    """A whole set, `logit` [n, 9] of its first level, and the `rows` of classes to tune on.

    All other rows are there as strangers: alone, the few classes would be too easy to keep apart.
    """

    source: Collection
    logit: Tensor
    rows: NDArray[np.int64]


def first_logits(network: CoordinateNetwork, source: Collection) -> Tensor:
    """Log(p1 / p0) of the edges of the first level [n, 9]."""
    level = first_level(
        source.vectors, source.neighbours, source.similarity, source.counts, NEIGHBOURS
    )
    return edge_logits(network, source.vectors, level)


def best_taus(network: CoordinateNetwork, tune: Sequence[Tuning]) -> tuple[float, float]:
    """The thresholds of TAUS and TAUS_ABOVE with the best clusters, a mean over `tune`.

    One level alone, unless more are worth it.
    """

    def value(tau: tuple[float, float]) -> float:
        each = []
        for part in tune:
            source = part.source
            *_, last = recursion(
                network,
                source.vectors,
                source.neighbours,
                source.similarity,
                source.counts,
                k=NEIGHBOURS,
                tau=tau,
                first=part.logit,
            )
            each.append(worth_of_rows(source.labels, final_labels(last), part.rows))
        return float(np.mean(each))

    values = {tau: value(tau) for tau in product(TAUS, TAUS_ABOVE)}
    best = max(values, key=values.__getitem__)
    alone = max(((tau, TAUS_ABOVE[-1]) for tau in TAUS), key=values.__getitem__)
    return best if values[best] > values[alone] + WORTHWHILE else alone


def calibration(tune: Sequence[Tuning]) -> tuple[float, float]:
    """Slope and offset for which sigmoid(slope z + offset) is likeliest (Platt); 1 and 0 if the
    edges are of one kind only. The slope is never negative.
    """
    z, same = [], []
    for part in tune:
        labels = part.source.labels
        neighbours = part.source.neighbours[part.rows, :NEIGHBOURS].numpy()
        real = neighbours >= 0
        z.append(part.logit[part.rows].numpy()[real])
        same.append((labels[neighbours] == labels[part.rows][:, None])[real])
    x, y = np.concatenate(z).astype(np.float64), np.concatenate(same).astype(np.float64)
    if not 0 < y.sum() < len(y):
        return 1.0, 0.0
    spread = max(float(x.std()), 1e-6)
    design = np.stack((x / spread, np.ones_like(x)), axis=1)
    weight = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(design @ weight).clip(-30, 30)))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * len(y) * np.eye(2)
        weight += np.linalg.solve(curvature, design.T @ (y - p) - 1e-6 * len(y) * weight)
    return max(float(weight[0] / spread), 0.0), float(weight[1])
