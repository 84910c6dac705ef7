"""The parameter of a clustering that suits known labels best."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.metrics import evaluate

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


def best_parameter(clustering: Tunable, truth: Labels) -> float:
    """The parameter of largest `worth`, the first of equals."""
    return max(
        clustering.parameters(), key=lambda parameter: worth(truth, clustering.labels(parameter))
    )
