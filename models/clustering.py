"""`cluster`: any features in, clusters out. What comes out: `Clustering`."""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInputError

if TYPE_CHECKING:
    from models.context import CollectionContext
    from models.graph import KnnGraph, Progress
    from models.hilander import HiLander
    from models.model import Model


@dataclass(frozen=True, slots=True)
class Clustering:
    """The result of one run over n rows.

    `labels` int64 [n]: 0..clusters-1 in the order of first rows, -1 for dead rows. `confidence`
    float32 [n]: how likely the row belongs to its cluster, 0..1. `levels`: nested label arrays
    [n] from fine to coarse, of which `levels[level]` is `labels`. `exemplars` int64 [clusters]:
    the most typical row of each. `expected_f`: the pairwise F that the model expects of itself.
    `seconds` by stage. `context` serves `Model.edge_probabilities`; its rows are the rows of
    the run, which for `models.cluster` are the distinct features.
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


def cluster(
    features: ArrayLike,
    *,
    granularity: str | None = "thing",
    group_size: float | None = None,
    model: "HiLander | Model | None" = None,
    graph: "KnnGraph | None" = None,
    counts: NDArray[np.int32] | None = None,
    device: str | None = None,
    seed: int = 0,
    progress: "Progress | None" = None,
) -> Clustering:
    """Cluster `features`, any real array [n, d], one row per image. Blocks.

    Rows are normalised here; equal rows share a cluster. `granularity` says what a group is:
    "shot" (versions of one photo), "thing" (one person, product, character), "kind" (a category)
    or None (not known); `group_size` is the number of images in a typical image's group, if that
    is known. `model` defaults to the shipped weights on `device` (None: CUDA when there is one).

    With `graph`, the rows are taken as they are, one node each, and `counts` [n] says how many
    images share each (0: dead). Without it, the exact k-NN graph is built and `counts` must be
    None. The same arguments give the same result. Raises `BadInputError` naming the first row
    that is NaN, infinite or zero, and for arguments that do not fit.
    """
    from models.graph import nearest
    from models.hilander import HiLander
    from models.loading import load_model
    from models.vectors import collapse, unit_rows

    unit = unit_rows(features)
    judge = model.model if isinstance(model, HiLander) else model or load_model(device=device)
    run = partial(
        judge.cluster,
        granularity=granularity,
        group_size=group_size,
        seed=seed,
        progress=progress,
    )
    if graph is not None:
        return run(unit, graph, counts)
    if counts is not None:
        raise BadInputError("counts is given without graph; equal rows are counted by themselves")
    start = time.perf_counter()
    distinct = collapse(unit)
    knn = nearest(distinct.unit, judge.k, device=judge.device, progress=progress)
    seconds = {"graph": time.perf_counter() - start}
    result = run(distinct.unit, knn, distinct.counts)
    _, first = np.unique(distinct.row, return_index=True)
    return replace(
        result,
        labels=result.labels[distinct.row],
        confidence=result.confidence[distinct.row],
        levels=[labels[distinct.row] for labels in result.levels],
        exemplars=first[result.exemplars],
        seconds=seconds | result.seconds,
    )
