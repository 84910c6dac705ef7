"""What a collection costs: start-up, replay, memory and fsyncs an image.

    python benchmarks/storage.py --images 300000 --dimension 128

Each beside hnswlib alone with the same vectors, in processes of their own, by turns, medians of
`--repeats`:

* start-up from the newest snapshot, against `load_index` of the file of HNSW in it;
* replay of the log without a snapshot, against `add_items` alone with hnswlib's own defaults;
* memory of an open collection with its clusters, beyond that of the loaded HNSW (anonymous pages:
  the vectors are mapped from the log);
* fsyncs of a worker that takes images from a file at full speed (by strace, where there is one).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np
from indexing import Vectors, look_alikes
from rich.console import Console
from rich.progress import track

from index import CollectionIndex, IndexSettings
from worker.clock import SystemClock
from worker.collection import Collection
from worker.edges import CosineEdges
from worker.embedded.valkey import EmbeddedValkey
from worker.records import Upsert

BATCH = 1_000
JOIN = 0.5
# About as many clusters as classes.
COSINE = 0.65
SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")
FSYNC_IMAGES = 20_000

# What `hnswlib.Index.init_index` takes if it is told nothing.
DEFAULT_M, DEFAULT_EF_CONSTRUCTION = 16, 200

console = Console(stderr=True)


def opened(path: Path, dimension: int | None = None) -> Collection:
    """The collection at `path`, recovered."""
    index = CollectionIndex.open(path, settings=IndexSettings(), dimension=dimension)
    collection = Collection("main", index, CosineEdges(COSINE), SystemClock(), JOIN)
    collection.recover()
    return collection


def build(path: Path, vectors: Vectors) -> None:
    """Fill a collection and take a snapshot."""
    collection = opened(path, vectors.shape[1])
    for start in track(range(0, len(vectors), BATCH), "filling", console=console):
        part = vectors[start : start + BATCH]
        records = [Upsert("main", f"image-{start + i:09}", vector) for i, vector in enumerate(part)]
        logged = collection.log(records, {"images:0": start + len(records)})
        collection.insert(logged)
        collection.settle()
        publish(collection)
    collection.index.snapshot()
    collection.index.close()


def publish(collection: Collection) -> None:
    """Empty the outbox, as if all had been published."""
    outbox = collection.outbox
    with collection.index.transaction(durable=False) as connection:
        outbox.done(connection, list(outbox.images), list(outbox.clusters), list(outbox.events))


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("/proc/self/smaps_rollup has no line `Anonymous`")


def measure(what: str, path: Path, dimension: int) -> tuple[float, int]:
    """Seconds and bytes that the collection, or hnswlib's part of it, takes in this process."""
    before, started = anonymous_bytes(), time.perf_counter()
    if what == "collection":
        kept: object = opened(path)
    elif what == "load":
        kept = hnswlib.Index("ip", dimension)
        kept.load_index(str(path))
    else:
        kept = bare_add(path, dimension)
    seconds = time.perf_counter() - started
    bytes_ = anonymous_bytes() - before
    del kept
    return seconds, bytes_


def bare_add(log: Path, dimension: int) -> hnswlib.Index:
    """An index of what a file of float32 holds, added in batches."""
    vectors = np.load(log, mmap_mode="r")
    index = hnswlib.Index("ip", dimension)
    index.init_index(len(vectors), M=DEFAULT_M, ef_construction=DEFAULT_EF_CONSTRUCTION)
    index.set_num_threads(IndexSettings().threads_used())
    for start in range(0, len(vectors), BATCH):
        part = vectors[start : start + BATCH]
        index.add_items(part, np.arange(start, start + len(part)))
    return index


def alone(what: str, path: Path, dimension: int) -> tuple[float, int]:
    """As `measure`, in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(path), str(dimension)]
    seconds, bytes_ = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return seconds, bytes_


def fsyncs(directory: Path, vectors: Vectors) -> float | None:
    """Fsyncs an image of a worker that takes a file at full speed; None without strace."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    file, counts = directory / "images.npz", directory / "strace"
    ids = np.array([f"image-{i:09}" for i in range(len(vectors))])
    np.savez(file, features=vectors, ids=ids)
    with EmbeddedValkey(directory / "valkey") as valkey:
        command = [strace, "-f", "--seccomp-bpf", "-c", "-S", "calls", "-U", "name,calls"]
        command += ["-e", f"trace={','.join(SYNCS)}", "-o", str(counts)]
        command += [sys.executable, "-m", "worker", "worker", "--once", "--source", "files"]
        command += ["--files", str(file), "--redis-url", valkey.url, "--http-port", "0"]
        command += ["--data-dir", str(directory / "worker")]
        subprocess.run(command, check=True, capture_output=True)
    lines = [line.split() for line in counts.read_text().splitlines()]
    return sum(int(line[1]) for line in lines if line and line[0] in SYNCS) / len(vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, path, dimension = options.measure
        print(json.dumps(measure(what, Path(path), int(dimension))))
        return
    vectors, _ = look_alikes(options.images, options.dimension, 0)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path, log = directory / "collection", directory / "vectors.npy"
        np.save(log, vectors)
        build(path, vectors)
        hnsw = next(path.glob("snapshots/*/hnsw.bin"))
        turns = [
            (alone("collection", path, options.dimension), alone("load", hnsw, options.dimension))
            for _ in track(range(options.repeats), "start-up", console=console)
        ]
        beyond = [ours[1] - theirs[1] for ours, theirs in turns]
        shutil.copytree(path, directory / "whole")
        replays = []
        for _ in track(range(options.repeats), "replay", console=console):
            shutil.rmtree(path / "snapshots")
            ours = alone("collection", path, options.dimension)
            replays.append((ours, alone("add", log, options.dimension)))
            shutil.rmtree(path)
            shutil.copytree(directory / "whole", path)
        console.print("fsyncs of a worker")
        synced = fsyncs(directory, vectors[:FSYNC_IMAGES])
        disk = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
    figures = {
        "images": options.images,
        "dimension": options.dimension,
        "cores": len(os.sched_getaffinity(0)),
        "start_seconds": [round(ours[0], 2) for ours, _ in turns],
        "load_index_seconds": [round(theirs[0], 2) for _, theirs in turns],
        "start_ratio": round(statistics.median(ours[0] / theirs[0] for ours, theirs in turns), 2),
        "replay_seconds": [round(ours[0], 1) for ours, _ in replays],
        "bare_add_seconds": [round(theirs[0], 1) for _, theirs in replays],
        "replay_ratio": round(statistics.median(b[0] / a[0] for a, b in replays), 3),
        "bytes_an_image_of_hnswlib": round(
            statistics.median(theirs[1] for _, theirs in turns) / options.images
        ),
        "bytes_an_image_beyond_hnswlib": round(statistics.median(beyond) / options.images),
        "disk_bytes_an_image": round(disk / options.images),
        "fsyncs_an_image": None if synced is None else round(synced, 5),
    }
    for key, value in figures.items():
        console.print(f"{key:32} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
