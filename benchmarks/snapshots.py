"""What snapshots cost ingestion: the index takes images with one under way all the time, and none.

    python benchmarks/snapshots.py --images 100000

The two take turns of some batches each, so that both see the same index and the same load of the
machine. A snapshot is begun at the beginning of its turn, and again whenever one has ended. The
longest time for which a batch had to wait for the beginning of one is printed too, and what a
snapshot that is waited for takes.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from indexing import Vectors, look_alikes

from index import CollectionIndex, IndexSettings, NewImage

BATCH = 1_000
BATCHES_IN_TURN = 5


def feed(collection: CollectionIndex, vectors: Vectors) -> None:
    """Log and index one batch."""
    first = collection.rows
    images = [NewImage(f"image-{first + i:09}", vector) for i, vector in enumerate(vectors)]
    logged = collection.log(images, {"images:0": first + len(images)})
    collection.insert(logged.new_rows)


class Turns:
    """Takes images with snapshots and without, and adds up the seconds of both."""

    def __init__(self, collection: CollectionIndex) -> None:
        self._collection = collection
        self.seconds = {True: 0.0, False: 0.0}
        self.longest_begin = 0.0
        self.taken = 0

    def run(self, vectors: Vectors, *, snapshots: bool) -> None:
        """One turn."""
        started = time.perf_counter()
        for start in range(0, len(vectors), BATCH):
            if snapshots and not self._collection.snapshot_under_way:
                self._begin()
            feed(self._collection, vectors[start : start + BATCH])
            self.taken += self._collection.end_snapshot() is not None
        self.seconds[snapshots] += time.perf_counter() - started
        while self._collection.snapshot_under_way:  # belongs to neither
            self.taken += self._collection.end_snapshot() is not None
            time.sleep(0.01)

    def _begin(self) -> None:
        started = time.perf_counter()
        self._collection.begin_snapshot()
        self.longest_begin = max(self.longest_begin, time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="before the turns")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--turns", type=int, default=4, help="of each kind")
    options = parser.parse_args()
    turn = BATCH * BATCHES_IN_TURN
    more = 2 * options.turns * turn
    vectors, _ = look_alikes(options.images + more, options.dimension, 0)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "collection"
        settings = IndexSettings()
        collection = CollectionIndex.open(path, settings=settings, dimension=options.dimension)
        for start in range(0, options.images, BATCH):
            feed(collection, vectors[start : start + BATCH])
        waited = collection.snapshot().seconds
        turns = Turns(collection)
        for number in range(2 * options.turns):
            first = options.images + number * turn
            turns.run(vectors[first : first + turn], snapshots=number % 2 == 1)
        collection.close()
    rate = {name: more / 2 / seconds for name, seconds in turns.seconds.items()}
    figures = {
        "images": options.images,
        "dimension": options.dimension,
        "snapshots": turns.taken,
        "images_per_second_without": round(rate[False], 1),
        "images_per_second_beside_snapshots": round(rate[True], 1),
        "ratio": round(rate[True] / rate[False], 3),
        "longest_wait_for_a_beginning_seconds": round(turns.longest_begin, 4),
        "snapshot_waited_for_seconds": round(waited, 3),
    }
    for name, value in figures.items():
        print(f"{name:>40}  {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
