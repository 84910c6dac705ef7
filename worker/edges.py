"""Edge probabilities for new rows: what step 5 asks of the model."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from index import CollectionIndex
from worker.assignments import Rows

if TYPE_CHECKING:
    from models import CollectionContext, KnnGraph, Model

# The statistics of a collection are measured again when it has grown by this factor.
_GROWTH = 2.0

# From so many rows on that takes long enough to be done on a thread of its own, from a copy.
_ASIDE_ROWS = 20_000
_ASIDE = ThreadPoolExecutor(1, "statistics")

# Rows that came since are measured, and in-degrees counted, when it has grown by this one: quickly
# done for all at once, slowly for some of them in every batch.
_COUNTED_GROWTH = 1.05

# A new row is placed by its nearest neighbours; judging all thirty costs several times as much.
_JUDGED = 6

_MADE_UP_ROWS, _MADE_UP_DIMENSION = 64, 8


class Edges(Protocol):
    """How likely two neighbours belong together."""

    def probabilities(self, index: CollectionIndex, rows: Rows) -> NDArray[np.float32]:
        """Probabilities float32 [len(rows), K] of the rows' edges in the kept graph; 0: no edge."""

    def renew(self, index: CollectionIndex, context: Path) -> None:
        """A full run measured the collection's statistics anew, in the file `context`."""


class ModelEdges:
    """The edges of Hi-LANDER, with the statistics of one collection (`CollectionContext`)."""

    def __init__(
        self, model: "Model", granularity: str | None = None, group_size: float | None = None
    ) -> None:
        self._model = model
        self._granularity = granularity
        self._group_size = group_size
        self._context: CollectionContext | None = None
        self._measured: Future[CollectionContext] | None = None
        self._rows = self._counted = 0

    def probabilities(self, index: CollectionIndex, rows: Rows) -> NDArray[np.float32]:
        """As `Edges.probabilities`; O(len(rows) K), now and then O(sample) for the statistics."""
        from models import KnnGraph

        graph = KnnGraph(index.neighbours, index.similarity)
        context = self._measure(index, graph)
        if index.rows > _COUNTED_GROWTH * self._counted:
            context = context.grown(index.vectors, index.neighbours)
            self._counted = index.rows
        self._context = context
        return self._model.edge_probabilities(index.vectors, graph, rows, context, first=_JUDGED)

    def _measure(self, index: CollectionIndex, graph: "KnnGraph") -> "CollectionContext":
        """The statistics; measured anew where the collection has grown enough."""
        if self._measured is not None and self._measured.done():
            self._context, self._measured = self._measured.result(), None
            self._counted = self._rows
        if self._context is not None and (
            self._measured is not None or index.rows <= _GROWTH * self._rows
        ):
            return self._context
        self._rows = index.rows
        measure = partial(
            self._model.context, granularity=self._granularity, group_size=self._group_size
        )
        if self._context is not None and index.rows >= _ASIDE_ROWS:
            still = type(graph)(graph.neighbours.copy(), graph.similarity.copy())
            self._measured = _ASIDE.submit(measure, index.vectors, still, index.counts.copy())
            return self._context
        self._counted = index.rows
        return measure(index.vectors, graph, index.counts)

    def renew(self, index: CollectionIndex, context: Path) -> None:
        """Take over the statistics that a full run measured."""
        from models import CollectionContext

        self._measured = None
        self._context = CollectionContext.load(context).grown(index.vectors, index.neighbours)
        self._rows = self._counted = index.rows


def warm_up(model: "Model") -> None:
    """Have what a batch needs compiled or loaded, on made-up rows, so that no image waits for it.

    Takes some ten seconds once after an installation, a second where they are cached. Blocks. A
    model of one encoder takes no other dimension, and has nothing to compile.
    """
    from models import BadInputError, exact_knn

    rows = np.random.default_rng(0).standard_normal((_MADE_UP_ROWS, _MADE_UP_DIMENSION))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    graph = exact_knn(unit)
    with suppress(BadInputError):
        context = model.context(unit, graph)
        some = np.arange(_MADE_UP_ROWS // 2)
        model.edge_probabilities(unit, graph, some, context, first=_JUDGED)


class CosineEdges:
    """Probability 1 above a cosine, 0 below: for tests, and where no model is wanted."""

    def __init__(self, cosine: float = 0.8) -> None:
        self._cosine = cosine

    def probabilities(self, index: CollectionIndex, rows: Rows) -> NDArray[np.float32]:
        """As `Edges.probabilities`."""
        return (index.similarity[rows] >= self._cosine).astype(np.float32)

    def renew(self, index: CollectionIndex, context: Path) -> None:
        """Nothing to take over."""
