"""What every loaded model can do, whichever input its networks read."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.clustering import Clustering
from models.context import CollectionContext
from models.graph import KnnGraph, Progress


class Model(Protocol):
    """One set of weights on one device. Thread-safe: nothing changes after loading."""

    @property
    def device(self) -> str:
        """The torch name of where it runs."""

    @property
    def k(self) -> int:
        """How many neighbours of each row are read."""

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
        """Cluster a whole collection. Blocks.

        `vectors` float32 [n, d] unit rows (an np.memmap will do), `graph` their k-NN graph of
        which the first `k` neighbours count, `counts` int32 [n] the images that share a row (None:
        one each; 0: dead, label -1, and taken out of the lists of others, which become shorter by
        it). `granularity` and `group_size` as for `models.cluster`. The same arguments give the
        same result. Raises `BadInputError`.
        """

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
        """What `edge_probabilities` must know of a collection that had no run yet."""

    def edge_probabilities(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        rows: NDArray[np.integer],
        context: CollectionContext,
        *,
        first: int | None = None,
    ) -> NDArray[np.float32]:
        """The probability that each edge of `rows` links two images of one cluster. No row of
        `graph` may list a dead one.

        Float32 [len(rows), K], 0 at padding, and beyond the `first` neighbours of each row if
        only so many are to be judged. The cost does not depend on the collection's size. Runs on
        the CPU.
        """
