"""The images of the demo: the 1,797 scanned digits that scikit-learn carries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.errors import DependencyError


@dataclass(frozen=True)
class Digits:
    """`ids` digits/0000...; `features` float32 [1797, 64], unit length; `labels` int64 0..9."""

    ids: list[str]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def load() -> Digits:
    """The digits. Raises `DependencyError` without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DependencyError(
            "the demo needs scikit-learn: install shoal with the extra `embedded`"
        ) from error
    bunch = load_digits()
    features = bunch.data.astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids = [f"digits/{number:04}" for number in range(len(features))]
    return Digits(ids, features, bunch.target.astype(np.int64))
