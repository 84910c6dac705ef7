"""From edge probabilities to super-nodes, and the network that scores pairs of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.asking import Score
from models.context import CollectionContext
from models.folding import Folded
from models.judging import Answers
from models.kernels import columns
from models.kernels.blocks import in_blocks
from models.kernels.pair_features import write_pair_features
from models.network import HiLanderNetwork
from models.pair_features import PAIR_FEATURES
from models.pairs import Floats, Pairs
from models.supernodes import Clusters, first_level
from models.view import View

# Features that exist at once, for each thread: 8,192 x 41 float32 are 1.3 MiB.
PAIRS_AT_ONCE = 8_192
# Centred cosines up to this are those of strangers, rounding included.
NOT_ALIKE = 1e-5


def super_nodes(view: View, answers: Answers) -> tuple[Clusters, Pairs]:
    """Every row a cluster of its own, every edge a pair, with the probabilities of `answers`."""
    edges, nodes = answers.edges, answers.edges.nodes
    return first_level(
        (edges.i, edges.j, _links(answers.p, answers.r), answers.r),
        view.vectors.numpy(),
        edges.mean,
        nodes[:, columns.NEAR_TEN],
        nodes[:, columns.COHERENCE],
        edges.ids,
    )


def _links(p: NDArray[Any], r: NDArray[Any]) -> NDArray[Any]:
    """`p` [e]; zeros where no edge is between rows that have anything in common, by R [e].

    Orthogonal rows are all nearest neighbours of each other, which looks like one dense cluster.
    """
    return p if (r > NOT_ALIKE).any() else np.zeros_like(p)


def pair_score(network: HiLanderNetwork, context: CollectionContext) -> Score:
    """The pair network, on the CPU, as `build_tree` asks it of a collection of that `context`."""
    judge = Folded.of(network.pair, context.inputs(network.pair.mean.device))

    def score(clusters: Clusters, pairs: Pairs) -> Floats:
        out = np.empty(len(pairs), np.float32)

        def ask(start: int, stop: int) -> None:
            buffer = np.empty((min(stop - start, PAIRS_AT_ONCE), PAIR_FEATURES), np.float32)
            for first in range(start, stop, PAIRS_AT_ONCE):
                x = buffer[: stop - first]
                write_features(clusters, pairs, first, x)
                out[first : first + len(x)] = judge.probability(torch.from_numpy(x)).numpy()

        in_blocks(ask, len(pairs))
        return out

    return score


def write_features(clusters: Clusters, pairs: Pairs, first: int, out: NDArray[np.float32]) -> None:
    """`pair_features` of the pairs from `first` on that fit into `out` [b, 41]."""
    write_pair_features(
        pairs.ends,
        pairs.sums,
        first,
        first + len(out),
        clusters.lines,
        clusters.vector_sums,
        out,
    )
