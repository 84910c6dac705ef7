"""A trained coordinate model at work: vectors and a k-NN graph in, clusters out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.clustering import Clustering
from models.conditions import conditions
from models.context import CollectionContext, empty_context
from models.coordinate.forest import confidence, expected_f, nested
from models.coordinate.level import rows_only
from models.coordinate.linkage import logits_of
from models.coordinate.network import CoordinateNetwork
from models.coordinate.recursion import Decoded, recursion
from models.coordinate.weights import CoordinateConfig
from models.device import device_of
from models.errors import BadInputError
from models.graph import K, KnnGraph, Progress
from models.living import alive_rows, living_graph
from models.stages import Stages
from models.view import View, view_of

METHOD = "hi-lander (coordinate)"


class CoordinateModel:
    """The paper's model for one encoder. Thread-safe: nothing here changes after loading."""

    def __init__(
        self, network: CoordinateNetwork, config: CoordinateConfig, device: str | None = None
    ) -> None:
        self.device = device_of(device)
        self.config = config
        self.network = network.to(self.device).eval()

    @property
    def k(self) -> int:
        """Neighbours of each row that count: nine are read, all are candidates for upper levels."""
        return K

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
        """As `Model.cluster`. What a group is was learnt: the word and the size change nothing.

        Raises `BadInputError` for vectors of another dimension than that of the training too.
        """
        conditions(granularity, group_size)
        del seed
        graph = living_graph(graph, counts).first(self.k)
        view = self._view(vectors, graph, self.device)
        alive = np.zeros(len(view), np.bool_)
        alive[alive_rows(counts, len(view))] = True
        stages = Stages(progress)
        with stages.stage("levels"):
            steps = self._recursion(view, alive if counts is None else counts)
        with stages.stage("cut"):
            result = self._result(steps, graph.neighbours, alive)
        stages.report("cut", 1.0)
        return replace(result, seconds=stages.seconds)

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
        """As `Model.context`; nothing needs to be known of a collection here."""
        del vectors, graph, counts, seed
        conditions(granularity, group_size)
        return empty_context()

    def edge_probabilities(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        rows: NDArray[np.integer],
        context: CollectionContext,
        *,
        first: int | None = None,
    ) -> NDArray[np.float32]:
        """As `Model.edge_probabilities`."""
        del context
        view = self._view(vectors, graph, self.device)
        out = np.zeros((len(rows), graph.neighbours.shape[1]), np.float32)
        width = view.k if first is None else min(first, view.k)
        if not out.size or width < 1:
            return out
        wanted = torch.from_numpy(np.array(rows, np.int64)).to(view.device)
        edges = view.neighbours[wanted, :width]
        level = rows_only(view.vectors, view.neighbours, view.similarity, self.config.neighbours)
        with torch.no_grad():
            logit = logits_of(self.network, view.vectors, level, wanted, edges)
        out[:, :width] = (self._probability(logit) * (edges >= 0)).cpu().numpy()
        return out

    def _recursion(self, view: View, counts: NDArray[np.integer | np.bool_]) -> list[Decoded]:
        way = recursion(
            self.network,
            view.vectors,
            view.neighbours,
            view.similarity,
            counts.astype(np.int32),
            k=self.config.neighbours,
            tau=(self.config.tau, self.config.tau_above),
        )
        return list(way)

    def _view(self, vectors: NDArray[np.float32], graph: KnnGraph, device: str) -> View:
        view = view_of(vectors, graph.first(self.k), device)
        if len(view) and view.vectors.shape[1] != self.config.dimension:
            raise BadInputError(
                f"vectors have {view.vectors.shape[1]} dimensions; this model was trained on "
                f"{self.config.dimension}, for one encoder"
            )
        return view

    def _probability(self, logit: Tensor) -> Tensor:
        return (self.config.slope * logit + self.config.offset).sigmoid()

    def _result(
        self, steps: Sequence[Decoded], neighbours: NDArray[np.int32], alive: NDArray[np.bool_]
    ) -> Clustering:
        probability = [
            self._probability(step.logit) * (step.level.neighbours >= 0) for step in steps
        ]
        levels, peaks = nested(steps, alive)
        read = neighbours[:, : self.config.neighbours]
        return Clustering(
            labels=levels[-1],
            confidence=confidence(steps, probability, levels[-1]),
            levels=levels,
            level=len(levels) - 1,
            exemplars=peaks,
            expected_f=expected_f(read, probability[0].cpu().numpy(), levels[-1]),
            method=METHOD,
            seconds={},
            context=empty_context(),
            device=probability[0].device.type,
        )
