"""The shipped kind of model: it reads relations between vectors, so any encoder will do."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.certainty import Certainty, Promised
from models.choice import LEAST_LIKELY, LINKED, NO_CHOICE, Choice, as_large_as, near_size, surest
from models.clustering import Clustering
from models.conditions import UNKNOWN_SIZE, are_kinds, conditions, usual_size
from models.context import CollectionContext, context_of
from models.decode import predicted_density
from models.device import device_of, warn_of_memory
from models.few import FEW_ROWS, choose_few, edges_of_few, linkage_tree
from models.graph import KnnGraph, Progress
from models.hierarchy import Hierarchy
from models.judging import first_round
from models.likeness import weighed
from models.living import alive_rows, living_graph
from models.merging import merged
from models.network import HiLanderNetwork
from models.null_linkage import linked_size
from models.prospects import Prospects, prospects
from models.publishing import published
from models.stages import Stages
from models.view import View, view_of
from models.weights import Config

# A context without a run measures no more rows than this at once.
CONTEXT_ROWS = 200_000
# Below this expected pairwise F the cut is not trusted: docs/decisions/0107.
LOST_BELOW = 0.3
LINKAGE_SEED = 0
LOST = "merges promise F {f:.2f} only: groups as large as average linkage finds them, {size:.0f}"


class RelationalModel:
    """One set of weights on one device. Thread-safe: nothing here changes after loading."""

    def __init__(self, network: HiLanderNetwork, config: Config, device: str | None = None) -> None:
        self.device = device_of(device)
        self.config = config
        self.network = network.to(self.device).eval()
        # A batch of new rows is too small to be worth a journey to a GPU.
        self._at_hand = deepcopy(self.network).to("cpu")

    @property
    def k(self) -> int:
        """How many neighbours of each row are read."""
        return self.config.k

    def context(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        counts: NDArray[np.int32] | None = None,
        *,
        granularity: str | None = "thing",
        group_size: float | None = None,
        seed: int = 0,
    ) -> CollectionContext:
        """What `edge_probabilities` must know of a collection that had no run yet.

        Arguments as for `cluster`; runs on the CPU. The same as `Clustering.context` of a run
        over the same rows, save that rows after the first 200,000 are measured when they are met.
        """
        view = view_of(vectors, living_graph(graph, counts).first(self.k))
        alive = alive_rows(counts, len(view))
        told = conditions(granularity, group_size)
        return context_of(view, alive, told, seed=seed, rows_known=CONTEXT_ROWS)

    def edge_probabilities(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        rows: NDArray[np.integer],
        context: CollectionContext,
        *,
        first: int | None = None,
    ) -> NDArray[np.float32]:
        """Round 1's probability that each edge of `rows` links two images of one cluster, or, where
        images are too few for that (`models.few`), that of their cosine.

        Float32 [len(rows), K], 0 at padding, and beyond the `first` neighbours of each row if
        only so many are to be judged. The cost does not depend on the collection's size. With
        the context of a run over the same collection these are that run's own. Runs on the CPU.
        """
        view = view_of(vectors, graph.first(self.k))
        wanted = np.asarray(rows, np.int64)
        out = np.zeros((len(wanted), graph.neighbours.shape[1]), np.float32)
        width = view.k if first is None else min(first, view.k)
        if not out.size or width < 1:
            return out
        few = len(view) <= FEW_ROWS
        out[:, :width] = (
            edges_of_few(view, wanted, width)
            if few
            else first_round(self._at_hand, view, context, wanted, width)
        )
        return out

    def cluster(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        counts: NDArray[np.int32] | None = None,
        *,
        granularity: str | None = "thing",
        group_size: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Clustering:
        """Cluster a whole collection. Blocks: 100,000 rows took 8 CPU seconds.

        `vectors` float32 [n, d] unit rows (an np.memmap will do), `graph` their k-NN graph of
        which the first 30 neighbours count, `counts` int32 [n] the images that share a row (None:
        one each; 0: dead, label -1, and taken out of the lists of others, which become shorter by
        it). `granularity` and `group_size` as for `models.cluster`. The same arguments give the
        same result. Where the memory of a GPU does not do, the CPU runs, with a warning. Raises
        `BadInputError`.
        """
        told = conditions(granularity, group_size)
        nearest = living_graph(graph, counts).first(self.k)
        try:
            return self._cluster(
                view_of(vectors, nearest, self.device), self.network, counts, told, seed, progress
            )
        except torch.OutOfMemoryError:
            n, d = vectors.shape
            warn_of_memory(self.device, f"{n:,} rows of {d} dimensions")
        return self._cluster(view_of(vectors, nearest), self._at_hand, counts, told, seed, progress)

    def _cluster(
        self,
        view: View,
        network: HiLanderNetwork,
        counts: NDArray[np.int32] | None,
        told: NDArray[np.float32],
        seed: int,
        progress: Progress | None,
    ) -> Clustering:
        alive = alive_rows(counts, len(view))
        weight = np.ones(len(view), np.int32) if counts is None else np.asarray(counts, np.int32)
        stages = Stages(progress)
        with stages.stage("features"):
            context = context_of(view, alive, told, seed=seed)
        p, tree = merged(network, view, context, stages)
        few = 1 < len(alive) <= FEW_ROWS
        with stages.stage("cut"):
            tree = linkage_tree(view, alive) if few else weighed(tree, view, context)
            density = predicted_density(view.similarity, p, view.neighbours >= 0).cpu().numpy()
            certainty = Promised() if few else Certainty(self._at_hand, context)
            hierarchy = Hierarchy(tree, weight, density, np.arange(len(view)), certainty)
            family = prospects(tree, weight)
            choice = NO_CHOICE
            if few:
                choice = choose_few(family, context.conditions, len(alive))
            elif len(tree.left):
                choice = choose(family, view, context, weight)
            parts = published(hierarchy, family, choice.lam)
            result = Clustering(
                labels=parts.labels,
                confidence=parts.confidence,
                levels=parts.levels,
                level=parts.level,
                exemplars=parts.exemplars,
                expected_f=parts.expected_f,
                method=choice.method,
                seconds=stages.seconds,
                context=context,
                reason=choice.reason,
                device=view.device.type,
                expected_precision=parts.expected_precision,
                expected_recall=parts.expected_recall,
                hierarchy=hierarchy,
            )
        stages.report("cut", 1.0)
        return result


def choose(
    family: Prospects, view: View, context: CollectionContext, counts: NDArray[np.int32]
) -> Choice:
    """The cut of the largest expected F, near the size that is told; if none is told, with a lambda
    of LEAST_LIKELY at least (save of kinds), not too large for the doubt in it, and where little
    is expected, of the size that average linkage finds.
    """
    told = float(context.conditions[0])
    if told != UNKNOWN_SIZE:
        return near_size(family, float(np.exp(told)))
    least = 0.0 if are_kinds(context.conditions) else LEAST_LIKELY
    choice = surest(family, usual_size(context.conditions), least)
    if choice.f >= LOST_BELOW:
        return choice
    size = linked_size(view, context.mean, counts, LINKAGE_SEED)
    reason = LOST.format(f=choice.f, size=size)
    return replace(as_large_as(family, size), method=LINKED, reason=reason)
