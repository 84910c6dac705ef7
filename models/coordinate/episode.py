"""Levels to train on: of a labelled set, built by the model's own clusters."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.coordinate.level import Level, first_level
from models.coordinate.network import CoordinateNetwork
from models.coordinate.recursion import recursion
from models.graph import K, nearest
from models.training.sources import LabelledSet
from models.vectors import collapse

# On-policy levels come from thresholds in this range, another one each time.
POLICY_TAUS = (0.3, 0.95)


@dataclass(frozen=True, slots=True)
class Collection:
    """A labelled set with its exact graph; equal rows are one, `counts` [n] says of how many."""

    vectors: Tensor
    neighbours: Tensor
    similarity: Tensor
    counts: NDArray[np.int32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A level with its answers: `same` bool [m, K] and `density` float32 [m], the paper's
    d_i = mean_j s_ij (1[y_i = y_j] - 1[y_i != y_j]). An edge is asked where its source is denser.
    """

    vectors: Tensor
    level: Level
    same: Tensor
    density: Tensor
    asked: Tensor


def collection_of(part: LabelledSet) -> Collection:
    """Collapse equal rows and build the exact graph."""
    distinct = collapse(part.unit)
    first = np.unique(distinct.row, return_index=True)[1]
    graph = nearest(distinct.unit, K)
    return Collection(
        torch.from_numpy(distinct.unit),
        torch.from_numpy(graph.neighbours),
        torch.from_numpy(graph.similarity),
        distinct.counts,
        part.labels[first],
    )


def first_lesson(source: Collection, k: int) -> Lesson:
    """The first level, where every row is a node."""
    level = first_level(source.vectors, source.neighbours, source.similarity, source.counts, k)
    return _lesson(source.vectors, level, source.labels)


def policy_lessons(
    network: CoordinateNetwork, source: Collection, k: int, levels: int, rng: np.random.Generator
) -> list[Lesson]:
    """The upper levels, at most `levels` in all, as the network itself would build them now.

    What a node is follows from the majority of its images.
    """
    tau = (float(rng.uniform(*POLICY_TAUS)), float(rng.uniform(*POLICY_TAUS)))
    way = recursion(
        network,
        source.vectors,
        source.neighbours,
        source.similarity,
        source.counts,
        k=k,
        tau=tau,
        levels=levels,
    )
    return [
        _lesson(source.vectors, step.level, _majority(step.node, source.labels, len(step.level)))
        for step in list(way)[1:]
        if len(step.level) > 1 and bool((step.level.neighbours >= 0).any())
    ]


def _majority(node: NDArray[np.int64], labels: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """The commonest label of each node's rows [m], the smallest of equals."""
    classes = int(labels.max(initial=0)) + 1
    key, count = np.unique(node * classes + labels, return_counts=True)
    owner, label = key // classes, key % classes
    order = np.lexsort((label, -count, owner))
    first = np.unique(owner[order], return_index=True)[1]
    out = np.zeros(m, np.int64)
    out[owner[order][first]] = label[order][first]
    return out


def _lesson(vectors: Tensor, level: Level, labels: NDArray[np.int64]) -> Lesson:
    y = torch.from_numpy(labels)
    valid = level.neighbours >= 0
    j = level.neighbours.clamp(min=0).long()
    same = (y[j] == y[:, None]) & valid
    signed = torch.where(same, level.similarity, -level.similarity) * valid
    density = signed.sum(1) / valid.sum(1).clamp(min=1)
    return Lesson(vectors, level, same, density, valid & (density[j] > density[:, None]))
