"""The recursion: judge a level, decode its forest, contract it, until no edge is added."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.coordinate.level import Level, Rows, contracted, first_level
from models.coordinate.linkage import density_of, edge_logits
from models.coordinate.network import CoordinateNetwork
from models.decode import decode

MAX_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Decoded:
    """A level and what became of it: `logit` [m, K] of its edges, `parent` and `root` [m] of its
    nodes as places in the level, `node` int64 [n]: where every row of the collection stands.
    """

    level: Level
    logit: Tensor
    parent: Rows
    root: Rows
    node: Rows


def recursion(
    network: CoordinateNetwork,
    vectors: Tensor,
    neighbours: Tensor,
    similarity: Tensor,
    counts: NDArray[np.int32],
    *,
    k: int,
    tau: tuple[float, float],
    first: Tensor | None = None,
    levels: int = MAX_LEVELS,
) -> Iterator[Decoded]:
    """Decode level after level; the last one has no edges that are kept, or is number `levels`.

    `tau` is the threshold of the first level and that of all others: images and clusters are told
    apart with different certainty; 1 for the others means one level alone. `neighbours` and
    `similarity` [n, K'] are the collection's graph, of which k neighbours are read. `first` are
    the logits of the first level, if they are known already.
    """
    level = first_level(vectors, neighbours, similarity, counts, k)
    node: Rows = np.arange(len(level))
    logit = first
    for number in range(levels):
        logit = edge_logits(network, vectors, level) if logit is None else logit
        probability = logit.sigmoid()
        density = density_of(level, probability)
        parent, root = (
            each.cpu().numpy()
            for each in decode(level.neighbours, probability, density, tau[min(number, 1)])
        )
        yield Decoded(level, logit, parent, root, node)
        if tau[1] >= 1 or np.array_equal(root, np.arange(len(level))):
            return
        level, place = contracted(vectors, level, root, k)
        node = place[node]
        logit = None


def final_labels(last: Decoded) -> NDArray[np.int64]:
    """The cluster of every row [n]: the root of its node on the last level."""
    return last.root[last.node]
