"""What readers are shown of images and clusters."""

from collections.abc import Iterable, Iterator

from worker.collection import Collection
from worker.store.base import ClusterInfo, ImageState

# Rows looked up at a time.
_ROWS = 5_000


def image_state(collection: Collection, row: int) -> ImageState:
    """The state of the images of `row`, which has a cluster."""
    assigned = collection.assignments
    return ImageState(
        collection.clusters[int(assigned.labels[row])].id,
        round(float(assigned.confidence[row]), 3),
        bool(assigned.provisional[row]),
        int(assigned.generation[row]),
    )


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
