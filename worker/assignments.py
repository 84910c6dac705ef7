"""The cluster of every row, in arrays for computing and in the catalog for good."""

import sqlite3
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from index import GrowingArray

Rows = NDArray[np.int64]
Labels = NDArray[np.int32]

NONE = -1  # the label of a row without a cluster


class Assignments:
    """Arrays over rows 0..len-1: `labels` int32 (cluster number or -1), `confidence` float32,
    `provisional` bool, `generation` int32. Changed only through `write` and `set`.
    """

    def __init__(self, connection: sqlite3.Connection, rows: int) -> None:
        self._labels: GrowingArray[np.int32] = GrowingArray(np.int32, NONE)
        self._confidence: GrowingArray[np.float32] = GrowingArray(np.float32, 0)
        self._provisional: GrowingArray[np.bool_] = GrowingArray(np.bool_, fill=False)
        self._generation: GrowingArray[np.int32] = GrowingArray(np.int32, 0)
        self.grow(rows)
        stored = connection.execute(
            "SELECT row, cluster, confidence, provisional, generation FROM assignment"
            " WHERE row < ?",
            (rows,),
        )
        # Straight from SQLite: as objects they would take ten times the room of the arrays.
        columns = np.fromiter(chain.from_iterable(stored), np.float64).reshape(-1, 5)
        self.set(
            columns[:, 0].astype(np.int64),
            columns[:, 1].astype(np.int32),
            columns[:, 2].astype(np.float32),
            columns[:, 3].astype(np.bool_),
            columns[:, 4].astype(np.int32),
        )

    def __len__(self) -> int:
        return self._labels.rows

    @property
    def labels(self) -> Labels:
        """Cluster number of each row, -1 for none."""
        return self._labels.view

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability that the row belongs to its cluster."""
        return self._confidence.view

    @property
    def provisional(self) -> NDArray[np.bool_]:
        """True until a full run has confirmed the row's cluster."""
        return self._provisional.view

    @property
    def generation(self) -> Labels:
        """The run that the row's cluster comes from."""
        return self._generation.view

    def grow(self, rows: int) -> None:
        """Make room for rows up to `rows`; the new ones have no cluster."""
        for array in (self._labels, self._confidence, self._provisional, self._generation):
            array.resize(max(array.rows, rows))

    def set(
        self,
        rows: Rows,
        labels: Labels,
        confidence: NDArray[np.float32],
        provisional: NDArray[np.bool_],
        generation: Labels,
    ) -> None:
        """Change the arrays alone; `write` makes it last."""
        self.labels[rows] = labels
        self.confidence[rows] = confidence
        self.provisional[rows] = provisional
        self.generation[rows] = generation

    def write(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Store what the arrays say of `rows`, within the caller's transaction."""
        connection.executemany(
            "INSERT OR REPLACE INTO assignment VALUES (?, ?, ?, ?, ?)",
            zip(
                rows.tolist(),
                self.labels[rows].tolist(),
                self.confidence[rows].tolist(),
                self.provisional[rows].tolist(),
                self.generation[rows].tolist(),
                strict=True,
            ),
        )

    def forget(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Drop what is known of dead `rows`."""
        connection.executemany(
            "DELETE FROM assignment WHERE row = ?", [(row,) for row in rows.tolist()]
        )
        self.labels[rows] = NONE
