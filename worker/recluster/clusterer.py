"""What a run needs of a clusterer; a `models.Model` is the real one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.recluster.view import View

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done, 0..1."""


class Context(Protocol):
    """What the clusterer wants kept until the next run, for provisional assignments."""

    def save(self, path: Path) -> object:
        """Write one file."""


class Clustering(Protocol):
    """A flat clustering of the rows of a view, with the hierarchy it was cut from."""

    @property
    def labels(self) -> NDArray[Any]:
        """Int [n]: 0.. without gaps, -1 for dead rows."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Float32 [n], 0..1."""

    @property
    def levels(self) -> Sequence[NDArray[Any]]:
        """Int [n] each: the hierarchy's groups, finest first."""

    @property
    def exemplars(self) -> NDArray[Any]:
        """Int [clusters]: the row of each label's most typical image."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """By stage."""

    @property
    def expected_f(self) -> float:
        """The model's own estimate of its pairwise F, 0..1."""

    @property
    def method(self) -> str:
        """How the clusters were made."""

    @property
    def reason(self) -> str:
        """Why so, where it is not the usual way; else empty."""

    @property
    def device(self) -> str:
        """Where it ran: "cpu" or "cuda"."""

    @property
    def questions(self) -> NDArray[Any]:
        """Int [m, 2]: pairs of rows that it would like to know of: are they of one group?"""

    @property
    def context(self) -> Context:
        """What to keep for provisional assignments."""


Clusterer = Callable[[View, Progress], Clustering]


def check(clustering: Clustering, counts: NDArray[np.int32]) -> None:
    """Raise `ValueError` where a clusterer broke its contract, before it does harm."""
    labels, n = clustering.labels, len(counts)
    for name in ("labels", "confidence"):
        if getattr(clustering, name).shape != (n,):
            raise ValueError(f"the clusterer's {name} are not of shape {(n,)}")
    lost = int(((counts > 0) & (labels < 0)).sum())
    if lost:
        raise ValueError(f"the clusterer left {lost} living rows without a cluster")
    top = int(labels.max(initial=-1))
    if top >= len(clustering.exemplars):
        raise ValueError(f"the clusterer gave label {top} no exemplar")
