"""What readers are shown of images and clusters."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from worker.collection import Collection
from worker.store.base import ClusterInfo, ImageState

# Rows looked up at a time.
_ROWS = 5_000


def image_states(collection: Collection, rows: Sequence[int]) -> list[ImageState]:
    """The states of the images of `rows`, which have clusters."""
    at, assigned, clusters = np.array(rows, np.int64), collection.assignments, collection.clusters
    return [
        ImageState(clusters[label].id, confidence, provisional, generation)
        for label, confidence, provisional, generation in zip(
            assigned.labels[at].tolist(),
            assigned.confidence[at].astype(np.float64).round(3).tolist(),
            assigned.provisional[at].tolist(),
            assigned.generation[at].tolist(),
            strict=True,
        )
    ]


def cluster_infos(collection: Collection, numbers: Iterable[int]) -> Iterator[ClusterInfo]:
    """The clusters of these numbers, in turn."""
    numbers = list(numbers)
    table = collection.clusters
    for start in range(0, len(numbers), _ROWS):
        part = [table[number] for number in numbers[start : start + _ROWS]]
        rows = [0 if cluster.exemplar_row is None else cluster.exemplar_row for cluster in part]
        for cluster, images in zip(part, collection.index.ids_of(rows), strict=True):
            exemplar = images[0] if images and cluster.exemplar_row is not None else None
            yield ClusterInfo(cluster.id, cluster.created, cluster.name, exemplar)


def retirements(collection: Collection, numbers: Iterable[int]) -> dict[str, str | None]:
    """The retired ones of these clusters, each with its successor."""
    table = collection.clusters
    return {table[n].id: table.id(table[n].successor) for n in numbers if table[n].retired}
