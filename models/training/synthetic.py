"""Made-up collections: families of look-alike classes with modes, bursts, outliers and hubs."""

import numpy as np
from numpy.typing import NDArray

from models.training.sources import Generator, LabelledSet, classes_within
from models.vectors import unit_rows

Array = NDArray[np.float64]
LAWS = ("equal", "power law", "medium", "uniform", "large", "mostly single")
LAW_SHARES = (0.15, 0.25, 0.15, 0.1, 0.2, 0.15)
LARGEST_CLASS = 300
ANY_WORD = (None, "shot", "thing", "kind")
HARD, EASY = (0.45, 2.2), (0.03, 0.5)


def synthetic(rng: Generator) -> LabelledSet:
    """One collection of 800 to 5,000 rows in 24 to 160 dimensions. Its classes are no word's."""
    return _collection(_sizes(rng), HARD, rng)


def easy(rng: Generator) -> LabelledSet:
    """One collection of 20 to 800 rows whose classes nobody could confuse.

    What looks trivial is far from what real sets look like, and must not be left to
    extrapolation. Its word is any: whatever a group is, these are groups.
    """
    rows = int(np.exp(rng.uniform(np.log(20), np.log(800))))
    largest = int(np.exp(rng.uniform(np.log(2), np.log(200))))
    sizes = np.full(rows, largest)
    if rng.random() < 0.5:
        sizes = rng.integers(1, largest + 1, size=rows)
    part = _collection(_until(sizes, rows, fewest=2), EASY, rng)
    return part.called(ANY_WORD[rng.integers(len(ANY_WORD))])


def _collection(
    sizes: NDArray[np.int64], spreads: tuple[float, float], rng: Generator
) -> LabelledSet:
    """Classes of those sizes whose spread, against that of their centres, lies in `spreads`."""
    d = int(rng.integers(24, 160))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    space = _Space(d, rng)
    x = _centres(len(sizes), space, rng)[labels]
    spread = np.exp(rng.uniform(*np.log(spreads)))
    by_class = np.exp(rng.uniform(0, 0.35) * rng.standard_normal(len(sizes)))[labels]
    by_row = np.exp(rng.uniform(0, 0.5) * rng.standard_normal(len(labels)))
    x = x + spread * (by_class * by_row)[:, None] * _within(labels, sizes, space, rng)
    if rng.random() < 0.3:
        x = _with_hubs(x, space, rng)
    direction = rng.standard_normal(d)
    x = x + rng.choice([0, 0, 1, 2]) * rng.random() * direction / np.linalg.norm(direction)
    order = rng.permutation(len(labels))
    return LabelledSet("synthetic", unit_rows(x[order]), labels[order], None)


class _Space:
    """Draws factors: points whose axes decay, in one common basis or each in its own."""

    def __init__(self, d: int, rng: Generator) -> None:
        self.d, self.rng = d, rng
        self.basis = self._rotation()
        self.common = rng.random() < 0.6

    def _rotation(self) -> Array:
        return np.linalg.qr(self.rng.standard_normal((self.d, self.d)))[0]

    def factor(self, count: int) -> Array:
        """[count, d] points of unit mean square length."""
        tail = np.exp(self.rng.uniform(0, 0.3) * self.rng.standard_normal((count, 1)))
        axes = np.arange(1, self.d + 1) ** -self.rng.uniform(0, 0.9)
        axes /= np.linalg.norm(axes)
        basis = self.basis if self.common else self._rotation()
        return (self.rng.standard_normal((count, self.d)) * tail * axes) @ basis


def _sizes(rng: Generator) -> NDArray[np.int64]:
    rows = int(rng.integers(800, 3_000))
    law = rng.choice(LAWS, p=LAW_SHARES)
    if law == "equal":
        sizes = np.full(3_000, int(np.exp(rng.uniform(np.log(4), np.log(200)))))
    elif law == "power law":
        sizes = 1 + (rng.pareto(rng.uniform(0.8, 2.0), 5_000) * rng.uniform(0.5, 6)).astype(int)
    elif law == "medium":
        sizes = rng.integers(20, 220, size=500)
    elif law == "uniform":
        sizes = rng.integers(1, 40, size=1_500)
    elif law == "large":
        rows = int(rng.integers(1_500, 5_000))
        return _until(rng.integers(80, 500, size=60), rows)
    else:
        few = 1 + (rng.pareto(0.8, 4_000) * 3).astype(int)
        sizes = np.where(rng.random(4_000) < 0.75, 1, few)
    return _until(np.minimum(sizes, LARGEST_CLASS), rows)


def _until(sizes: NDArray[np.int64], rows: int, fewest: int = 6) -> NDArray[np.int64]:
    return sizes[: classes_within(sizes, rows, fewest)]


def _centres(classes: int, space: _Space, rng: Generator) -> Array:
    """Classes of one family share part of their centre."""
    families = max(1, classes // int(rng.integers(2, 15)))
    family = space.factor(families)[rng.integers(families, size=classes)]
    alike = rng.uniform(0, 0.8) * (rng.random() < 0.8)
    centres: Array = np.sqrt(alike) * family + np.sqrt(1 - alike) * space.factor(classes)
    return centres


def _within(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], space: _Space, rng: Generator
) -> Array:
    """Differences inside classes: of each row, of modes of a class, of bursts of rows."""
    n = len(labels)
    share = rng.dirichlet([1.2, 0.5, 0.4]) * [1, rng.random() < 0.6, rng.random() < 0.4]
    weight = np.sqrt(share / share.sum())
    x: Array = weight[0] * space.factor(n)
    if weight[1] > 0:
        modes = int(rng.integers(2, 9))
        mode = np.minimum(rng.geometric(rng.uniform(0.2, 0.6), n) - 1, modes - 1)
        x = x + weight[1] * space.factor(len(sizes) * modes)[labels * modes + mode]
    if weight[2] > 0:
        bursts = np.maximum(1, (sizes[labels] / rng.uniform(1.5, 4)).astype(int))
        key = labels * (int(sizes.max()) + 1) + rng.integers(0, bursts)
        burst = np.unique(key, return_inverse=True)[1].ravel()
        x = x + weight[2] * space.factor(int(burst.max()) + 1)[burst]
    return x


def _with_hubs(x: Array, space: _Space, rng: Generator) -> Array:
    """A few rows drift towards one of six points that are near everything."""
    chosen = rng.random(len(x)) < rng.uniform(0, 0.08)
    way = rng.beta(2, 2, len(x))[:, None]
    hub = 0.5 * space.factor(6)[rng.integers(6, size=len(x))]
    return np.where(chosen[:, None], (1 - way) * x + way * hub, x)
