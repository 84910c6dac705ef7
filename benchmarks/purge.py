"""What it takes to be rid of erased images, and what comes back.

    python benchmarks/purge.py --images 50000 --erased 0.3

A share of the images is erased, half of them one after another as an album would be, half here and
there. Then HNSW is rebuilt without them, dead rows are given back, and the catalog is rewritten;
printed are the times, and the bytes on the disk before and after. At last new images come, in turns
without a rebuild and beside one that goes on all the time, and the two rates are compared.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from indexing import Vectors, look_alikes

from index import CollectionIndex, Erasure, IndexSettings, NewImage

BATCH = 1_000
# As the worker does beside a stream, and while nothing comes.
SLICE_BESIDE = 200
SLICE = 1_000


def feed(collection: CollectionIndex, vectors: Vectors) -> None:
    """Log and index one batch, HNSW beside the next one as in the worker."""
    first = collection.rows
    images = [NewImage(f"image-{first + i:09}", vector) for i, vector in enumerate(vectors)]
    logged = collection.log(images, {"images:0": first + len(images)})
    collection.begin_insert(logged.new_rows)
    collection.end_insert()


def erase(collection: CollectionIndex, share: float) -> None:
    """Erase a share of the images."""
    rows, rng = collection.rows, np.random.default_rng(0)
    half = int(rows * share / 2)
    gone = np.concatenate([np.arange(half), half + rng.permutation(rows - half)[:half]])
    for start in range(0, len(gone), BATCH):
        ids = [f"image-{row:09}" for row in gone[start : start + BATCH]]
        logged = collection.log([Erasure(id_) for id_ in ids], {})
        collection.remove(logged.dead_rows)


def sizes(collection: CollectionIndex) -> dict[str, int]:
    """Bytes on the disk."""
    collection.snapshot()
    collection.leftovers.drop_older_snapshots()
    files = {
        "log": [collection.vectors_path],
        "hnsw": list(collection.directory.glob("snapshots/*/hnsw.bin")),
        "catalog": list(collection.directory.glob("catalog.sqlite*")),
    }
    return {
        name: sum(512 * path.stat().st_blocks for path in paths) for name, paths in files.items()
    }


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def rebuild(collection: CollectionIndex) -> None:
    """With nothing else going on."""
    while not collection.leftovers.rebuild(SLICE):
        time.sleep(0.002)


def rates(collection: CollectionIndex, vectors: Vectors) -> tuple[float, float]:
    """Images a second, without and beside a rebuild that goes on all the time, in turns."""
    seconds, turn = {False: 0.0, True: 0.0}, 5 * BATCH
    for number, start in enumerate(range(0, len(vectors), turn)):
        beside = number % 2 == 1
        started = time.perf_counter()
        for first in range(start, start + turn, BATCH):
            if beside:
                collection.leftovers.rebuild(SLICE_BESIDE)
            feed(collection, vectors[first : first + BATCH])
        seconds[beside] += time.perf_counter() - started
    half = len(vectors) // 2
    return half / seconds[False], half / seconds[True]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--erased", type=float, default=0.3, help="share of the images")
    options = parser.parse_args()
    more = 4 * 5 * BATCH
    vectors, _ = look_alikes(options.images + more, options.dimension, 0)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "collection"
        collection = CollectionIndex.open(
            path, settings=IndexSettings(), dimension=options.dimension
        )
        filled = timed(
            lambda: [
                feed(collection, vectors[start : start + BATCH])
                for start in range(0, options.images, BATCH)
            ]
        )
        before = sizes(collection)
        erasing = timed(lambda: erase(collection, options.erased))
        erased = collection.leftovers.deleted
        rebuilt = timed(lambda: rebuild(collection))
        given_back = timed(collection.leftovers.give_back_rows)
        rewritten = timed(collection.leftovers.vacuum)
        after = sizes(collection)
        without, beside = rates(collection, vectors[options.images :])
        collection.close()
    figures = {
        "images": options.images,
        "dimension": options.dimension,
        "erased": erased,
        "erasures_per_second": round(erased / erasing),
        "insert_seconds": round(filled, 2),
        "rebuild_seconds": round(rebuilt, 2),
        "give_back_seconds": round(given_back, 3),
        "rewrite_seconds": round(rewritten, 3),
        **{f"{name}_bytes_before": size for name, size in before.items()},
        **{f"{name}_bytes_after": size for name, size in after.items()},
        "images_per_second_without": round(without, 1),
        "images_per_second_beside_a_rebuild": round(beside, 1),
        "ratio": round(beside / without, 3),
    }
    for name, value in figures.items():
        print(f"{name:>40}  {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
