"""The gate: weights are usable if they beat the plain ways twice on classes held out.

Their edges must be judged better than by cosine (area under the ROC curve), and their clusters must
be better than average linkage with the threshold that is best on the other classes (mean of
pairwise and BCubed F). Both are means over the sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import assignment_truth, reliability_bins
from models.clustering import cluster
from models.few import FEW_ROWS
from models.model import Model
from models.peers.choose import best_parameter, worth
from models.peers.linkage import AverageLinkage
from models.training.sources import LabelledSet, evenly, few_rows, rows_of_few_classes
from models.vectors import collapse

# Rows of a set that are judged at most.
JUDGED_ROWS = 30_000


@dataclass(frozen=True, slots=True)
class GateFigure:
    """What one set's held-out classes say; an area is NaN where edges are of one kind only.

    `bins`: `reliability_bins` of edges, `assignment_bins` of assignments; `levels`: clusters and F
    of every level, fine to coarse.
    """

    name: str
    edge_auc: float
    cosine_auc: float
    cluster_f: float
    linkage_f: float
    bins: NDArray[np.float64]
    assignment_bins: NDArray[np.float64]
    levels: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Means over the sets that have a figure.

    Areas are None where no set has one: of edges of one kind none can be taken for the other.
    """

    edge_auc: float | None
    cosine_auc: float | None
    cluster_f: float
    linkage_f: float

    @property
    def usable(self) -> bool:
        """Both better than the plain ways."""
        if self.edge_auc is None or self.cosine_auc is None:
            return False
        return self.edge_auc > self.cosine_auc and self.cluster_f > self.linkage_f


def verdict_of(figures: Sequence[GateFigure]) -> GateVerdict:
    """The means that decide."""
    areas = [(figure.edge_auc, figure.cosine_auc) for figure in figures]
    known = [pair for pair in areas if not np.isnan(pair).any()]
    edge, cosine = _mean(known) if known else (None, None)
    worths = [(figure.cluster_f, figure.linkage_f) for figure in figures]
    return GateVerdict(edge, cosine, *(_mean(worths) if worths else (0.0, 0.0)))


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = np.array(pairs).mean(axis=0).round(4)
    return float(first), float(second)


class JudgedPart(NamedTuple):
    """What of a set is judged: `among` rows of all classes those of the classes `held_out`; on
    `known`, classes that are not, the threshold of linkage is chosen.
    """

    among: LabelledSet
    held_out: NDArray[np.int64]
    known: LabelledSet


def judged_part(source: LabelledSet, held_out: NDArray[np.int64]) -> JudgedPart:
    """The whole `source`, unless it is large.

    Of more than JUDGED_ROWS rows, those of few of the classes `held_out` among others at even
    distances: the exact graph of a million rows takes an hour, and linkage holds all pairs.
    """
    known = few_rows(source.without(held_out))
    if len(source) <= JUDGED_ROWS:
        return JudgedPart(source, held_out, known)
    held = np.isin(source.labels, held_out)
    test = np.flatnonzero(held)
    number = np.unique(source.labels[test], return_inverse=True)[1].ravel()
    test = test[rows_of_few_classes(number)]
    others = evenly(np.flatnonzero(~held), JUDGED_ROWS - len(test))
    rows = np.sort(np.concatenate((test, others)))
    classes = np.flatnonzero(np.isin(np.unique(source.labels[rows]), held_out))
    return JudgedPart(source.rows(rows), classes, known)


@dataclass(frozen=True, slots=True)
class JudgedEdges:
    """A set's graph as a model sees it: `labels` [n]; `neighbours`, -1 at padding, `similarity`
    and the model's `probability`, each [n, K].
    """

    labels: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    similarity: NDArray[np.float32]
    probability: NDArray[np.float32]


def judge(model: Model, edges: JudgedEdges, part: JudgedPart) -> GateFigure:
    """Measure `model` on the classes held out, of whose `among` the `edges` are.

    The graph is that of all classes, so that held-out rows lie among as many strangers as rows
    do in life; the edges are those that start at a row of a held-out class. Clusters are those of
    the rows of the held-out classes, by themselves; where those are so few that no network would
    have a say (`models.few`), those among rows of others.
    """
    real = edges.neighbours >= 0
    judged = real & np.isin(edges.labels, part.held_out)[:, None]
    same = (edges.labels[edges.neighbours] == edges.labels[:, None])[judged]
    height = best_parameter(AverageLinkage(part.known.unit), part.known.labels)
    test = part.among.of_classes(part.held_out)
    seen, own = among_enough(test, part.known), slice(len(test))
    linked = AverageLinkage(seen.unit).labels(height)[own]
    found = cluster(seen.unit, granularity=seen.granularity, model=model)
    right = assignment_truth(seen.labels, found.labels)
    return GateFigure(
        name=part.among.name,
        edge_auc=auc(edges.probability[judged], same),
        cosine_auc=auc(edges.similarity[judged], same),
        cluster_f=worth(test.labels, found.labels[own]),
        linkage_f=worth(test.labels, linked),
        bins=reliability_bins(edges.probability[judged], same),
        assignment_bins=reliability_bins(found.confidence[own], right[own]),
        levels=tuple(
            (len(np.unique(level[own])), worth(test.labels, level[own])) for level in found.levels
        ),
    )


def among_enough(test: LabelledSet, known: LabelledSet) -> LabelledSet:
    """`test`, followed by the rows of `known` where it has too few for a network to have a say."""
    if len(collapse(test.unit).counts) > FEW_ROWS:
        return test
    labels = np.concatenate((test.labels, known.labels + test.classes))
    return replace(test, unit=np.concatenate((test.unit, known.unit)), labels=labels)


def auc(score: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The chance that a random true entry scores above a random false one; ties count half.

    NaN where all are true, or none is.
    """
    if truth.all() or not truth.any():
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (count.cumsum() - (count - 1) / 2)[place.ravel()]
    true = int(truth.sum())
    false = len(truth) - true
    return float((rank[truth].sum() - true * (true + 1) / 2) / (true * false))
