"""An episode made ready: graph, context and true answers."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.conditions import UNKNOWN_SIZE, conditions
from models.context import CollectionContext, context_of
from models.graph import K, nearest
from models.training.sources import LabelledSet
from models.vectors import collapse
from models.view import View, view_of


@dataclass(frozen=True, slots=True)
class Episode:
    """A labelled collection with its graph; `same` bool [n, K] says which edges are true."""

    name: str
    view: View
    context: CollectionContext
    labels: NDArray[np.int64]
    same: NDArray[np.bool_]
    real: NDArray[np.bool_]
    weight: float

    def untold(self) -> "Episode":
        """The same, where nobody said how large groups are."""
        conditions = self.context.conditions.copy()
        conditions[0] = UNKNOWN_SIZE
        return replace(self, context=replace(self.context, conditions=conditions))


def prepare(part: LabelledSet) -> Episode:
    """Collapse, build the exact graph, measure; the conditions tell the true size of groups."""
    distinct = collapse(part.unit)
    first = np.unique(distinct.row, return_index=True)[1]
    labels = part.labels[first]
    graph = nearest(distinct.unit, K)
    view = view_of(distinct.unit, graph)
    told = conditions(part.granularity, seen_size(labels))
    with torch.no_grad():
        context = context_of(view, np.arange(len(labels)), told)
    real = graph.neighbours >= 0
    same = (labels[graph.neighbours] == labels[:, None]) & real
    return Episode(part.name, view, context, labels, same, real, part.weight)


def seen_size(labels: NDArray[np.int64]) -> float:
    """The size of the class that a typical image is in: sum n_c^2 / n."""
    sizes = np.bincount(labels).astype(np.float64)
    return float((sizes**2).sum() / max(len(labels), 1))
