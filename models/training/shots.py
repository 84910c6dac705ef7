"""Shots: every picture of a set as a group of its own, with made-up versions of it.

Real edits and crops are rare among labelled sets, but any set of pictures can be asked which of its
rows are versions of one picture, once there are versions. What an edit does to an embedding is
made of a direction that all edits of its kind share, of directions in which the set itself
spreads, of directions of the picture's own, and of noise.
"""

import numpy as np
from numpy.typing import NDArray

from models.training.sources import Generator, LabelledSet, classes_within
from models.vectors import unit_rows

Array = NDArray[np.float64]

PICTURES = (80, 900)
MOST_ROWS = 3_000
FEWEST_PICTURES = 6
MOST_VERSIONS = 40
# How far versions lie from their picture, in distances between nearest pictures.
STRENGTH = (0.1, 2.0)
MIXED_ROWS = 64
UNKNOWN_WORD = 0.15


def shots(source: LabelledSet, rng: Generator) -> LabelledSet:
    """Versions of some of the pictures of `source`; classes are pictures."""
    count = int(np.exp(rng.uniform(*np.log(PICTURES))))
    pictures = source.unit[rng.permutation(len(source))[:count]].astype(np.float64)
    sizes = _sizes(len(pictures), rng)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    moves = _moves(source.unit - source.unit.mean(axis=0), labels, rng)
    reach = np.exp(rng.uniform(*np.log(STRENGTH))) * _nearest(pictures)
    length = reach * np.exp(rng.uniform(0.2, 0.9) * rng.standard_normal(len(labels)))
    length[first] = 0
    order = rng.permutation(len(labels))
    unit = unit_rows((pictures[labels] + length[:, None] * moves)[order])
    word = None if rng.random() < UNKNOWN_WORD else "shot"
    return LabelledSet(source.name, unit, labels[order], word)


def _sizes(pictures: int, rng: Generator) -> NDArray[np.int64]:
    """How many versions there are of each picture, itself included."""
    law = rng.integers(3)
    sizes: NDArray[np.int64]
    if law == 0:
        more = rng.pareto(rng.uniform(0.6, 1.6), pictures) * rng.uniform(0.5, 4)
        sizes = 1 + np.minimum(more.astype(np.int64), MOST_VERSIONS - 1)
    elif law == 1:
        most = int(rng.integers(4, MOST_VERSIONS + 1))
        several = rng.integers(2, most, pictures)
        sizes = np.where(rng.random(pictures) < rng.uniform(0.3, 0.8), 1, several)
    else:
        sizes = np.full(pictures, rng.integers(2, 12), np.int64)
    return sizes[: classes_within(sizes, MOST_ROWS, FEWEST_PICTURES)]


def _moves(spread: NDArray[np.float32], labels: NDArray[np.int64], rng: Generator) -> Array:
    """Where each version is moved to, of unit length more or less; `spread` [n, d] of the set."""
    rows, kinds = len(labels), int(rng.integers(2, 12))
    kind = rng.integers(kinds, size=rows)
    heavy = np.exp(0.4 * rng.standard_normal(kinds))[kind]
    share = np.sqrt(rng.dirichlet(np.ones(4)))
    own = _within(spread, int(labels.max()) + 1, rng)[labels] * rng.choice([-1, 1], (rows, 1))
    noise = rng.standard_normal((rows, spread.shape[1]))
    moves: Array = (
        share[0] * _within(spread, kinds, rng)[kind]
        + share[1] * _within(spread, rows, rng)
        + share[2] * own
        + share[3] * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    )
    return moves * heavy[:, None]


def _within(spread: NDArray[np.float32], count: int, rng: Generator) -> Array:
    """Random unit directions [count, d] that lie as the rows of `spread` do."""
    mixed: Array = np.zeros((count, spread.shape[1]))
    for _ in range(MIXED_ROWS):
        mixed += rng.standard_normal((count, 1)) * spread[rng.integers(len(spread), size=count)]
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
    return mixed


def _nearest(unit: Array) -> float:
    """The median distance of unit rows to the nearest other."""
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1.0)
    return float(np.median(np.sqrt(np.maximum(2 - 2 * cosine.max(axis=1), 1e-4))))
