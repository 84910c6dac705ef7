"""How far a run's own estimates are off, against the true labels."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models import Clustering, KnnGraph, Model, evaluate
from models.calibration import assignment_truth, calibration_error, reliability_bins
from models.copies import distinct_graph
from models.vectors import Distinct

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Misjudged:
    """How far the pairwise figures that a run expects of itself are off, and the expected
    calibration errors of its confidence and of its edges.
    """

    precision: float
    recall: float
    f: float
    calibration: float
    edges: float

    @staticmethod
    def of(labels: Labels, found: Clustering, edges: float) -> "Misjudged":
        """Against the true `labels`; `edges` is the error of the edges."""
        true = evaluate(labels, found.labels)
        assert found.expected_precision is not None
        assert found.expected_recall is not None
        bins = reliability_bins(found.confidence, assignment_truth(labels, found.labels))
        return Misjudged(
            precision=abs(found.expected_precision - true.pairwise_precision),
            recall=abs(found.expected_recall - true.pairwise_recall),
            f=abs(found.expected_f - true.pairwise_f),
            calibration=calibration_error(bins),
            edges=edges,
        )


class Edges:
    """The edges of the k-NN graph of one labelled collection."""

    def __init__(self, unit: NDArray[np.float32], labels: Labels, k: int) -> None:
        self._distinct, self._graph = graph = distinct_graph(unit, k)
        self._same = _same(labels, *graph)

    def error(self, model: Model, found: Clustering) -> float:
        """The expected calibration error of what the run `found` says of them."""
        unit, graph = self._distinct.unit, self._graph
        rows = np.arange(len(unit))
        p = model.edge_probabilities(unit, graph, rows, found.context)
        there = graph.neighbours >= 0
        return calibration_error(reliability_bins(p[there], self._same[there]))


def _same(labels: Labels, distinct: Distinct, graph: KnnGraph) -> NDArray[np.bool_]:
    """Whether both ends of each edge are of one class [n, k], by the first image of each row."""
    first = np.unique(distinct.row, return_index=True)[1]
    of_row = labels[first]
    return of_row[:, None] == of_row[graph.neighbours]


def means_of(rows: list[Misjudged]) -> dict[str, float]:
    """The mean of each field over `rows`."""
    means = np.mean([astuple(row) for row in rows], axis=0).round(4)
    return {field.name: float(mean) for field, mean in zip(fields(Misjudged), means, strict=True)}


def within(rows: list[Misjudged], limit: float) -> dict[str, int]:
    """Of how many `rows` each field is at most `limit`."""
    counts = (np.array([astuple(row) for row in rows]) <= limit).sum(axis=0)
    return {field.name: int(count) for field, count in zip(fields(Misjudged), counts, strict=True)}
