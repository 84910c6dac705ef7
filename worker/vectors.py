"""Unit vectors, as everything behind the decoder expects them."""

import math

import numpy as np
from numpy.typing import NDArray

from worker.errors import Reason, RejectedError
from worker.records import Vector

# Between these no square of a float64 over- or underflows badly enough to matter.
_SMALLEST_SQUARE = 1e-200


def unit_vector(numbers: NDArray[np.float64]) -> Vector:
    """`numbers` (float64 [d]) scaled to length one, as float32 [d].

    Raises `RejectedError` if a number is not finite or all are zero.
    """
    square = float(np.vdot(numbers, numbers))  # says nothing of an overflow
    if not _SMALLEST_SQUARE < square < math.inf:
        numbers = _tamed(numbers)
        square = float(np.vdot(numbers, numbers))
    return (numbers / math.sqrt(square)).astype(np.float32)


def _tamed(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same direction, with the largest number 1."""
    finite = np.isfinite(numbers)
    if not finite.all():
        place = int(np.argmin(finite))
        raise RejectedError(
            Reason.NOT_FINITE, f"embedding[{place}]: {numbers[place]}, must be finite"
        )
    largest = float(np.abs(numbers).max())
    if largest == 0.0:
        raise RejectedError(
            Reason.ZERO_VECTOR,
            f"embedding: all {len(numbers)} numbers are zero, one at least must not be",
        )
    return numbers / largest
