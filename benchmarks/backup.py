"""How long backups of a large collection take, what they send, and what logging loses beside one.

`python benchmarks/backup.py [--images 1000000] [--dimension 256]` backs a log and catalog up into a
folder of the same disk: the first time, with nothing new, and after a hundredth more images and one
in a thousand erased, in random places. Then it restores. The last line is one JSON object.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from index import CollectionIndex, Erasure, IndexSettings, NewImage
from worker.backup.kept import look
from worker.backup.restore import restore
from worker.backup.take import Taken, back_up
from worker.backup.target import FolderTarget

BATCH = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=256)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        data_dir, target = Path(folder, "data"), FolderTarget(Path(folder, "backups"))
        index = CollectionIndex.open(
            data_dir / "collections" / "main",
            settings=IndexSettings(),
            dimension=given.dimension,
        )
        log(index, rng, 0, given.images)
        figures = {"images": given.images, "dimension": given.dimension}
        figures |= told("first", back_up(data_dir, target, keep=2))
        figures |= told("same", back_up(data_dir, target, keep=2))
        more = given.images // 100
        alone = log(index, rng, given.images, more)
        erased = rng.choice(given.images, given.images // 1_000, replace=False)
        index.log([Erasure(f"photos/{n:08}.jpg") for n in erased.tolist()], {"images/0": 0})
        figures |= told("more", back_up(data_dir, target, keep=2))
        beside: list[Taken] = []
        thread = threading.Thread(target=lambda: beside.append(back_up(data_dir, target, keep=2)))
        thread.start()
        figures["log_seconds"] = alone
        figures["log_beside_seconds"] = log(index, rng, given.images + more, more)
        thread.join()
        index.close()
        started = time.monotonic()
        restore(target, look(target).find(None), Path(folder, "again"))
        figures["restore_seconds"] = time.monotonic() - started
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def log(index: CollectionIndex, rng: np.random.Generator, first: int, count: int) -> float:
    """Log so many random images; the seconds that took."""
    started = time.monotonic()
    for start in range(first, first + count, BATCH):
        rows = rng.standard_normal((BATCH, index.dimension)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        images = [NewImage(f"photos/{start + n:08}.jpg", row) for n, row in enumerate(rows)]
        index.log(images, {"images/0": start + BATCH})
    return time.monotonic() - started


def told(name: str, taken: Taken) -> dict[str, float]:
    """Time and size of a backup."""
    return {f"{name}_seconds": taken.seconds, f"{name}_sent_mib": taken.sent / 2**20}


if __name__ == "__main__":
    main()
