"""HDBSCAN of three packages. Noise points are clusters of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.peers.components import Labels, Unit

# Minimum sizes of clusters that are tried where labels may choose.
MINIMUM_SIZES = (2, 3, 5, 8, 12, 20, 40)


class Density:
    """A clusterer of scikit-learn's manners, for any smallest size of a cluster; None: default."""

    def __init__(self, unit: Unit, make: Callable[[int | None], Any]) -> None:
        self._unit = unit
        self._make = make

    def parameters(self) -> list[float]:
        """The sizes worth trying."""
        return [float(size) for size in MINIMUM_SIZES if size <= len(self._unit)]

    def labels(self, size: float | None = None) -> Labels:
        """Cluster with that smallest size, or with the package's defaults."""
        made = self._make(None if size is None else int(size))
        return noise_alone(np.asarray(made.fit_predict(self._unit), np.int64))


def noise_alone(labels: Labels) -> Labels:
    """Rows labelled -1 become clusters of one."""
    out = labels.copy()
    noise = labels < 0
    out[noise] = labels.max(initial=-1) + 1 + np.arange(int(noise.sum()))
    return out


def sklearn_hdbscan(size: int | None) -> Any:
    """scikit-learn's HDBSCAN."""
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(copy=True, **_given(min_cluster_size=size))


def fast_hdbscan(size: int | None) -> Any:
    """The HDBSCAN of fast_hdbscan."""
    from fast_hdbscan import HDBSCAN

    return HDBSCAN(**_given(min_cluster_size=size))


def evoc(size: int | None, seed: int = 0) -> Any:
    """EVoC, made for embeddings."""
    from evoc import EVoC

    return EVoC(**_given(base_min_cluster_size=size), random_state=seed)


def _given(**options: int | None) -> dict[str, int]:
    return {name: value for name, value in options.items() if value is not None}
