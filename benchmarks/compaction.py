"""What comes back when a collection of which much was erased here and there is written anew.

    python benchmarks/compaction.py --images 50000 --erased 0.4

A worker (its topic and store in memory, clusters by cosine) takes the images, and loses a share of
them by chance. Printed are the bytes on the disk before and after the compaction that follows by
itself, its time while nothing comes, and at which rate new images come alone and beside one.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
from indexing import Vectors, look_alikes
from numpy.typing import NDArray

from worker.clock import SystemClock
from worker.compose import make_parts
from worker.edges import CosineEdges
from worker.metrics import Metrics
from worker.parts import Parts
from worker.service import Worker
from worker.settings import load
from worker.testing import (
    InlineRunner,
    MemoryDeadLetters,
    MemorySource,
    MemoryStore,
    MemoryTopic,
)

Numbers = NDArray[np.int64]

MORE = 20_000


class Rig:
    """A worker that goes round on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._collection = path / "collections" / "main"
        self._clock = SystemClock()
        self._topic = MemoryTopic()
        self._metrics = Metrics()
        settings = load(
            {"data_dir": str(path), "recluster_seconds": 1e9, "recluster_images": 10**9}
            | {"recluster_first_images": 10**9, "recluster_first_seconds": 1e9}
        )
        self.parts: Parts = make_parts(
            settings,
            MemorySource(self._topic, until_end=False),
            MemoryDeadLetters(),
            MemoryStore(self._clock),
            self._metrics,
            self._clock,
            CosineEdges(0.9),
            InlineRunner(lambda *_: None),
        )
        self._worker = Worker(self.parts)
        self._thread = Thread(target=self._worker.run)
        self._thread.start()
        self._sent = 0

    def send(self, first: int, vectors: Vectors) -> None:
        """Images, numbered on from `first`."""
        for number, vector in enumerate(vectors, first):
            body = json.dumps({"embedding": vector.tolist()}).encode()
            self._append(number, body)

    def erase(self, numbers: Numbers) -> None:
        """Null values for these images."""
        for number in numbers.tolist():
            self._append(number, None)

    def _append(self, number: int, value: bytes | None) -> None:
        self._topic.append(f"image-{number:09}".encode(), value)
        self._sent += 1

    def take(self) -> float:
        """Wait until all that was sent is committed; the seconds."""
        return self._until(lambda: sum(self._topic.committed.values()) >= self._sent)

    def compact(self) -> float:
        """Wait until a compaction has ended; the seconds."""
        return self._until(lambda: self._sample("shoal_compactions_total") > 0)

    def _until(self, happened: Callable[[], bool]) -> float:
        began = time.perf_counter()
        while not happened():
            time.sleep(0.01)
        return time.perf_counter() - began

    def _sample(self, name: str) -> float:
        return self._metrics.registry.get_sample_value(name) or 0.0

    def taken(self) -> dict[str, int]:
        """Bytes on the disk, by what they are."""
        kinds = {"log": "vectors*", "catalog": "catalog.sqlite*"}
        return {
            kind: sum(512 * path.stat().st_blocks for path in self._collection.glob(pattern))
            for kind, pattern in kinds.items()
        }

    def close(self) -> None:
        """End the worker."""
        self._worker.stop()
        self._thread.join()


@contextmanager
def no_compaction(rig: Rig) -> Iterator[None]:
    """Dead rows are left as they are meanwhile."""
    compacting = rig.parts.compacting
    tick, compacting.tick = compacting.tick, lambda _rows: None
    try:
        yield
    finally:
        compacting.tick = tick


def halved(rig: Rig, vectors: Vectors, share: float) -> None:
    """Take the images, and lose a share of them here and there."""
    count = len(vectors)
    with no_compaction(rig):
        rig.send(0, vectors)
        rig.take()
        rig.erase(np.random.default_rng(0).permutation(count)[: int(share * count)])
        rig.take()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--erased", type=float, default=0.4, help="share of the images")
    options = parser.parse_args()
    vectors, _ = look_alikes(options.images + MORE, options.dimension, 0)
    kept, more = vectors[: options.images], vectors[options.images :]
    figures: dict[str, float] = {"images": options.images, "dimension": options.dimension}
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        halved(rig, kept, options.erased)
        figures |= {f"{kind}_bytes_before": size for kind, size in rig.taken().items()}
        figures["seconds_while_nothing_comes"] = rig.compact()
        figures |= {f"{kind}_bytes_after": size for kind, size in rig.taken().items()}
        rig.send(len(kept), more)
        figures["images_per_second_alone"] = MORE / rig.take()
        rig.close()
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        halved(rig, kept, options.erased)
        rig.send(len(kept), more)
        figures["images_per_second_beside_a_compaction"] = MORE / rig.take()
        rig.close()
    for name, value in figures.items():
        print(f"{name:>40}  {value:,.1f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
