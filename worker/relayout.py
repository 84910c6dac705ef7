"""A collection laid out anew in the store, in slices between batches, while updates go on."""

from collections.abc import Iterable
from itertools import islice

from worker.collection import Collection
from worker.shown import cluster_infos, image_states, retirements
from worker.store.base import MAX_CHANGES, Change, Layout, Update


class Relayout:
    """Copies what readers see into `layout`, and lets the updates that they see meanwhile follow.

    What waits in the outbox is not what readers see yet: it is passed over, and comes with the
    update that publishes it. So `layout` is ready when all has been copied and nothing that was
    passed over still waits.
    """

    def __init__(self, collection: Collection, layout: Layout) -> None:
        self._collection = collection
        self._layout = layout
        self._images = collection.index.iterate()
        self._copied = False
        self._clusters = 0
        self._awaited_images: set[str] = set()
        self._awaited_clusters: set[int] = set()

    def go_on(self, limit: int) -> bool:
        """Copy up to `limit` images, or clusters after them; True when `layout` is ready.

        While a run is being taken over, labels are ahead of what readers see: nothing is copied.
        Raises as `Layout.write`.
        """
        if self._collection.adoption is not None:
            return False
        limit = min(limit, MAX_CHANGES)
        if not self._copied:
            self._copy_images(limit)
        elif self._clusters < len(self._collection.clusters):
            self._copy_clusters(limit)
        else:
            return not self._awaited_images and not self._awaited_clusters
        return False

    def follow(self, update: Update, clusters: Iterable[int]) -> None:
        """Write what readers were just given, of the cluster numbers `clusters` among it."""
        self._layout.write(update.changes, update.clusters, update.retired)
        self._awaited_images.difference_update(change.id for change in update.changes)
        self._awaited_clusters.difference_update(clusters)

    def finish(self, update: Update) -> None:
        """Switch readers over."""
        self._layout.finish(update)

    def discard(self) -> None:
        """Forget it all. Raises as `Layout.discard`."""
        self._layout.discard()

    def _copy_images(self, limit: int) -> None:
        ids = [image for image, _ in islice(self._images, limit)]
        self._copied = len(ids) < limit
        waiting = self._collection.outbox.images.keys() & set(ids)
        self._awaited_images |= waiting
        # The page that an id was read from may be old: its image may have moved, or be gone.
        rows = {
            image: row
            for image, row in zip(ids, self._collection.index.row_of(ids), strict=True)
            if row is not None and image not in waiting
        }
        states = image_states(self._collection, list(rows.values()))
        self._layout.write([Change(id_, None, new) for id_, new in zip(rows, states, strict=True)])

    def _copy_clusters(self, limit: int) -> None:
        table = self._collection.clusters
        numbers = range(self._clusters, min(self._clusters + limit, len(table)))
        self._clusters = numbers.stop
        waiting = self._collection.outbox.clusters.intersection(numbers)
        self._awaited_clusters |= waiting
        there = [number for number in numbers if number not in waiting]
        self._layout.write(
            clusters=list(
                cluster_infos(self._collection, [n for n in there if not table[n].retired])
            ),
            retired=retirements(self._collection, there),
        )
