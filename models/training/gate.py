"""The gate: weights that judge edges of unseen classes no better than cosine are not usable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.edges import both_rounds
from models.network import HiLanderNetwork
from models.training.prepared import prepare
from models.training.sources import LabelledSet


@dataclass(frozen=True, slots=True)
class GateFigure:
    """Area under the ROC curve over the k-NN edges of one held-out set."""

    name: str
    edge_auc: float
    cosine_auc: float


def measure(network: HiLanderNetwork, held_out: Sequence[LabelledSet]) -> list[GateFigure]:
    """Both figures of every held-out set that has edges of both kinds."""
    figures = []
    for part in held_out:
        episode = prepare(part, size_known=False)
        p, _ = both_rounds(network, episode.view, episode.context)
        same = episode.same[episode.real]
        if same.all() or not same.any():
            continue
        cosine = episode.view.similarity.numpy()[episode.real]
        figures.append(GateFigure(part.name, auc(p.numpy()[episode.real], same), auc(cosine, same)))
    return figures


def auc(score: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The chance that a random true entry scores above a random false one; ties count half."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (count.cumsum() - (count - 1) / 2)[place.ravel()]
    true = int(truth.sum())
    false = len(truth) - true
    return float((rank[truth].sum() - true * (true + 1) / 2) / (true * false))
