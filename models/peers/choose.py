"""The parameter of a clustering that suits known labels best."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.metrics import contingency, evaluate

Labels = NDArray[np.int64]


class Tunable(Protocol):
    """A collection that can be cut in many ways."""

    def parameters(self) -> list[float]:
        """What is worth trying."""

    def labels(self, parameter: float, /) -> Labels:
        """The clusters for one of them."""


def worth(truth: Labels, found: Labels) -> float:
    """The mean of pairwise and BCubed F."""
    scores = evaluate(truth, found)
    return (scores.pairwise_f + scores.bcubed_f) / 2


def worth_of_rows(truth: Labels, found: Labels, rows: Labels) -> float:
    """As `worth`, of `rows` alone among all others: what is wrongly with them counts as well.

    Pairwise over all pairs with an end in `rows`, BCubed over their images.
    """
    counts = contingency(truth, found)
    _, row = np.unique(truth, return_inverse=True)
    _, column = np.unique(found, return_inverse=True)
    wanted = row * len(counts.b) + column
    held = counts.row * len(counts.b) + counts.column  # rising
    match = counts.cell[np.searchsorted(held, wanted[rows])]
    size, cluster = counts.a[row[rows]], counts.b[column[rows]]
    true = float((match - 1).sum())
    pairs = float((size - 1).sum() + (cluster - 1).sum())
    precision, recall = float((match / cluster).mean()), float((match / size).mean())
    pairwise = 2 * true / pairs if pairs else 0.0
    return (pairwise + 2 * precision * recall / (precision + recall)) / 2


def best_parameter(clustering: Tunable, truth: Labels) -> float:
    """The parameter of largest `worth`, the first of equals."""
    return max(
        clustering.parameters(), key=lambda parameter: worth(truth, clustering.labels(parameter))
    )
