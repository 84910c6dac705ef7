"""What keeping the index costs beside bare hnswlib, and how good the kept graph is.

    python benchmarks/indexing.py --images 100000 --dimension 128

Feeds the same vectors, batch by batch in turn, to hnswlib alone and to a `CollectionIndex` (log
durably, insert into HNSW and graph).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from index import CollectionIndex, IndexSettings, NewImage

Vectors = NDArray[np.float32]
RECALL_SAMPLE = 2_000
RECALL_BLOCK = 1 << 13
# Similarities that two ways of adding up cannot tell apart.
TIE = 2e-6


def look_alikes(images: int, dimension: int, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Unit vectors [n, d] and their classes [n], shuffled.

    Classes of power-law size come in families that look alike, spread with a falling spectrum, each
    image with a spread of its own; one in fifty is drawn towards a common hub, as bad photos are.
    """
    rng = np.random.default_rng(seed)
    sizes = []
    while sum(sizes) < images:
        sizes.append(min(500, int(rng.pareto(1.0)) + 1, images - sum(sizes)))
    classes = len(sizes)
    families = max(1, classes // 8)
    spectrum = (np.arange(dimension) + 1.0) ** -0.3

    def draw(n: int) -> NDArray[np.float64]:
        directions = rng.standard_normal((n, dimension)) * spectrum
        return directions / np.linalg.norm(spectrum)

    centres = np.sqrt(0.6) * draw(families)[rng.integers(families, size=classes)]
    centres += np.sqrt(0.4) * draw(classes)
    labels = rng.permutation(np.repeat(np.arange(classes), sizes))
    spread = 0.55 * np.exp(0.3 * rng.standard_normal(images))
    vectors = centres[labels] + spread[:, None] * draw(images)
    hubs = draw(4)
    drawn = np.flatnonzero(rng.random(images) < 0.02)
    share = rng.beta(2, 2, len(drawn))[:, None]
    vectors[drawn] = (1 - share) * vectors[drawn] + share * hubs[rng.integers(4, size=len(drawn))]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels


class Bare:
    """What hnswlib does without anything around it, with its own defaults and a beam of `BEAM`."""

    BEAM = 96

    def __init__(self, images: int, dimension: int, threads: int = 0) -> None:
        self.index = hnswlib.Index("ip", dimension)
        self.index.init_index(images, M=16, ef_construction=200)
        self.index.set_num_threads(IndexSettings(threads=threads).threads_used())
        self.index.set_ef(self.BEAM)
        self.k = IndexSettings().k + 1

    def take(self, vectors: Vectors, first: int) -> None:
        """Add a batch, then search for its k + 1 nearest."""
        self.index.add_items(vectors, np.arange(first, first + len(vectors)))
        self.index.knn_query(vectors, k=min(self.k, first + len(vectors)))


def feed(
    collection: CollectionIndex, bare: Bare, vectors: Vectors, batch: int
) -> tuple[float, float, float]:
    """Seconds of `bare`, `log` and `insert`, turn by turn: all see the same load of the machine."""
    seconds = np.zeros(3)
    for start in range(0, len(vectors), batch):
        part = vectors[start : start + batch]
        images = [NewImage(f"image-{start + i:09}", vector) for i, vector in enumerate(part)]
        times = [time.perf_counter()]
        bare.take(part, start)
        times.append(time.perf_counter())
        logged = collection.log(images, {"images:0": start + len(images)})
        times.append(time.perf_counter())
        collection.insert(logged.new_rows)
        times.append(time.perf_counter())
        seconds += np.diff(times)
    return tuple(seconds.tolist())


def recall(collection: CollectionIndex, seed: int, sample: int = RECALL_SAMPLE) -> float:
    """Share of the true neighbours of a sample of live rows that are listed, ties aside."""
    rng = np.random.default_rng(seed)
    live = np.flatnonzero(collection.counts)
    rows = rng.permutation(live)[:sample]
    k = min(collection.settings.k, len(live) - 1)
    queries = collection.vectors[rows]
    labels = np.empty((len(rows), 0), np.int64)
    values = np.empty((len(rows), 0), np.float32)
    for start in range(0, len(live), RECALL_BLOCK):
        among = live[start : start + RECALL_BLOCK]
        similarity = queries @ collection.vectors[among].T
        similarity[rows[:, None] == among] = -np.inf
        values = np.concatenate([values, similarity], axis=1)
        labels = np.concatenate([labels, np.broadcast_to(among, similarity.shape)], axis=1)
        best = np.argpartition(-values, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(values, best, axis=1)
        labels = np.take_along_axis(labels, best, axis=1)
    listed = (labels[:, :, None] == collection.neighbours[rows][:, None]).any(axis=2)
    tied = values <= collection.similarity[rows, -1:] + TIE
    return float((listed | tied).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--ef", type=int, default=IndexSettings.ef_search)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sorted", action="store_true", help="feed class after class")
    options = parser.parse_args()
    settings = IndexSettings(ef_search=options.ef, threads=options.threads)
    vectors, labels = look_alikes(options.images, options.dimension, options.seed)
    if options.sorted:
        vectors = vectors[np.argsort(labels, kind="stable")]

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "collection"
        collection = CollectionIndex.open(path, settings=settings, dimension=options.dimension)
        bare = Bare(options.images, options.dimension, options.threads)
        bare_seconds, log_seconds, insert_seconds = feed(collection, bare, vectors, options.batch)
        share = recall(collection, options.seed)
        snapshot = collection.snapshot()
        collection.close()
        started = time.perf_counter()
        CollectionIndex.open(path, settings=settings).close()
        start_seconds = time.perf_counter() - started

    seconds = log_seconds + insert_seconds
    figures = {
        "images": options.images,
        "dimension": options.dimension,
        "batch": options.batch,
        "threads": settings.threads_used(),
        "ef_search": options.ef,
        "sorted": options.sorted,
        "bare_images_per_second": round(options.images / bare_seconds, 1),
        "images_per_second": round(options.images / seconds, 1),
        "ratio": round(bare_seconds / seconds, 3),
        "log_seconds": round(log_seconds, 2),
        "insert_seconds": round(insert_seconds, 2),
        "recall": round(share, 4),
        "snapshot_seconds": round(snapshot.seconds, 2),
        "snapshot_bytes": snapshot.bytes,
        "start_seconds": round(start_seconds, 2),
    }
    for name, value in figures.items():
        print(f"{name:>24}  {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
