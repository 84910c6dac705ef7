"""FINCH: first neighbours are joined, clusters become points, and again (Sarfraz et al. 2019)."""

import numpy as np

from models.graph import nearest
from models.peers.components import Labels, Unit, components
from models.vectors import unit_rows


class Finch:
    """The partitions of FINCH, from the finest."""

    def __init__(self, unit: Unit) -> None:
        self._partitions: list[Labels] = [np.arange(len(unit))]
        points = unit
        while len(points) > 1:
            first = nearest(points, 1).neighbours[:, 0].astype(np.int64)
            step = components(len(points), np.arange(len(points)), first)
            self._partitions.append(step[self._partitions[-1]])
            points = _means(unit, self._partitions[-1])

    def parameters(self) -> list[float]:
        """The numbers of all partitions."""
        return [float(number) for number in range(len(self._partitions))]

    def labels(self, partition: float) -> Labels:
        """A partition by its number, the coarsest that there is if there are fewer."""
        return self._partitions[min(int(partition), len(self._partitions) - 1)]


def _means(unit: Unit, labels: Labels) -> Unit:
    total = np.zeros((int(labels.max(initial=-1)) + 1, unit.shape[1]))
    np.add.at(total, labels, unit)
    length = np.linalg.norm(total, axis=1)
    total[length == 0, 0] = 1  # exact opposites have no mean direction; any will do
    return unit_rows(total)
