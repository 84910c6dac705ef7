"""Whether new images lie among the old ones as those do among themselves: else the encoder drifts.

For each of the newest rows the similarity to its nearest neighbour among the rows before them, and
for a sample of those the similarity to their nearest neighbour among themselves, the row itself
left out. New images of the same kind and encoder could as well have come before, so that both
similarities have one distribution; the distance of Kolmogorov and Smirnov tells how far they are
from that. The nearest neighbour of all would not do: images of a changed encoder find each other,
and are as close as ever. Everything is read from the k-NN graph; nothing is kept.
"""

import numpy as np
from numpy.typing import NDArray

# The newest rows: a share of all, so that a small collection has enough of both sides, and no
# more than come between two runs, so that a change shows before it has become the ordinary.
_RECENT_SHARE = 0.25
_MOST_RECENT = 10_000

# Of how many new and old rows at most the neighbours are read, which takes 10 ms.
_NEW_SAMPLE = 2_000
_OLD_SAMPLE = 6_000

# Fewer newest rows say nothing: with 400, chance alone reaches 0.08 one time in twenty.
_FEWEST_RECENT = 400

# None of a row's neighbours is of before: farther than all that are listed.
_BEYOND = -2.0

Similarity = NDArray[np.float32]


def encoder_shift(
    neighbours: NDArray[np.int32], similarity: Similarity, counts: NDArray[np.int32]
) -> float | None:
    """The shift of the newest rows of a k-NN graph, 0 (none) to 1; None where there are too few.

    `neighbours` and `similarity` [n, k], best first, -1 and -2 for none; `counts` [n] images of
    each row, 0 for a dead one. A pure function; takes at most some 10 ms, whatever n.
    """
    rows = len(counts)
    recent = min(int(rows * _RECENT_SHARE), _MOST_RECENT)
    if recent < _FEWEST_RECENT:
        return None
    first = rows - recent
    new, old = (
        _nearest_before(first, some, neighbours, similarity, counts)
        for some in (_sample(first, rows, _NEW_SAMPLE), _sample(0, first, _OLD_SAMPLE))
    )
    return _distance(new, old) if min(len(new), len(old)) >= _FEWEST_RECENT else None


def _sample(start: int, end: int, most: int) -> NDArray[np.int64]:
    """Rows from `start` to before `end`: all, or as many as `most`, evenly."""
    return np.linspace(start, end - 1, min(end - start, most)).astype(np.int64)


def _nearest_before(
    first: int,
    rows: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    similarity: Similarity,
    counts: NDArray[np.int32],
) -> Similarity:
    """Similarity of each living row of `rows` to its nearest neighbour before `first`."""
    rows = rows[(counts[rows] > 0) & (neighbours[rows, 0] >= 0)]
    listed = neighbours[rows]
    before = (listed >= 0) & (listed < first)
    nearest = similarity[rows, before.argmax(axis=1)]
    return np.where(before.any(axis=1), nearest, np.float32(_BEYOND))


def _distance(one: Similarity, other: Similarity) -> float:
    """Largest difference of the two empirical distribution functions (Kolmogorov-Smirnov), 0..1."""
    values = np.concatenate([one, other])
    below = [
        np.searchsorted(np.sort(sample), values, side="right") / len(sample)
        for sample in (one, other)
    ]
    return float(np.abs(below[0] - below[1]).max())
