"""Step 5: a provisional cluster for each new row, from its neighbours. A pure function."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from worker.assignments import NONE, Labels, Rows

_MINIMUM_EVIDENCE = 0.05  # an edge less likely than this says nothing


@dataclass(frozen=True)
class Plan:
    """`labels` int32 [m]: a cluster number, or -(k+2) for the k-th new cluster; `confidence`
    float32 [m]; `new` is the number of new clusters.
    """

    labels: Labels
    confidence: NDArray[np.float32]
    new: int


def assign(
    rows: Rows,
    neighbours: NDArray[np.int32],
    probability: NDArray[np.float32],
    labels: Labels,
    threshold: float,
) -> Plan:
    """Join each row to the cluster that its edges speak for most, or begin a new one.

    `rows` int64 [m], in the order they arrived; `neighbours` int32 [m, K] (-1: none) and
    `probability` float32 [m, K] are the rows' edges; `labels` int32 are all rows' clusters now.
    The evidence for a cluster is the sum of the probabilities of the edges into it; the row
    joins the one with most evidence among those that hold an edge of at least `threshold`. Rows
    of the same call see the clusters of the rows before them. The confidence is the probability
    of the best edge into the cluster (of a new cluster: that no edge is right, judged by the
    best one).
    """
    used = (probability >= _MINIMUM_EVIDENCE).sum(1)
    order = np.argsort(-probability, axis=1, kind="stable")[:, : max(1, used.max(initial=0))]
    ends = np.take_along_axis(neighbours, order, 1)
    likely = np.take_along_axis(probability, order, 1)
    known = np.where(ends >= 0, labels[ends], NONE).tolist()
    own: dict[int, int] = {}
    confidence: list[float] = []
    new = 0
    for row, near, edges, before, length in zip(
        rows.tolist(), ends.tolist(), likely.tolist(), known, used.tolist(), strict=True
    ):
        evidence: dict[int, float] = {}
        best: dict[int, float] = {}
        for j, p, label in islice(zip(near, edges, before, strict=True), length):
            cluster = own.get(j, NONE) if label == NONE else label
            if cluster == NONE:
                continue
            if cluster in evidence:
                evidence[cluster] += p
            else:
                # Edges come by falling probability: the first into a cluster is its best.
                evidence[cluster] = best[cluster] = p
        joinable = [cluster for cluster, p in best.items() if p >= threshold]
        if joinable:
            chosen = max(joinable, key=evidence.__getitem__)
            confidence.append(best[chosen])
        else:
            chosen = -(new + 2)
            new += 1
            confidence.append(1.0 - edges[0] if length else 1.0)
        own[row] = chosen
    out = np.array(list(own.values()), np.int32)
    return Plan(out, np.array(confidence, np.float32), new)
