"""The gate: weights that judge edges of unseen classes no better than cosine are not usable."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.edges import both_rounds
from models.network import HiLanderNetwork
from models.training.prepared import prepare
from models.training.sources import LabelledSet


@dataclass(frozen=True, slots=True)
class GateFigure:
    """Area under the ROC curve over the k-NN edges of one set's held-out rows."""

    name: str
    edge_auc: float
    cosine_auc: float


def measure(
    network: HiLanderNetwork, split: Iterable[tuple[LabelledSet, NDArray[np.int64]]]
) -> Iterator[GateFigure]:
    """Both figures of every (set, classes held out) whose edges are of both kinds.

    The graph is that of the whole set, so that held-out rows lie among as many strangers as rows
    do in life; the edges are those that start at a row of a held-out class.
    """
    for source, classes in split:
        episode = prepare(source, size_known=False)
        p, _ = both_rounds(network, episode.view, episode.context)
        judged = episode.real & np.isin(episode.labels, classes)[:, None]
        same = episode.same[judged]
        if same.any() and not same.all():
            cosine = episode.view.similarity.numpy()[judged]
            yield GateFigure(source.name, auc(p.numpy()[judged], same), auc(cosine, same))


def auc(score: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The chance that a random true entry scores above a random false one; ties count half."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (count.cumsum() - (count - 1) / 2)[place.ravel()]
    true = int(truth.sum())
    false = len(truth) - true
    return float((rank[truth].sum() - true * (true + 1) / 2) / (true * false))
