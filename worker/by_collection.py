"""Metrics of single collections, in a bounded number of series.

The collections that the settings name have series of their own; all others are put together in
one, whose label is `REST`. So there are as many series with a thousand collections as with two.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

LABEL = "collection"

# The label of all collections that are not named; no collection's name begins so.
REST = "_rest"

# A collection with fewer images is no worst one: two groups of ten images are no alarm.
_WORST_IMAGES = 1_000


class Together(StrEnum):
    """How the collections that are not named are put together."""

    MEAN = "mean by images"
    SUM = "sum"
    WORST = "largest, of those with 1,000 images"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that every collection has.

    `key` is its name in code, `name` its metric. `range` and `bad` are for people: which values it
    has, and what a bad one means.
    """

    key: str
    name: str
    meaning: str
    range: str
    bad: str
    together: Together = Together.MEAN


@dataclass(frozen=True, slots=True)
class _Shown:
    values: Mapping[str, float]
    images: int


class Figures(Collector):
    """The gauges of `declared`; none has a sample before a collection has the figure.

    `show` and `forget` belong to one thread, `collect` may be called from another.
    """

    def __init__(self, declared: Sequence[Figure], named: Collection[str]) -> None:
        self.declared = declared
        self._named = frozenset(named)
        self._shown: dict[str, _Shown] = {}

    def show(self, collection: str, images: int, values: Mapping[str, float]) -> None:
        """Show `values` by key beside those shown before; `images` of the collection weigh them."""
        before = self._shown[collection].values if collection in self._shown else {}
        self._shown[collection] = _Shown({**before, **values}, images)

    def forget(self, collection: str, keys: Collection[str]) -> None:
        """The collection has these figures no more."""
        shown = self._shown.get(collection)
        if shown is not None:
            left = {key: value for key, value in shown.values.items() if key not in keys}
            self._shown[collection] = _Shown(left, shown.images)

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        shown = dict(self._shown)
        for figure in self.declared:
            family = GaugeMetricFamily(figure.name, figure.meaning, labels=[LABEL])
            rest = []
            for collection, entry in shown.items():
                if figure.key not in entry.values:
                    continue
                if collection in self._named:
                    family.add_metric([collection], entry.values[figure.key])
                else:
                    rest.append((entry.values[figure.key], entry.images))
            together = _together(rest, figure.together)
            if together is not None:
                family.add_metric([REST], together)
            yield family


def _together(values: Sequence[tuple[float, int]], how: Together) -> float | None:
    """One value of many, each with the images of its collection; None of none."""
    if how is Together.WORST:
        return max((value for value, images in values if images >= _WORST_IMAGES), default=None)
    if not values:
        return None
    if how is Together.SUM:
        return sum(value for value, _ in values)
    images = sum(images for _, images in values)
    return sum(value * share for value, share in values) / images if images else 0.0


class Sizes(Collector):
    """A histogram of sizes for each collection, replaced as a whole by every `show`."""

    def __init__(self, declared: Figure, limits: Sequence[int], named: Collection[str]) -> None:
        self.declared = declared
        self._limits = limits
        self._named = frozenset(named)
        self._shown: dict[str, NDArray[np.int64]] = {}

    def show(self, collection: str, sizes: NDArray[np.int64]) -> None:
        """Take the sizes of all clusters of a collection, int64 [clusters]."""
        below = [int((sizes <= limit).sum()) for limit in self._limits]
        self._shown[collection] = np.array([*below, len(sizes), int(sizes.sum())], np.int64)

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        family = HistogramMetricFamily(self.declared.name, self.declared.meaning, labels=[LABEL])
        series: dict[str, NDArray[np.int64]] = {}
        for collection, counts in dict(self._shown).items():
            label = collection if collection in self._named else REST
            series[label] = series[label] + counts if label in series else counts
        for label, counts in series.items():
            limits = [str(float(limit)) for limit in self._limits]
            *below, images = counts.tolist()
            buckets = list(zip([*limits, "+Inf"], map(float, below), strict=True))
            family.add_metric([label], buckets, float(images))
        yield family
