"""Whether new images lie among the old ones as images have done before: else the encoder drifts.

For each row of a window the similarity to its nearest neighbour among the rows before the window,
and for those the similarity to their nearest neighbour among themselves, the row itself left out.
Images of one kind and encoder could as well have come in another order, so that both similarities
have one distribution; the distance of Kolmogorov and Smirnov tells how far they are from that. The
nearest neighbour of all would not do: images of a changed encoder find each other, and are as near
as ever. Photos do come in some order, though: so the distance of an earlier window is the measure
of what is usual. Everything is read from the k-NN graph; nothing is kept.
"""

import numpy as np
from numpy.typing import NDArray

# A window: a share of all rows, so that a small collection has enough of both sides, and no more
# than come between two runs, so that a change shows before it has become the usual.
_WINDOW_SHARE = 0.25
_LARGEST_WINDOW = 10_000

# The usual is taken from so many windows back: the one just before may have changed in part.
_USUAL_WINDOWS_BACK = 2

# Of how many rows at most of a window, and before it, the neighbours are read.
_NEW_SAMPLE = 1_500
_OLD_SAMPLE = 4_500

# Fewer rows of a window say nothing: with 400, chance alone reaches 0.08 one time in twenty.
_SMALLEST_WINDOW = 400

# None of a row's neighbours is of before: farther than all that are listed.
_BEYOND = -2.0

Similarity = NDArray[np.float32]


def encoder_shift(
    neighbours: NDArray[np.int32], similarity: Similarity, counts: NDArray[np.int32]
) -> float | None:
    """How much further the newest rows are off than is usual, 0 (no more) to 1; None: too few.

    `neighbours` and `similarity` [n, k], best first, -1 and -2 for none; `counts` [n] images of
    each row, 0 for a dead one. A pure function; takes at most some 10 ms, whatever n.
    """
    rows = len(counts)
    window = min(int(rows * _WINDOW_SHARE), _LARGEST_WINDOW)
    ends = (rows, rows - _USUAL_WINDOWS_BACK * window)
    now, usual = (
        distance(end - window, end, neighbours, similarity, counts)
        if window >= _SMALLEST_WINDOW
        else None
        for end in ends
    )
    return None if now is None or usual is None else max(0.0, now - usual)


def distance(
    first: int,
    end: int,
    neighbours: NDArray[np.int32],
    similarity: Similarity,
    counts: NDArray[np.int32],
) -> float | None:
    """How far the rows from `first` to before `end` are off, 0 to 1; None where they are too few.

    The largest difference between the two empirical distribution functions.
    """
    new, old = (
        _nearest_before(first, some, neighbours, similarity, counts)
        for some in (_sample(first, end, _NEW_SAMPLE), _sample(0, first, _OLD_SAMPLE))
    )
    if min(len(new), len(old)) < _SMALLEST_WINDOW:
        return None
    values = np.concatenate([new, old])
    below = [
        np.searchsorted(np.sort(side), values, side="right") / len(side) for side in (new, old)
    ]
    return float(np.abs(below[0] - below[1]).max())


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
