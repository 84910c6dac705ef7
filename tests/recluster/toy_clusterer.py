"""A clusterer of a few lines for the child process; the collection's name says how it behaves."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worker.recluster import child

child.LINGERING_ROWS = int(os.environ.get("TOY_LINGERING_ROWS", child.LINGERING_ROWS))


class Context:
    def save(self, path: Path):
        """Write one file, as a model's context does."""
        path.write_text("context")


@dataclass
class Clustering:
    labels: np.ndarray
    confidence: np.ndarray
    levels: list
    exemplars: np.ndarray
    seconds: dict
    expected_f: float = 0.75
    method: str = "toy"
    reason: str = ""
    device: str = "cpu"
    questions: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    context: Context = field(default_factory=Context)


def toy(view, progress):
    """Join every row with its neighbours of similarity above a half."""
    progress("edges", 0.0)
    if view.collection == "fails":
        raise ValueError("no such luck")
    if view.collection == "sleeps":
        time.sleep(600)
    if view.collection == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if view.collection == "talks":
        sys.stdout.write("x" * 1_000_000 + '\n"a string"\n3\n')
    labels = np.arange(view.n, dtype=np.int64)
    for _ in range(view.n):
        for row in range(view.n):
            near = view.neighbours[row][view.similarity[row] > 0.5]
            labels[[row, *near]] = labels[[row, *near]].min()
    alive = view.counts > 0
    _, exemplars, found = np.unique(labels[alive], return_index=True, return_inverse=True)
    labels[alive] = found
    labels[~alive] = -1
    progress("edges", 1.0)
    confidence = np.where(alive, 0.9, 0).astype(np.float32)
    rows = np.flatnonzero(alive)[exemplars]
    return Clustering(labels, confidence, [labels, np.minimum(labels, 0)], rows, {"edges": 0.1})


if __name__ == "__main__":
    sys.exit(child.main(toy, sys.argv[1:]))
