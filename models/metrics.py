"""How well a clustering matches known classes: pairwise F, BCubed F and NMI, always together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures lie in 0..1. `images` counts those that were scored."""

    pairwise_precision: float
    pairwise_recall: float
    pairwise_f: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f: float
    nmi: float
    images: int
    classes: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Contingency:
    """Sparse counts: `cell` images of class `row` in cluster `column`; sums `a`, `b`; total `n`."""

    cell: NDArray[np.float64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    n: int


def contingency(labels_true: ArrayLike, labels_pred: ArrayLike) -> Contingency:
    """Count classes against clusters; images with -1 on either side are left out.

    Raises `BadInputError` unless both are whole numbers of one length.
    """
    true, pred = _labels("labels_true", labels_true), _labels("labels_pred", labels_pred)
    if len(true) != len(pred):
        raise BadInputError(
            f"labels_true has {len(true)} entries and labels_pred {len(pred)}; both need n"
        )
    known = (true >= 0) & (pred >= 0)
    _, row = np.unique(true[known], return_inverse=True)
    names, column = np.unique(pred[known], return_inverse=True)
    key, cell = np.unique(row.astype(np.int64) * max(len(names), 1) + column, return_counts=True)
    return Contingency(
        cell=cell.astype(np.float64),
        row=key // max(len(names), 1),
        column=key % max(len(names), 1),
        a=np.bincount(row).astype(np.float64),
        b=np.bincount(column).astype(np.float64),
        n=len(row),
    )


def _labels(name: str, labels: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise BadInputError(
            f"{name} is {array.dtype} {array.shape}; it must be whole numbers [n], -1 for unknown"
        )
    return array.astype(np.int64)


def evaluate(labels_true: ArrayLike, labels_pred: ArrayLike) -> Scores:
    """All three scores of `labels_pred` [n] against `labels_true` [n]; -1 is left out.

    Raises `BadInputError` unless both are whole numbers of one length.
    """
    counts = contingency(labels_true, labels_pred)
    pairwise, bcubed = _pairwise(counts), _bcubed(counts)
    return Scores(*pairwise, *bcubed, _nmi(counts), counts.n, len(counts.a), len(counts.b))


def pairwise_f(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Harmonic mean of P, the same-class share of clustered pairs, and R, the reverse."""
    return _pairwise(contingency(labels_true, labels_pred))[2]


def bcubed_f(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Harmonic mean of the images' mean precision and recall within cluster and class."""
    return _bcubed(contingency(labels_true, labels_pred))[2]


def nmi(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Mutual information over the arithmetic mean of both entropies; 1 if both are zero."""
    return _nmi(contingency(labels_true, labels_pred))


def _pairwise(c: Contingency) -> tuple[float, float, float]:
    """P = (sum n_ij^2 - n) / (sum b^2 - n), R = (sum n_ij^2 - n) / (sum a^2 - n); 0/0 is 0."""
    both = float(c.cell @ c.cell) - c.n
    return _with_f(_over(both, float(c.b @ c.b) - c.n), _over(both, float(c.a @ c.a) - c.n))


def _bcubed(c: Contingency) -> tuple[float, float, float]:
    """P = 1/n sum n_ij^2 / b_j, R = 1/n sum n_ij^2 / a_i."""
    square = c.cell**2
    return _with_f(
        _over(float((square / c.b[c.column]).sum()), c.n),
        _over(float((square / c.a[c.row]).sum()), c.n),
    )


def _nmi(c: Contingency) -> float:
    if c.n == 0:
        return 0.0
    joint = c.cell / c.n
    information = float((joint * np.log(c.cell * c.n / (c.a[c.row] * c.b[c.column]))).sum())
    entropies = _entropy(c.a / c.n) + _entropy(c.b / c.n)
    return float(np.clip(2 * information / entropies, 0, 1)) if entropies > 0 else 1.0


def _entropy(share: NDArray[np.float64]) -> float:
    return float(-(share * np.log(share)).sum())


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _with_f(precision: float, recall: float) -> tuple[float, float, float]:
    return precision, recall, _over(2 * precision * recall, precision + recall)
