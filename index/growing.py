"""An array that grows at its end."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

GROWTH = 1.5
SMALLEST = 1024


def grown(capacity: int, needed: int) -> int:
    """The capacity to go to so that `needed` fits; growing step by step stays linear in time."""
    return capacity if needed <= capacity else max(SMALLEST, needed, int(capacity * GROWTH))


class GrowingArray(Generic[Scalar]):
    """Rows of one shape; new ones hold `fill`. `view` is valid until the next `resize`."""

    def __init__(self, dtype: type[Scalar], fill: Any, width: tuple[int, ...] = ()) -> None:
        self._fill = fill
        self._data: NDArray[Scalar] = np.full((0, *width), fill, dtype)
        self.rows = 0

    @property
    def view(self) -> NDArray[Scalar]:
        """The rows, writable, without a copy."""
        return self._data[: self.rows]

    def fits(self, rows: int) -> bool:
        """Whether `resize` leaves the data where they are."""
        return rows <= len(self._data)

    def resize(self, rows: int) -> None:
        """Grow to `rows`, moving the data when it does not fit."""
        capacity = grown(len(self._data), rows)
        if capacity > len(self._data):
            data = np.empty((capacity, *self._data.shape[1:]), self._data.dtype)
            data[: self.rows] = self.view
            self._data = data
        # Not before: memory that nothing was written to takes no room.
        self._data[self.rows : rows] = self._fill
        self.rows = rows

    def load(self, values: NDArray[Scalar]) -> None:
        """Take `values` for the first rows; the array itself where there are none yet."""
        if not self.rows and values.dtype == self._data.dtype:
            self._data, self.rows = values, len(values)
            return
        self.resize(max(self.rows, len(values)))
        self.view[: len(values)] = values
