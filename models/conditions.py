"""What the caller may say about the groups wanted: how fine, and how large."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInputError

Granularity = Literal["shot", "thing", "kind"]

# shot: versions of one photo; thing: one person, product, character; kind: a category.
WORDS: dict[str | None, tuple[float, float, float]] = {
    "shot": (1.0, 0.0, 0.0),
    "thing": (0.0, 1.0, 0.0),
    "kind": (0.0, 0.0, 1.0),
    None: (1 / 3, 1 / 3, 1 / 3),
}
# Images in the group of a typical image that are nothing out of the ordinary, by the same words.
USUAL_SIZES = (24.0, 40.0, 80.0)
CONDITIONS = 4
# The value of the size dial that the networks have learnt to read as "not known".
UNKNOWN_SIZE = -2.0


def conditions(granularity: str | None, group_size: float | None) -> NDArray[np.float32]:
    """The four numbers every network is told: log group size, then the word as one of three.

    `group_size` is the number of images in the group of a typical image: sum n_c^2 / n over
    groups c. Raises `BadInputError` for another word, or a size that is not at least 1.
    """
    if not isinstance(granularity, str | None) or granularity not in WORDS:
        allowed = ", ".join(str(word) for word in WORDS)
        raise BadInputError(f"granularity is {granularity!r}; it must be one of {allowed}")
    if group_size is not None and not _is_size(group_size):
        raise BadInputError(f"group_size is {group_size!r}; it must be a number of at least 1")
    dial = UNKNOWN_SIZE if group_size is None else math.log(group_size)
    return np.array([dial, *WORDS[granularity]], np.float32)


def _is_size(group_size: object) -> bool:
    size = np.asarray(group_size)
    is_number = size.ndim == 0 and size.dtype.kind in "biuf"
    return is_number and bool(np.isfinite(size) and size >= 1)


def are_kinds(told: NDArray[np.float32]) -> bool:
    """Whether the four numbers of `conditions` say that groups are kinds, which need not look
    alike.
    """
    return bool(told[1 + list(WORDS).index("kind")] == 1)


def usual_size(told: NDArray[np.float32]) -> float:
    """How large groups usually are, by the word among the four numbers of `conditions`."""
    return float(np.exp(told[1:] @ np.log(USUAL_SIZES)))
