"""Thousands of small collections in one worker of bounded memory: rates, and the memory it takes.

    python benchmarks/many_collections.py --collections 5000 --images 200

Every collection's images come in several bursts, those of all collections mixed, from a real Kafka
to a real Valkey. The worker keeps few collections open at a time, and each gets its first run while
images come. Memory is the sum over the worker and its children of what each has by itself and its
share of what they have in common, looked at twice a second.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from indexing import look_alikes
from ingest import TOPIC, await_file, metric, servers, worker
from kafka import KafkaProducer
from rich.console import Console
from rich.progress import Progress

from worker.client import Client
from worker.embedded.tied_process import TiedProcess

OPEN_COLLECTIONS = 200
MEMORY_BYTES = 512 * 2**20
PATIENCE_SECONDS = 6 * 3_600.0

console = Console(stderr=True)


def fill(bootstrap: str, collections: int, images: int, dimension: int, bursts: int) -> None:
    """Put `images` of each collection into the topic, in `bursts` parts each."""
    vectors, _ = look_alikes(collections * images, dimension, 0)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=1_000_000)
    parts = np.array_split(np.arange(images), bursts)
    rng = np.random.default_rng(0)
    for part in parts:
        for number in rng.permutation(collections).tolist():
            headers = [
                ("content-type", b"application/x-float32"),
                ("collection", f"user:{number}".encode()),
            ]
            for image in part.tolist():
                vector = vectors[number * images + image]
                key = f"image-{image:06}".encode()
                producer.send(TOPIC, key=key, value=vector.tobytes(), headers=headers)
    producer.flush()
    producer.close()


class Memory(threading.Thread):
    """Watches a process and its children; `peak_bytes` is the most they had."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.peak_bytes = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Look twice a second until told to stop."""
        while not self.stopping.wait(0.5):
            self.peak_bytes = max(self.peak_bytes, sum(map(share_of, family(self._pid))))


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def share_of(pid: int) -> int:
    """The proportional set size of a process, in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def follow(
    what: str, total: int, count: Callable[[], float], process: TiedProcess
) -> list[tuple[float, float]]:
    """Wait until `count` is `total`; how it rose: times and counts."""
    history = []
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total)
        started = time.perf_counter()
        while True:
            done = count()
            history.append((time.perf_counter() - started, done))
            progress.update(task, completed=done)
            if done >= total:
                return history
            if process.exit_code is not None or history[-1][0] > PATIENCE_SECONDS:
                raise SystemExit("the worker ended or did not get on")
            time.sleep(0.5)


def rate(history: list[tuple[float, float]]) -> float:
    """What was done a second from the first that was seen."""
    started, first = next((at, done) for at, done in history if done)
    ended, last = history[-1]
    return (last - first) / max(ended - started, 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", type=int, default=100)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--bursts", type=int, default=4)
    options = parser.parse_args()
    total = options.collections * options.images
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with servers(directory) as (kafka, valkey), Client(valkey.url) as client:
            console.print("filling the topic")
            fill(
                kafka.bootstrap,
                options.collections,
                options.images,
                options.dimension,
                options.bursts,
            )
            bounds = {
                "open_collections": str(OPEN_COLLECTIONS),
                "memory_bytes": str(MEMORY_BYTES),
                "recluster_first_images": str(options.images),
            }
            with worker(directory, kafka.bootstrap, valkey.url, **bounds) as (process, file):
                memory = Memory(process.pid)
                memory.start()
                await_file(file)
                address = file.read_text()
                images = follow(
                    "images taken in",
                    total,
                    lambda: metric(address, "shoal_records_total"),
                    process,
                )
                runs = follow(
                    "first runs",
                    options.collections,
                    lambda: metric(address, 'shoal_reclusterings_total{result="published"}'),
                    process,
                )
                memory.stopping.set()
                found = len(client.collections())
    during = images[-1][0] + runs[-1][0]
    figures = {
        "collections": found,
        "images": total,
        "dimension": options.dimension,
        "open_collections": OPEN_COLLECTIONS,
        "images_per_second": round(rate(images), 1),
        "runs_per_second": round(options.collections / during, 2),
        "seconds": round(during, 1),
        "peak_mib": round(memory.peak_bytes / 2**20),
    }
    for key, value in figures.items():
        console.print(f"{key:20} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
