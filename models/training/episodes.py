"""Episodes: small collections cut from a labelled set, no two of them alike.

What has to transfer is the judgement of a collection, so training shows many collections: other
classes, other sizes of classes, other shapes of the space.
"""

import numpy as np
from numpy.typing import NDArray

from models.training.sources import Generator, LabelledSet
from models.vectors import unit_rows

# Rows of an episode: a set itself, and the range of a variation.
WHOLE_ROWS = 6_000
ROWS = (800, 3_000)
SMALL_ROWS = (30, 200)
UNION_ROWS = (400, 1_500)
MIN_CLASSES = 6
BENT_SHARE = 0.3
SIZE_LAWS = ("natural", "power law", "uniform", "mostly single")
SIZE_LAW_SHARES = (0.35, 0.25, 0.15, 0.25)
# Axes of rows that are all equal have no variance, which has no power below zero.
LEAST_VARIANCE = np.finfo(np.float32).tiny


def whole(source: LabelledSet, rng: Generator) -> LabelledSet:
    """The set as it is, less some classes if it is large."""
    return _at_most(source, WHOLE_ROWS, 0.9, rng)


def variation(source: LabelledSet, rng: Generator, rows: tuple[int, int] = ROWS) -> LabelledSet:
    """Some of the classes, other class sizes, and most often another geometry."""
    share = rng.uniform(0.2, 1.0)
    chosen = rng.permutation(source.classes)[: max(MIN_CLASSES, int(source.classes * share))]
    part = source.of_classes(chosen)
    part = part.rows(_kept(part.labels, rng.choice(SIZE_LAWS, p=SIZE_LAW_SHARES), rng))
    part = _at_most(part, int(rng.integers(*rows)), 0.8, rng)
    if rng.random() < 0.75 and len(part) > 1:
        part = part.with_unit(_warped(part.unit, rng))
    return part


def union(one: LabelledSet, other: LabelledSet, rng: Generator) -> LabelledSet:
    """Variations of two sets in one collection: each in directions of its own, which may meet."""
    parts = [variation(source, rng, UNION_ROWS) for source in (one, other)]
    d = max(part.unit.shape[1] for part in parts)
    unit = [part.unit @ _turned(part.unit.shape[1], d, rng) for part in parts]
    apart = rng.standard_normal(d) * rng.uniform(0, 1.5) / np.sqrt(d)
    labels = [parts[0].labels, parts[1].labels + parts[0].classes]
    order = rng.permutation(sum(map(len, parts)))
    word = one.granularity if one.granularity == other.granularity else None
    return LabelledSet(
        f"{one.name} and {other.name}",
        unit_rows(np.concatenate((unit[0], unit[1] + apart)))[order],
        np.concatenate(labels)[order],
        word,
    )


def _turned(d: int, into: int, rng: Generator) -> NDArray[np.float64]:
    """A random way [d, into] to lay d axes into more, or as many, without change of lengths."""
    basis, _ = np.linalg.qr(rng.standard_normal((into, d)))
    return np.asarray(basis.T)


def _at_most(part: LabelledSet, rows: int, keep: float, rng: Generator) -> LabelledSet:
    """Drop a share of the classes until few enough rows are left; then rows, if need be."""
    while len(part) > rows and part.classes > MIN_CLASSES:
        count = max(MIN_CLASSES, int(part.classes * keep))
        part = part.of_classes(rng.permutation(part.classes)[:count])
    if len(part) > rows:
        part = part.rows(np.sort(rng.permutation(len(part))[:rows]))
    return part


def _kept(labels: NDArray[np.int64], law: str, rng: Generator) -> NDArray[np.int64]:
    """Rows that stay when the sizes of classes follow `law`, sorted."""
    exponent, scale = rng.uniform(0.8, 2.0), rng.uniform(1, 8)
    order = np.argsort(labels, kind="stable")
    kept = []
    for members in np.split(order, np.bincount(labels).cumsum()[:-1]):
        size = len(members)
        if law == "power law":
            size = min(size, 1 + int(rng.pareto(exponent) * scale))
        elif law == "uniform":
            size = int(rng.integers(1, size + 1))
        elif law == "mostly single" and rng.random() < 0.7:
            size = 1
        kept.append(rng.permutation(members)[:size])
    return np.sort(np.concatenate(kept))


def _warped(unit: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Another encoder's idea of the same pictures: spectrum, noise and mean are changed."""
    mean = unit.mean(axis=0)
    centred = unit - mean
    if rng.random() < 0.5:
        centred, mean = _spectrum(centred, mean, rng)
    d = centred.shape[1]
    if rng.random() < 0.5:
        strength = rng.uniform(0, 0.7) * np.sqrt(centred.var(axis=0).sum() / d)
        by_row = np.exp(0.3 * rng.standard_normal((len(centred), 1)))
        centred = centred + strength * by_row * rng.standard_normal(centred.shape)
    direction = rng.standard_normal(d)
    direction /= np.linalg.norm(direction)
    what = rng.integers(3)  # centre it, leave the mean, or push it further
    if what == 0:
        mean = np.zeros_like(mean)
    elif what == 2:
        mean = mean + direction * rng.uniform(0, 2)
    moved = centred + mean
    moved[~moved.any(axis=1)] = 1.0
    warped = unit_rows(moved)
    return _bent(warped, rng) if rng.random() < BENT_SHARE else warped


def _bent(unit: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Every coordinate on a curve, as an encoder's last layer has it, in randomly turned axes."""
    d = unit.shape[1]
    x = unit @ _turned(d, d, rng) * np.sqrt(d)
    what = rng.integers(3)
    if what == 0:  # a rectified layer: nothing below zero
        x = np.maximum(x + rng.uniform(-0.3, 1.0), 0)
    elif what == 1:  # small coordinates count for less, or for more
        x = np.sign(x) * np.abs(x) ** rng.uniform(0.4, 1.8)
    else:  # a saturating layer, up to a code of signs
        x = np.tanh(x * np.exp(rng.uniform(-0.5, 2.0)))
    x[~x.any(axis=1)] = 1.0
    return unit_rows(x)


def _spectrum(
    centred: NDArray[np.float32], mean: NDArray[np.float32], rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flatten or sharpen the principal axes, maybe drop the last; total variance is kept."""
    d = centred.shape[1]
    value, basis = np.linalg.eigh(centred.T @ centred / len(centred))
    value, basis = value[::-1], basis[:, ::-1]
    least = max(value[0] * 1e-4, LEAST_VARIANCE)
    warped = centred @ basis * np.maximum(value, least) ** rng.uniform(-0.25, 0.25)
    if rng.random() < 0.6 and d > 16:
        warped = warped[:, : int(rng.integers(max(16, d // 4), d + 1))]
    warped *= np.sqrt(centred.var(axis=0).sum() / max(warped.var(axis=0).sum(), 1e-12))
    width = warped.shape[1]
    moved = rng.standard_normal(width) * np.linalg.norm(mean) / np.sqrt(width)
    return warped.astype(np.float32), moved.astype(np.float32)
