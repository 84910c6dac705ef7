"""Step 5: a provisional cluster for each new row, from its neighbours. A pure function."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.assignments import NONE, Labels, Rows

_MINIMUM_EVIDENCE = 0.02  # an edge less likely than this says nothing


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
    own: dict[int, int] = {}
    out = np.empty(len(rows), np.int32)
    confidence = np.empty(len(rows), np.float32)
    new = 0
    kept = probability >= _MINIMUM_EVIDENCE
    for i, row in enumerate(rows.tolist()):
        evidence: dict[int, float] = defaultdict(float)
        best: dict[int, float] = defaultdict(float)
        strongest = 0.0
        edges = kept[i]
        for j, p in zip(neighbours[i, edges].tolist(), probability[i, edges].tolist(), strict=True):
            label = own[j] if j in own else int(labels[j])
            strongest = max(strongest, p)
            if label != NONE:
                evidence[label] += p
                best[label] = max(best[label], p)
        joinable = [label for label, p in best.items() if p >= threshold]
        if joinable:
            chosen = max(joinable, key=lambda label: (evidence[label], -label))
            confidence[i] = best[chosen]
        else:
            chosen = -(new + 2)
            new += 1
            confidence[i] = 1.0 - strongest
        out[i] = own[row] = chosen
    return Plan(out, confidence, new)
