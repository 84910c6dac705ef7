"""Drawings: characters that nobody ever wrote, drawn by many hands, as simple encoders see them.

Real sets of pictures show few large groups that differ little by little, as handwriting does, and
few encoders as plain as pixels. Strokes are Bezier curves; a hand moves their points, slants,
scales and thickens them; what is seen are pixels, gradients, random filters, or what tells other
characters apart.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.training.sources import Generator, LabelledSet, classes_within
from models.vectors import unit_rows

Array = NDArray[np.float32]
See = Callable[[Array], Array]
"""An encoder: pictures [n, side, side] to features [n, d]."""

NAME = "drawings"
ROWS = (400, 2_500)
SIZES = (4, 250)
FEWEST_CLASSES = 5
# Characters beside those of the set, from which an encoder learns what tells characters apart.
OTHERS, OTHER_ROWS = 40, 1_000
STEPS = 10
CELLS = 4
DIRECTIONS = 8
UNKNOWN_WORD = 0.2
# Rows drawn at once.
AT_ONCE = 256


def drawings(rng: Generator) -> LabelledSet:
    """One collection of 400 to 2,500 drawings of at least five characters."""
    sizes = _sizes(rng)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    hand = _Hand(rng)
    pictures = hand.draw(len(sizes), labels)
    features = _encoded(pictures, hand, rng)
    order = rng.permutation(len(labels))
    word = None if rng.random() < UNKNOWN_WORD else "thing"
    return LabelledSet(NAME, unit_rows(features[order]), labels[order], word)


def _sizes(rng: Generator) -> NDArray[np.int64]:
    """Pictures of each character: about equally many, or any number up to so many."""
    rows = int(rng.integers(*ROWS))
    typical = np.exp(rng.uniform(*np.log(SIZES)))
    if rng.random() < 0.5:
        sizes = typical * np.exp(0.2 * rng.standard_normal(ROWS[1]))
    else:
        sizes = 2 * typical * rng.random(ROWS[1])
    whole: NDArray[np.int64] = np.maximum(sizes.astype(np.int64), 1)
    return whole[: classes_within(whole, rows, FEWEST_CLASSES)]


class _Hand:
    """How characters of one collection are made and drawn."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.strokes = int(rng.integers(1, 5))
        # Strokes that several characters share make them look alike.
        self.shared = rng.uniform(0, 0.7)
        self.side = int(rng.choice([8, 12, 16, 20]))
        self.jitter = rng.uniform(0.01, 0.07)
        self.slant = rng.uniform(0.02, 0.3)
        self.shift = rng.uniform(0.0, 0.06)
        self.width = rng.uniform(0.03, 0.09)
        self.softness = rng.uniform(0.015, 0.06)
        self.noise = rng.uniform(0, 0.25) * (rng.random() < 0.5)
        self.writers = int(rng.integers(1, 40))

    def draw(self, characters: int, labels: NDArray[np.int64]) -> Array:
        """A picture [side, side] of 0..1 for each of `labels` [n]."""
        shapes = self._shapes(characters)
        writer = self._moves(self.writers)[self.rng.integers(self.writers, size=len(labels))]
        moves = writer + 0.5 * self._moves(len(labels))
        pictures = [
            self._drawn(shapes[labels[start : start + AT_ONCE]], moves[start : start + AT_ONCE])
            for start in range(0, len(labels), AT_ONCE)
        ]
        return np.concatenate(pictures)

    def _shapes(self, characters: int) -> Array:
        """Points [characters, strokes, 4, 2] of Bezier curves within the unit square."""
        own = self._curves(characters * self.strokes)
        pool = self._curves(2 + characters // 4)
        picked = pool[self.rng.integers(len(pool), size=len(own))]
        of_pool = self.rng.random(len(own)) < self.shared
        curves = np.where(of_pool[:, None, None], picked, own)
        return curves.reshape(characters, self.strokes, 4, 2)

    def _curves(self, count: int) -> Array:
        start = self.rng.uniform(0.2, 0.8, (count, 1, 2))
        steps = self.rng.normal(0, 0.3, (count, 3, 2))
        points = np.concatenate((start, start + steps.cumsum(axis=1)), axis=1)
        return np.asarray(points.clip(0.1, 0.9), np.float32)

    def _moves(self, count: int) -> Array:
        """[count, 7]: what is added to a 2 x 2 matrix, a shift, and by how much to thicken."""
        scale = [self.slant] * 4 + [self.shift] * 2 + [0.25]
        return np.asarray(self.rng.standard_normal((count, 7)) * scale, np.float32)

    def _drawn(self, shapes: Array, moves: Array) -> Array:
        n = len(shapes)
        points = shapes + self.jitter * self.rng.standard_normal(shapes.shape).astype(np.float32)
        matrix = np.eye(2, dtype=np.float32) + moves[:, :4].reshape(n, 2, 2)
        points = (points - 0.5).reshape(n, -1, 2) @ matrix + 0.5 + moves[:, None, 4:6]
        ink = np.einsum("tp,nspc->nstc", _bernstein(), points.reshape(shapes.shape))
        ink = ink.reshape(n, -1, 2)
        at = (np.arange(self.side, dtype=np.float32) + 0.5) / self.side
        down = (ink[:, :, 0, None] - at) ** 2
        across = (ink[:, :, 1, None] - at) ** 2
        distance = np.full((n, self.side, self.side), np.inf, np.float32)
        for step in range(ink.shape[1]):
            np.minimum(distance, down[:, step, :, None] + across[:, step, None, :], out=distance)
        width = self.width * np.exp(moves[:, 6])[:, None, None]
        dark = 1 / (1 + np.exp((np.sqrt(distance) - width) / self.softness))
        noise = self.noise * self.rng.standard_normal(dark.shape)
        return np.asarray((dark + noise).clip(0, 1), np.float32)


def _bernstein() -> Array:
    """What four points weigh along a cubic curve [STEPS, 4]."""
    t = np.linspace(0, 1, STEPS)[:, None]
    powers = (1 - t) ** np.arange(3, -1, -1) * t ** np.arange(4)
    return np.asarray(powers * [1, 3, 3, 1], np.float32)


def _encoded(pictures: Array, hand: _Hand, rng: Generator) -> Array:
    """The pictures [n, side, side] as one of several plain encoders has them [n, d]."""
    see = _SEEN[rng.integers(len(_SEEN))](rng)
    features = see(pictures)
    way = rng.integers(3)
    if way == 0:
        return features
    if way == 1:
        return _main_axes(features, rng)
    labels = np.sort(rng.integers(OTHERS, size=OTHER_ROWS))
    return _told_apart(features, see(hand.draw(OTHERS, labels)), labels, rng)


def _pixels(rng: Generator) -> See:
    power = rng.uniform(0.5, 1.5)
    return lambda pictures: (pictures**power).reshape(len(pictures), -1)


def _gradients(_rng: Generator) -> See:
    """How much of each direction there is in each cell of a grid (Dalal and Triggs, 2005)."""

    def see(pictures: Array) -> Array:
        down, across = np.gradient(pictures, axis=(1, 2))
        direction = (np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
        steep = np.hypot(down, across)
        planes = [_pooled(np.where(direction == which, steep, 0)) for which in range(DIRECTIONS)]
        found = np.stack(planes, axis=-1)
        found /= np.linalg.norm(found, axis=-1, keepdims=True) + 0.1
        return found.reshape(len(pictures), -1)

    return see


def _filters(rng: Generator) -> See:
    """A rectified layer of random filters, the mean of each cell."""
    filters = rng.standard_normal((int(rng.integers(8, 33)), 9)).astype(np.float32)
    filters -= filters.mean(axis=1, keepdims=True) * rng.random()

    def see(pictures: Array) -> Array:
        patches = np.lib.stride_tricks.sliding_window_view(
            np.pad(pictures, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2)
        )
        answers = patches.reshape(-1, 9) @ filters.T
        planes = np.maximum(answers, 0).reshape(*pictures.shape, len(filters))
        pooled = [_pooled(planes[..., which]) for which in range(len(filters))]
        return np.stack(pooled, axis=-1).reshape(len(pictures), -1)

    return see


_SEEN = (_pixels, _gradients, _filters)


def _pooled(planes: Array) -> Array:
    """The mean of each cell [n, CELLS, CELLS] of planes [n, side, side]."""
    n, side, _ = planes.shape
    cells = planes.reshape(n, CELLS, side // CELLS, CELLS, side // CELLS)
    return np.asarray(cells.mean(axis=(2, 4)), np.float32)


def _main_axes(features: Array, rng: Generator) -> Array:
    """The first principal axes, scaled less or more alike; centred half of the time."""
    mean = features.mean(axis=0)
    value, basis = np.linalg.eigh(np.cov(features - mean, rowvar=False))
    keep = min(int(rng.integers(16, 161)), int((value > 1e-6 * value[-1]).sum()))
    basis = basis[:, -keep:] * value[-keep:] ** -rng.uniform(0, 0.4)
    return np.asarray((features - mean * (rng.random() < 0.5)) @ basis, np.float32)


def _told_apart(features: Array, others: Array, labels: NDArray[np.int64], rng: Generator) -> Array:
    """Directions in which `others` of different `labels` differ most, against what differs within
    a label (Fisher's linear discriminants).
    """
    mean = others.mean(axis=0)
    found, own = np.unique(labels, return_inverse=True)
    centres = np.stack([others[labels == label].mean(axis=0) for label in found])
    inside = np.cov(others - centres[own], rowvar=False)
    inside += 0.05 * np.trace(inside) / len(inside) * np.eye(len(inside))
    value, basis = np.linalg.eigh(inside)
    white = basis * value**-0.5
    axes = np.linalg.svd((centres - mean) @ white, full_matrices=False)[2]
    keep = int(rng.integers(12, len(axes) + 1))
    return np.asarray((features - mean) @ (white @ axes[:keep].T), np.float32)
