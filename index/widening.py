"""When to search for a new row again, wider, because rows further off want it.

A row's own list takes k candidates; the lists of others need more. A row in a sparse place wants a
new one in a dense place although that has many nearer rows. docs/decisions/0200-kept-graph.md says
what this was measured to bring.
"""

import numpy as np
from numpy.typing import NDArray

from index.graph import NO_SIMILARITY

# How many times as wide the next search is, and the widest one beside the usual.
WIDENING = 4
WIDEST = 16
# A search that ends nearer than the last neighbour of so many of all rows is done again.
WANTED_BY = 0.6
# So is one where so many of the last quarter of what it found want the row.
TAIL = 4
WANTED_BY_TAIL = 0.25
# Rows that stand for all.
SAMPLE_ROWS = 1_000

Rows = NDArray[np.int64]
Similarity = NDArray[np.float32]


def common_reach(weakest: Similarity) -> float:
    """What the last neighbour of `WANTED_BY` of the rows is less similar than, by a sample.

    `weakest` float32 [rows] is the similarity of each row's last neighbour.
    """
    sample = weakest[:: max(1, len(weakest) // SAMPLE_ROWS)]
    full = sample[sample > NO_SIMILARITY]
    return float(np.quantile(full, WANTED_BY)) if len(full) else np.inf


def wanted_by_tail(labels: Rows, similarity: Similarity, weakest: Similarity) -> NDArray[np.bool_]:
    """For which searches, [n, width] and best first, the last that they found want the row."""
    tail = slice(-max(1, labels.shape[1] // TAIL), None)
    wanting = similarity[:, tail] > weakest[labels[:, tail]]
    wanted: NDArray[np.bool_] = wanting.mean(axis=1) >= WANTED_BY_TAIL
    return wanted
