"""Kinds: classes that look alike as one, so that a word for coarser groups is learnt too."""

import numpy as np

from models.peers.linkage import AverageLinkage
from models.training.sources import Generator, LabelledSet
from models.vectors import unit_rows

MOST_ROWS = 3_000
FEWEST_CLASSES = 30
CLASSES_A_KIND = (2, 8)
# What looks alike is not always of a kind.
WEIGHT = 0.5


def kinds(source: LabelledSet, rng: Generator) -> LabelledSet:
    """Some of the classes of `source`, joined by average linkage of their means."""
    chosen = rng.permutation(source.classes)[: int(source.classes * rng.uniform(0.4, 1.0))]
    part = source.of_classes(chosen)
    if len(part) > MOST_ROWS:
        part = part.rows(np.sort(rng.permutation(len(part))[:MOST_ROWS]))
    means = np.zeros((part.classes, part.unit.shape[1]))
    np.add.at(means, part.labels, part.unit - part.unit.mean(axis=0))
    means[~means.any(axis=1)] = 1.0
    count = max(3, int(part.classes / rng.uniform(*CLASSES_A_KIND)))
    linkage = AverageLinkage(unit_rows(means))
    kind = linkage.labels(float(np.sort(linkage.height)[part.classes - count - 1]))
    return LabelledSet(part.name, part.unit, kind[part.labels], "kind", weight=WEIGHT)
