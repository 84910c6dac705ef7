"""E1 as people ask for it: erasures that come by no topic."""

from collections.abc import Sequence

from index import ImageWrite
from worker.collection import Collection
from worker.metrics import Metrics
from worker.records import Erase


def erase(collection: Collection, images: Sequence[str], metrics: Metrics) -> list[ImageWrite]:
    """Steps 3 to 5 for the erasure of `images`; ERASED or ABSENT for each, in their order.

    Durable when this returns; readers see it with the next update. Blocks for as long as it takes
    to search the rows again that lost a neighbour.
    """
    logged = collection.log([Erase(collection.name, image) for image in images], {})
    collection.insert(logged)
    collection.settle()
    for write in logged.writes:
        metrics.images.labels(write.outcome).inc()
    return logged.writes
