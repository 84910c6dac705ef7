"""`cluster`: any features in, clusters out. What comes out: `Clustering`."""

import time
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInputError

if TYPE_CHECKING:
    from models.context import CollectionContext
    from models.graph import KnnGraph, Progress
    from models.hierarchy import Hierarchy
    from models.hilander import HiLander
    from models.model import Model


class Unsaid(Enum):
    """What an argument is that was not given, where None says something."""

    UNSAID = "unsaid"


UNSAID: Final = Unsaid.UNSAID


@dataclass(frozen=True, slots=True)
class Clustering:
    """The result of one run over n rows.

    `labels` int64 [n]: 0..clusters-1 in the order of first rows, -1 for dead rows. `confidence`
    float32 [n]: the probability that another image of the row's cluster matches it, or, for a row
    alone, that nothing does. `levels`: nested label arrays [n] from fine to coarse,
    of which `levels[level]` is `labels`. `exemplars` int64 [clusters]: the most typical row of
    each.

    `expected_precision`, `expected_recall`, `expected_f`: the pairwise figures that the run
    expects of itself. `method` is how the clusters were made and `reason` why: "hi-lander"; where
    little was expected of that, "hi-lander sized by linkage"; of up to 50 distinct images "average
    linkage of few images"; after answers "hi-lander cut by answers". `device`: where it ran, "cpu"
    or "cuda".

    `context` serves `Model.edge_probabilities`; its rows are those of the run, which for
    `models.cluster` are the distinct features. `hierarchy` is what `models.ask` and
    `models.calibrated` need. `seconds` by stage. A model of the coordinate input
    knows neither `hierarchy` nor what is expected of it beyond `expected_f`: None.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    levels: list[NDArray[np.int64]]
    level: int
    exemplars: NDArray[np.int64]
    expected_f: float
    method: str
    seconds: dict[str, float]
    context: "CollectionContext"
    reason: str = ""
    device: str = "cpu"
    expected_precision: float | None = None
    expected_recall: float | None = None
    hierarchy: "Hierarchy | None" = None

    def spread(self, row: NDArray[np.int64]) -> "Clustering":
        """The same over images [n], of which image i is at row `row[i]` of this result."""
        _, first = np.unique(row, return_index=True)
        return replace(
            self,
            labels=self.labels[row],
            confidence=self.confidence[row],
            levels=[labels[row] for labels in self.levels],
            exemplars=first[self.exemplars],
            hierarchy=self.hierarchy and replace(self.hierarchy, row=self.hierarchy.row[row]),
        )


def cluster(
    features: ArrayLike,
    *,
    granularity: str | Unsaid | None = UNSAID,
    group_size: float | Unsaid | None = UNSAID,
    model: "HiLander | Model | None" = None,
    graph: "KnnGraph | None" = None,
    counts: NDArray[np.int32] | None = None,
    device: str | None = None,
    seed: int | Unsaid = UNSAID,
    progress: "Progress | None" = None,
) -> Clustering:
    """Cluster `features`, any real array [n, d], one row per image. Blocks.

    Rows are normalised here; equal rows share a cluster, and so do those that rounding alone keeps
    apart. `granularity` says what a group is:
    "shot" (versions of one photo), "thing" (one person, product, character), "kind" (a category)
    or None (not known); `group_size` is the number of images in a typical image's group, None if
    that is not known. `model` defaults to the shipped weights on `device` (None: CUDA when there
    is one). Where they are not given, granularity is "thing", size None and `seed` 0, or what a
    `HiLander` that is given as `model` has for them.

    Without `graph` the exact k-NN graph is built. With `graph` and `counts` [n], which says how
    many images share each row (0: dead, and taken out of the lists of others), rows are taken as
    they are, one node each; `counts` alone is refused. The same arguments give the same result.
    Raises `BadInputError` naming the first row that is NaN, infinite or zero, or of which `graph`
    tells something else than its neighbours by falling cosine, and for arguments that do not fit.
    """
    from models.copies import distinct_graph, distinct_part
    from models.graph_check import check_graph
    from models.hilander import HiLander
    from models.loading import load_model
    from models.vectors import unit_rows

    unit = unit_rows(features)
    judge = model.model if isinstance(model, HiLander) else model or load_model(device=device)
    options = {"granularity": granularity, "group_size": group_size, "seed": seed}
    said: dict[str, Any] = {k: v for k, v in options.items() if v is not UNSAID}
    run = partial((model or judge).cluster, progress=progress, **said)
    if graph is not None:
        check_graph(graph, unit)
        if counts is not None:
            return run(unit, graph, counts)
    elif counts is not None:
        raise BadInputError("counts is given without graph; equal rows are counted by themselves")
    start = time.perf_counter()
    if graph is None:
        distinct, knn = distinct_graph(unit, judge.k, device=judge.device, progress=progress)
    else:
        distinct, knn = distinct_part(unit, graph, device=judge.device)
    seconds = {"graph": time.perf_counter() - start}
    result = run(distinct.unit, knn, distinct.counts)
    return replace(result.spread(distinct.row), seconds=seconds | result.seconds)
