"""A process that writes batches to a collection and is killed at a fault point.

Prints the number of each batch when `log` has returned.
"""

import sys
from pathlib import Path

import numpy as np

from index import CollectionIndex, Erasure, IndexSettings, NewImage

DIMENSION = 8
BATCHES = 8
SETTINGS = IndexSettings(k=5, threads=1)


def vector(number):
    """One of the workload's vectors."""
    found = np.random.default_rng(number).standard_normal(DIMENSION)
    return (found / np.linalg.norm(found)).astype(np.float32)


def batch(number):
    """Thirty new images, ten that share a vector, five replaced and five erased ones."""
    first = 1_000 * number
    new = [NewImage(f"image-{first + i}", vector(first + i)) for i in range(30)]
    shared = [NewImage(f"shared-{first + i}", vector(1)) for i in range(10)]
    replaced = [NewImage(f"image-{first - 1_000 + i}", vector(first + 100 + i)) for i in range(5)]
    erased = [Erasure(f"image-{first - 1_000 + i}") for i in range(5, 10)]
    return [*new, *shared, *replaced, *erased]


def images(batches):
    """What id has what vector after so many batches."""
    state = {}
    for number in range(batches):
        for write in batch(number):
            if isinstance(write, Erasure):
                state.pop(write.id, None)
            else:
                state[write.id] = write.vector
    return state


def main():
    collection = CollectionIndex.open(Path(sys.argv[1]), settings=SETTINGS, dimension=DIMENSION)
    for number in range(collection.positions.get("batches:0", 0), BATCHES):
        logged = collection.log(batch(number), {"batches:0": number + 1})
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        collection.insert(logged.new_rows)
        collection.remove(logged.dead_rows)
        if number % 2:
            collection.snapshot()
    collection.close()


if __name__ == "__main__":
    main()
